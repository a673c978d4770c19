"""Files, streams and PIL images -> arrays in sRGB with straight alpha, the same way for every kind of picture."""

import contextlib
import io
import struct
import threading
import warnings
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import InputError
from . import formats
from .pixels import Pixels, check_size, straight_srgb
from .tiff import read_tiff

_ORIENTATION = 0x0112
_PNG = b"\x89PNG\r\n\x1a\n"
#: PNG chunks that determine how the pixels look.
_COLOUR_CHUNKS = (b"tRNS", b"iCCP", b"sRGB", b"gAMA", b"eXIf")
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
_FAILURES = (
    AssertionError,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
)


def decode(source, name, max_pixels):
    """Decode a picture, upright and in sRGB.

    Args:
        source: seekable binary file, whose first picture is decoded; or PIL image, whose current frame is decoded and
            stays the current one.
        name: what messages call the picture.
        max_pixels: larger pictures are refused before they are decoded; None for no limit.

    Returns:
        ``(colours, alpha)``, float32 in [0, 1]: straight colours (H, W, 3), and alpha (H, W) or None.

    Raises:
        InputError: not a picture, or a damaged one; the message says which.
    """
    if isinstance(source, Image.Image):
        with _clear_errors(name, "is damaged, cut off or closed"):
            pixels = _from_pil(source, name, max_pixels)
    else:
        pixels = _from_file(source, name, max_pixels)
    return straight_srgb(pixels, name)


@contextlib.contextmanager
def opened(file, name):
    """A seekable binary file as a PIL image whose pixels are not yet decoded.

    Raises:
        InputError: the file is not a picture that can be read.
    """
    head = _head(file, name)
    with _clear_errors(name, "is damaged or cut off", head):
        try:
            picture = _open_heic(file, name) if formats.is_heic(head) else _open(file)
        except (UnidentifiedImageError, ValueError):  # ValueError: more text than Pillow allows
            if not head.startswith(_PNG):
                raise
            try:
                picture = _open(_only_pixels(file, _COLOUR_CHUNKS))
            except (UnidentifiedImageError, ValueError):  # one of these chunks is truncated
                picture = _open(_only_pixels(file))
        with picture:
            yield picture


def _from_file(file, name, max_pixels):
    if formats.is_tiff(_head(file, name)):
        pixels = read_tiff(file, name, max_pixels)
        file.seek(0)
        if pixels is not None:
            return pixels
    with opened(file, name) as picture:
        check_size(*picture.size, name, max_pixels)
        if picture.format in _ANIMATED and getattr(picture, "is_animated", False):
            warnings.warn(f"{name} is an animation: its first frame is used", stacklevel=5)
        return _from_pil(picture, name, max_pixels)


def _head(file, name):
    head = file.read(formats.HEAD)
    file.seek(0)
    if formats.is_misread(head):
        raise InputError(f"{name} {formats.remedy(head)}")
    return head


@contextlib.contextmanager
def _clear_errors(name, trouble, head=b""):
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name} {formats.remedy(head)}") from None
    except _FAILURES as error:
        raise InputError(f"{name} {trouble}: {error or type(error).__name__}; get the file again") from None


_limit = threading.Lock()


def _open(file):
    """``Image.open`` without Pillow's fixed limit; ours is checked before anything is decoded.

    Pillow's limit is global: the lock keeps a thread from restoring the None that another one has set.
    """
    with _limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _open_heic(file, name):
    try:
        import pillow_heif
    except ImportError:
        raise InputError(f"{name} is a HEIC picture: pip install pillow-heif, or export it as JPEG") from None
    try:
        return pillow_heif.HeifImageFile(file)
    except RuntimeError as error:
        raise OSError(error) from None


def _only_pixels(file, besides=()):
    """A PNG without its ancillary chunks, for which Pillow refuses pictures: long texts, wrong checksums.

    Ancillary chunks of the kinds ``besides`` are kept if their checksums are right.
    """
    file.seek(0)
    data, kept, at = file.read(), [_PNG], len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunk, kind = data[at : at + length + 12], data[at + 4 : at + 8]
        sound = zlib.crc32(chunk[4:-4]).to_bytes(4, "big") == chunk[-4:]
        if kind[:1].isupper() or (sound and kind in besides):
            kept.append(chunk)
        at += len(chunk)
    return io.BytesIO(b"".join(kept))


def _from_pil(picture, name, max_pixels):
    check_size(*picture.size, name, max_pixels)
    try:
        picture.load()
    except AttributeError:  # old versions of Pillow, where the file of the picture is closed
        raise OSError("its file is closed") from None
    about = {
        "profile": picture.info.get("icc_profile"),
        "gamma": None if "srgb" in picture.info else picture.info.get("gamma"),
        "orientation": _orientation(picture),
    }
    if picture.mode.startswith("I") or picture.mode == "F":
        values = _deep_grey(picture, name)
        key = picture.info.get("transparency")
        return Pixels(values[..., None], None if key is None else values != key, **about)
    if picture.mode == "LAB":
        raise InputError(f"{name} holds Lab colours, which cannot be read: export it as RGB")
    transparent = picture.has_transparency_data
    mode = picture.mode if picture.mode in ("L", "CMYK") else "L" if picture.mode in ("1", "LA", "La") else "RGB"
    if not transparent:
        return Pixels(_array(picture.convert(mode)), **about)
    straight = picture.convert({"La": "LA", "RGBa": "RGBA"}.get(picture.mode, picture.mode)).convert("RGBA")
    colours = _array(straight.convert("L") if mode == "L" else straight.convert("RGB"))
    return Pixels(colours, np.asarray(straight.getchannel("A")), **about)


def _array(picture):
    values = np.asarray(picture)
    return values[..., None] if values.ndim == 2 else values


def _deep_grey(picture, name):
    """Grey values with more than 8 bits, which ``convert("RGB")`` would clip."""
    values = np.asarray(picture)
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format in ("PNG", "PPM")):
        return values.astype(np.uint16)
    if picture.mode == "F" and np.nanmin(values) >= 0 and np.nanmax(values) <= 1:
        return values
    raise InputError(
        f"{name} holds values from {values.min():g} to {values.max():g} of an unknown range; "
        "scale them to [0, 1] first, as floats"
    )


def _orientation(picture):
    try:
        return picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF, which can raise anything, is no reason to refuse the pixels
        return 1
