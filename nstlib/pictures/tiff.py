"""TIFF files, some of which Pillow reads with fewer bits, from the wrong page or in the wrong colours."""

import logging
import warnings

import numpy as np
import tifffile

from ..errors import InputError
from .pixels import Pixels, check_size

# Without a handler, its log of broken files would be printed.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_COLOURS = {"MINISWHITE": 1, "MINISBLACK": 1, "RGB": 3, "SEPARATED": 4}
_RAW = ("CFA", "LINEAR_RAW")
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_PREMULTIPLIED, _STRAIGHT = 1, 2  # values of ExtraSamples for alpha channels
_ORIENTATION, _PROFILE = 274, 34675


def read_tiff(file, name, max_pixels):
    """The full-size picture of a TIFF as :class:`~nstlib.pictures.pixels.Pixels`; None if Pillow has to read it.

    Args:
        file: seekable binary file.
        name: what messages call the file.
        max_pixels: larger pictures are refused; None for no limit.

    Raises:
        InputError: a camera's raw file, too many pixels, a damaged file, or unsupported colours or compression.
    """
    try:
        tiff = tifffile.TiffFile(file)
        pages = [*tiff.pages]
        if not pages:
            raise InputError(f"{name} is damaged or cut off: it has no pages; get the file again")
        page = _choose(pages, name)
        bits, photometric = page.bitspersample, getattr(page.photometric, "name", str(page.photometric))
    except InputError:
        raise
    except Exception:  # files can be broken in many ways: Pillow says in which
        return None
    if sum(_is_whole(page) for page in pages) > 1:
        warnings.warn(f"{name} has several pages: the first is used", stacklevel=2)
    check_size(page.imagewidth, page.imagelength, name, max_pixels)
    pillow_can = page is pages[0] and bits <= 8
    if photometric not in _COLOURS or page.axes not in ("YX", "YXS", "SYX") or bits not in (8, 16, 32, 64):
        if pillow_can:
            return None
        raise InputError(f"{name} is a TIFF of {bits} bits in {photometric}: save it as RGB with 8 or 16 bits")
    try:
        samples = page.asarray()
    except Exception as error:
        if "imagecodecs" not in str(error):
            raise InputError(f"{name} is damaged or cut off: {error}; get the file again") from None
        if pillow_can:
            return None
        needs = f"its compression ({page.compression.name}) needs the package imagecodecs"
        if page is not pages[0] or photometric not in ("MINISBLACK", "RGB"):
            raise InputError(f"{name} cannot be read: {needs}; install it, or save without compression") from None
        if page.samplesperpixel > 1:  # Pillow keeps all bits of grey
            warnings.warn(f"{name} is read with 8 bits a channel, as {needs} for all {bits}", stacklevel=2)
        return None
    samples = np.moveaxis(samples, page.axes.find("S"), -1) if "S" in page.axes else samples[..., None]
    return _pixels(samples, page, photometric, name)


def _choose(pages, name):
    """The page with the picture itself: cameras and scanners may put a thumbnail before it."""
    everything = [part for page in pages for part in (page, *(page.pages or ()))]
    if any(getattr(part.photometric, "name", "") in _RAW for part in everything):
        height, width = everything[0].shape[:2]
        raise InputError(
            f"{name} is a camera's raw file, of which only the {width} x {height} preview can be read: "
            "develop it first, as TIFF or JPEG"
        )
    return next(filter(_is_whole, everything), everything[0])


def _is_whole(page):
    return not page.subfiletype & (_REDUCED | _MASK)


def _pixels(samples, page, photometric, name):
    count = _COLOURS[photometric]
    extras = tuple(int(extra) for extra in page.extrasamples)
    unknown = samples.shape[-1] > count + max(len(extras), 1) or (count == 1 and len(extras) > 1)
    if samples.shape[-1] < count or unknown:
        raise InputError(f"{name} has {samples.shape[-1]} channels in {photometric}: save it as RGB or grey")
    if not extras and samples.shape[-1] == count + 1:
        extras = (_STRAIGHT,)  # old programs do not declare their alpha channel; Pillow assumes one as well
    channel = next((i for i, extra in enumerate(extras) if extra in (_PREMULTIPLIED, _STRAIGHT)), None)
    colours = samples[..., :count]
    if photometric == "MINISWHITE":
        colours = (1 if colours.dtype.kind == "f" else np.iinfo(colours.dtype).max) - colours
    return Pixels(
        colours,
        alpha=None if channel is None else samples[..., count + channel],
        premultiplied=channel is not None and extras[channel] == _PREMULTIPLIED,
        profile=page.tags.valueof(_PROFILE),
        orientation=page.tags.valueof(_ORIENTATION, 1),
    )
