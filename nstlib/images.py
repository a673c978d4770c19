"""Pictures from any source -> tensors in [0, 1], and back to PIL images and files."""

import io
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from .checks import share, whole
from .errors import InputError
from .files import check_destination, shortened, written_whole
from .pictures.decoding import decode, opened
from .pictures.encoding import LONGEST, SUFFIXES, encode, settings_of
from .pictures.pixels import from_array
from .pictures.sources import open_source

#: Size in pixels above which pictures are refused by default (10000 x 10000).
MAX_PIXELS = 100_000_000


@torch.inference_mode(False)
def load_image(source, *, background=(1.0, 1.0, 1.0), max_pixels=MAX_PIXELS):
    """Load a picture as a tensor, transparency composited on ``background``.

    Args:
        source: path, address (``http:``, ``https:``, ``file:``, ``data:``, ``sample:chelsea``), bytes, open binary
            file, PIL image (its current frame); array (H, W), (H, W, 3) or (H, W, 4), RGB order, as uint8,
            uint16 or floats in [0, 1]; or tensor (3, H, W) or (1, 3, H, W), floats in [0, 1] or uint8.
            Files are turned upright (EXIF, TIFF) and converted to sRGB (ICC profiles, CMYK, a PNG's gamma). TIFF and
            grey PNG keep 16 bits; colour PNG is read with 8 bits, and a profile other than sRGB is applied in 8 bits.
            HEIC needs the package ``pillow-heif``.
        background: RGB in [0, 1] behind transparent pixels.
        max_pixels: larger pictures are refused before they are decoded; None for no limit.

    Returns:
        Float32 tensor on the CPU, RGB in [0, 1], shape (1, 3, H, W).

    Raises:
        InputError: a source that cannot be read; the message says why.
        TypeError: an object of any other kind.

    Example:
        >>> load_image(np.zeros((20, 30, 3), dtype=np.uint8)).shape
        torch.Size([1, 3, 20, 30])
        >>> load_image("sample:coffee").shape
        torch.Size([1, 3, 400, 600])
    """
    if np.shape(background) != (3,):
        raise InputError(f"background must be three numbers from 0 to 1, received {background!r}")
    background = [share("background", value) for value in background]
    return composite(*load_image_and_alpha(source, max_pixels=max_pixels), background)


@torch.inference_mode(False)
def load_image_and_alpha(source, *, max_pixels=MAX_PIXELS):
    """Load colours and transparency: ``(image, alpha)``, alpha of shape (1, 1, H, W) or None for an opaque picture.

    The colours are straight: neither multiplied by alpha nor composited on a background. Everything else is as for
    :func:`load_image`.
    """
    if max_pixels is not None:
        max_pixels = whole("max_pixels", max_pixels)
    if isinstance(source, torch.Tensor):
        colours, alpha = from_array(_channels_last(source))
    elif isinstance(source, Image.Image):
        colours, alpha = decode(source, "the PIL image", max_pixels)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        colours, alpha = decode(io.BytesIO(source), "the bytes given", max_pixels)
    elif isinstance(source, (str, os.PathLike)):
        with open_source(source) as file:
            colours, alpha = decode(file, shortened(source), max_pixels)
    elif hasattr(source, "read"):
        colours, alpha = decode(_contents(source), "the file given", max_pixels)
    elif hasattr(source, "__array__"):
        colours, alpha = from_array(source)
    else:
        raise TypeError(
            f"expected a path, address, file, PIL image, array or tensor as picture, received {type(source).__name__}"
        )
    image = torch.from_numpy(np.array(colours.transpose(2, 0, 1), order="C"))[None]
    return image, None if alpha is None else torch.from_numpy(np.array(alpha, order="C"))[None, None]


def composite(image, alpha, background=(1.0, 1.0, 1.0)):
    """Straight colours ``image`` (N, 3, H, W) over a plain ``background``; unchanged if ``alpha`` is None."""
    if alpha is None:
        return image
    behind = torch.tensor(background, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return image * alpha + behind * (1 - alpha)


def fit_size(height, width, longest):
    """(height, width) scaled so that the longer side is ``longest`` pixels; no side below 1."""
    scale = longest / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_straight(image, alpha, size):
    """:func:`resize` for straight colours with transparency: invisible colours do not bleed into visible ones.

    Args:
        image: RGB in [0, 1], shape (1, 3, H, W).
        alpha: (1, 1, H, W) or None.
        size: (H', W').

    Returns:
        ``(image, alpha)`` of that size.
    """
    if alpha is None:
        return resize(image, size), None
    visible = resize(alpha, size)
    colours = resize(image * alpha, size) / visible.clamp_min(1e-6)
    return torch.where(visible > 1e-3, colours, resize(image, size)).clamp(0, 1), visible


def resize(image, size):
    """Bicubic resampling (antialiased when shrinking) of (N, C, H, W) to ``size`` (H', W'), kept in [0, 1]."""
    if tuple(image.shape[2:]) == tuple(size):
        return image
    options = {"size": tuple(size), "mode": "bicubic", "antialias": True, "align_corners": False}
    try:
        resampled = F.interpolate(image, **options)
    except NotImplementedError:  # Apple's MPS, before torch 2.8
        resampled = F.interpolate(image.cpu(), **options).to(image.device)
    return resampled.clamp(0, 1)


def to_pil(image, alpha=None):
    """8-bit PIL image of a tensor (1, 3, H, W) or (3, H, W), clipped to [0, 1]; RGBA with ``alpha`` (1, 1, H, W).

    Raises:
        InputError: a batch of several pictures, other channels, NaN, or an alpha of another size.
    """
    image = image.detach().clamp(0, 1)
    return Image.fromarray(_to_integers(*_with_alpha(load_image_and_alpha(image)[0], alpha), np.uint8))


def save_image(image, path, *, alpha=None, settings=None, recipe=None):
    """Write a picture and the settings it was made with; the file is written completely or not at all.

    Args:
        image: tensor (1, 3, H, W) in [0, 1], or whatever else :func:`load_image` takes.
        path: ``.png``, ``.jpg``, ``.webp`` (8 bits) or ``.tif`` (16 bits). ``~`` is expanded, and links are followed.
        alpha: transparency (1, 1, H, W), in place of the picture's own. JPEG has none: there the picture is
            composited on white.
        settings: dict that :func:`read_settings` returns; values without a JSON type are stored as text.
        recipe: text that identifies what it was made from; see :func:`nstlib.many.recipe_of`.

    Raises:
        InputError: a path that :func:`check_output` refuses, an invalid picture, or a full disk.
    """
    image, own = load_image_and_alpha(image, max_pixels=None)
    image, alpha = _with_alpha(image, own if alpha is None else alpha)
    target = check_output(path, image.shape[2:])
    suffix = Path(path).suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        image, alpha = composite(image, alpha), None
    pixels = _to_integers(image, alpha, np.uint16 if suffix in (".tif", ".tiff") else np.uint8)
    try:
        with written_whole(target) as part:
            encode(pixels, part, suffix, settings or {}, recipe)
    except (OSError, ValueError) as error:
        raise InputError(f"could not write {path}: {error}; save the picture elsewhere or in another format") from error


def check_output(path, size=None):
    """Check that a picture can be written to ``path``, before any work is done.

    Args:
        path: of a file that need not exist.
        size: (height, width) of the picture, if it is known already.

    Returns:
        :class:`pathlib.Path`: ``~`` expanded, links followed.

    Raises:
        InputError: unknown suffix, a place that cannot be written to, or a size beyond the format's limit.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"cannot write {Path(path).name!r}: choose one of the suffixes {', '.join(SUFFIXES)}")
    if size is not None and max(size) > LONGEST.get(suffix, max(size)):
        height, width = size
        raise InputError(
            f"cannot write {path}: {suffix} holds at most {LONGEST[suffix]} pixels a side, and the picture has "
            f"{width} x {height}; choose .png or .tif"
        )
    return check_destination(path)


def read_settings(path):
    """The settings stored in a picture by :func:`save_image`, or None.

    Example: ``nstlib.stylize(content, style, **read_settings("painting.png"))`` paints it again.

    Raises:
        InputError: no such file, or not a picture.
    """
    with open_source(Path(path)) as file, opened(file, shortened(path)) as picture:
        return settings_of(picture)


def _channels_last(tensor):
    """Array (H, W, C) of a tensor (C, H, W) or (1, C, H, W)."""
    shape = tuple(tensor.shape)
    if tensor.dim() == 4 and shape[0] == 1:
        tensor = tensor[0]
    if tensor.dim() != 3 or tensor.shape[0] not in (1, 3, 4):
        raise InputError(f"expected a tensor of shape (3, H, W) or (1, 3, H, W), received {shape}")
    if tensor.is_meta:
        raise InputError("received a tensor on the meta device, which holds no values")
    tensor = tensor.detach().cpu().to_dense() if tensor.layout != torch.strided else tensor.detach().cpu()
    tensor = tensor.resolve_neg().permute(1, 2, 0)
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _contents(stream):
    """The whole content of an open file, whatever its position."""
    if hasattr(stream, "seekable") and stream.seekable():
        stream.seek(0)
    content = stream.read()
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise InputError(f"expected a file opened in binary mode, received one of {type(content).__name__}")
    return io.BytesIO(content)


def _with_alpha(image, alpha):
    """``(image, alpha)``, the latter checked."""
    if alpha is None:
        return image, None
    if not torch.is_tensor(alpha):
        raise TypeError(f"expected alpha as a tensor of shape (1, 1, H, W), received {type(alpha).__name__}")
    if tuple(alpha.shape) != (1, 1, *image.shape[2:]):
        raise InputError(
            f"expected alpha of shape {(1, 1, *image.shape[2:])}, as the picture, received {tuple(alpha.shape)}"
        )
    return image, load_image_and_alpha(alpha.detach().clamp(0, 1), max_pixels=None)[0][:, :1]


def _to_integers(image, alpha, dtype):
    """(H, W, 3 or 4) of an integer type, rounded to nearest."""
    pixels = image if alpha is None else torch.cat([image, alpha], 1)
    return (pixels[0] * np.iinfo(dtype).max).round().permute(1, 2, 0).numpy().astype(dtype)
