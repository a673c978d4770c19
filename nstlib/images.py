"""Files, URLs, PIL pictures, arrays <-> tensors in [0, 1], with the care that real pictures need."""

import contextlib
import io
import json
import os
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import tifffile
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from .errors import InputError

#: Largest picture that is opened without being asked to, in pixels (about 10000 x 10000).
MAX_PIXELS = 100_000_000
MAX_DOWNLOAD = 512 << 20  # bytes
#: File suffixes that can be written, and that :func:`find_pictures` looks for.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


def load_image(source, *, background=(1.0, 1.0, 1.0), max_pixels=MAX_PIXELS):
    """A picture as a tensor. Transparency is composited on ``background``.

    Args:
        source: path, URL, bytes, PIL image, NumPy array (H, W), (H, W, 3) or (H, W, 4), RGB order, as uint8,
            uint16 or floats in [0, 1]; or tensor (3, H, W) or (1, 3, H, W), floats in [0, 1] or uint8.
            Files are turned upright (EXIF), converted to sRGB (ICC profiles, CMYK), 16 bits are kept.
        background: RGB in [0, 1] to put behind transparent pixels.
        max_pixels: pictures with more pixels are refused before they are decoded.

    Returns:
        Float32 tensor, RGB in [0, 1], shape (1, 3, H, W).

    Raises:
        InputError: what cannot be read or makes no sense; the message says why.
        TypeError: an object of another kind.

    Example:
        >>> load_image(np.zeros((20, 30, 3), dtype=np.uint8)).shape
        torch.Size([1, 3, 20, 30])
    """
    return composite(*load_image_and_alpha(source, max_pixels=max_pixels), background)


def find_pictures(folders):
    """Paths of the pictures in these folders, told by their suffix, sorted within each folder.

    Raises:
        InputError: there are none, or no such folder.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise InputError(f"no such folder: {folder}")
    paths = [path for folder in folders for path in sorted(Path(folder).iterdir()) if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise InputError(f"no pictures ({', '.join(SUFFIXES)}) in {', '.join(map(str, folders))}")
    return paths


def composite(image, alpha, background=(1.0, 1.0, 1.0)):
    """``image`` (N, 3, H, W), straight colours, over a plain ``background``; as it is where ``alpha`` is None."""
    if alpha is None:
        return image
    behind = torch.tensor(background, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return image * alpha + behind * (1 - alpha)


def load_image_and_alpha(source, *, max_pixels=MAX_PIXELS):
    """Colours and transparency apart: ``(image, alpha)``, alpha of shape (1, 1, H, W) or None for an opaque picture.

    The colours are straight: those of a half-transparent pixel are what the file holds, composited on nothing.
    Everything else is as for :func:`load_image`.
    """
    if isinstance(source, torch.Tensor):
        array = _from_tensor(source)
    elif isinstance(source, np.ndarray):
        array = source
    elif isinstance(source, Image.Image):
        array = _decode(source, "the PIL image", max_pixels)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        array = _open(io.BytesIO(source), "the bytes given", max_pixels)
    elif isinstance(source, (str, os.PathLike)):
        array = _open(_fetch(source), str(source), max_pixels)
    else:
        raise TypeError(
            f"expected a path, URL, PIL image, array or tensor as picture, received {type(source).__name__}"
        )
    pixels = torch.from_numpy(_to_float(array)).permute(2, 0, 1).unsqueeze(0)
    if pixels.shape[1] == 3:
        return pixels.contiguous(), None
    return pixels[:, :3].contiguous(), pixels[:, 3:].contiguous()


def to_pil(image, alpha=None):
    """8-bit PIL picture of a tensor (1, 3, H, W) or (3, H, W) in [0, 1]; RGBA with ``alpha`` (1, 1, H, W)."""
    return Image.fromarray(_to_integers(image, alpha, np.uint8))


def save_image(image, path, *, alpha=None, settings=None):
    """Write a picture with the settings that made it; the file appears whole or not at all.

    Args:
        image: tensor (1, 3, H, W) in [0, 1], or PIL image.
        path: ``.png``, ``.jpg``, ``.webp`` (8 bits) or ``.tif`` (16 bits).
        alpha: optional transparency (1, 1, H, W); dropped for JPEG, which has none.
        settings: JSON-able dict; :func:`read_settings` gives it back.

    Raises:
        InputError: unknown suffix or missing folder.
    """
    path = check_output(path)
    if isinstance(image, Image.Image):
        image, alpha = load_image_and_alpha(image, max_pixels=None)
    suffix = path.suffix.lower()
    note = json.dumps({"nstlib": settings or {}})
    temporary = path.with_name(f".{path.name}.part")
    try:
        if suffix in (".tif", ".tiff"):
            pixels = _to_integers(image, alpha, np.uint16)
            extra = ["unassalpha"] if alpha is not None else None
            tifffile.imwrite(
                temporary, pixels, photometric="rgb", extrasamples=extra, description=note, compression="zlib"
            )
        else:
            picture = to_pil(image, None if suffix in (".jpg", ".jpeg") else alpha)
            _save_pil(picture, temporary, suffix, note)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_output(path):
    """The path to write a picture to, or an error before any work is done."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"cannot write {path.name!r}: choose one of the suffixes {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: the folder {path.parent} does not exist")
    return path


def read_settings(path):
    """The settings stored in a picture by :func:`save_image`, or None.

    Example: ``nstlib.stylize(content, style, **read_settings("painting.png"))`` paints it again.
    """
    if Path(path).suffix.lower() in (".tif", ".tiff"):
        with tifffile.TiffFile(path) as file:
            note = file.pages[0].description
    else:
        with Image.open(path) as picture:
            note = picture.info.get("nstlib") or picture.getexif().get(_IMAGE_DESCRIPTION)
    try:
        return json.loads(note)["nstlib"]
    except (TypeError, ValueError, KeyError):
        return None


def fit_size(height, width, longest):
    """(height, width) scaled so that the longer side is ``longest`` pixels; no side below 1."""
    scale = longest / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resize_straight(image, alpha, size):
    """:func:`resize` of straight colours and their transparency: hidden colours do not bleed into visible ones.

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
    return F.interpolate(image, size=tuple(size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


_IMAGE_DESCRIPTION = 0x010E


def _fetch(source):
    """Open file or download."""
    text = str(source)
    if text.startswith(("http://", "https://")):
        try:
            request = urllib.request.Request(text, headers={"User-Agent": "nstlib"})
            with urllib.request.urlopen(request, timeout=30) as response:
                content = response.read(MAX_DOWNLOAD + 1)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise InputError(f"could not download {text}: {error}") from None
        if len(content) > MAX_DOWNLOAD:
            raise InputError(f"{text} is larger than {MAX_DOWNLOAD >> 20} MB; download and shrink it first")
        return io.BytesIO(content)
    path = Path(source).expanduser()
    if not path.exists():
        raise InputError(f"no such file: {path}")
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a picture")
    return path


def _open(file, name, max_pixels):
    """Decode a file to an array, with one clear error for everything that can be wrong with it."""
    try:
        with _without_pillows_limit(), Image.open(file) as picture:
            # Pillow reads 16-bit colour TIFFs as 8 bits.
            deep = _read_tiff(file, max_pixels) if picture.format == "TIFF" else None
            if deep is not None and deep.dtype == np.uint16 and deep.ndim == 3:
                return deep
            return _decode(picture, name, max_pixels)
    except UnidentifiedImageError:
        pixels = _read_tiff(file, max_pixels)
        if pixels is not None:
            return pixels
        raise InputError(f"{name} is not a picture that can be read (PNG, JPEG, WebP, TIFF, GIF, BMP ...)") from None
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"{name} is damaged or cut off: {error}; get the file again") from None


@contextlib.contextmanager
def _without_pillows_limit():
    """Pillow's fixed limit gives way to ours, which is checked before anything is decoded."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _read_tiff(file, max_pixels):
    """Array of a TIFF that Pillow does not know, such as 16-bit colour; None if it is none."""
    try:
        if hasattr(file, "seek"):
            file.seek(0)
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages[0]
            _check_size(page.shape[1], page.shape[0], str(file), max_pixels)
            return page.asarray()
    except InputError:
        raise
    except Exception:  # not a TIFF either, in one of the many ways a file can fail to be one
        return None


def _decode(picture, name, max_pixels):
    _check_size(*picture.size, name, max_pixels)
    if getattr(picture, "n_frames", 1) > 1:
        warnings.warn(f"{name} is an animation: its first frame is used", stacklevel=5)
        picture.seek(0)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        return _deep_grey(np.asarray(picture), picture.mode, name)
    picture = _to_srgb(picture, name)
    transparent = picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
    return np.asarray(picture.convert("RGBA" if transparent else "RGB"))


def _deep_grey(values, mode, name):
    """Grey pictures with more than 8 bits: scaled by their range, which ``convert("RGB")`` would clip."""
    if mode.startswith("I;16") or (mode == "I" and values.min() >= 0 and values.max() <= 65535):
        return values.astype(np.uint16)
    if mode == "F" and values.min() >= 0 and values.max() <= 1:
        return values
    raise InputError(f"{name} holds values from {values.min():g} to {values.max():g}; scale them to [0, 1] first")


def _to_srgb(picture, name):
    profile = picture.info.get("icc_profile")
    if profile and picture.mode in ("RGB", "RGBA", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = "RGBA" if picture.mode == "RGBA" else "RGB"
            return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode=mode)
        except (ImageCms.PyCMSError, OSError, ValueError):
            warnings.warn(f"the colour profile of {name} is broken and was ignored: colours may be off", stacklevel=6)
    return picture


def _check_size(width, height, name, max_pixels):
    if max_pixels is not None and width * height > max_pixels:
        raise InputError(
            f"{name} has {width} x {height} pixels, more than the limit of {max_pixels:,}; "
            "shrink it, or raise the limit (max_pixels= or --max-pixels) if you trust it"
        )


def _from_tensor(tensor):
    if tensor.dim() == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.dim() != 3 or tensor.shape[0] not in (1, 3, 4):
        raise InputError(f"expected a tensor of shape (3, H, W) or (1, 3, H, W), received {tuple(tensor.shape)}")
    return (
        tensor.detach().cpu().float().permute(1, 2, 0).numpy()
        if tensor.is_floating_point()
        else (tensor.detach().cpu().permute(1, 2, 0).numpy())
    )


def _to_float(array):
    """Float32 (H, W, 3 or 4) in [0, 1] of any sensible array."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise InputError(f"expected an array of shape (H, W), (H, W, 3) or (H, W, 4), received {array.shape}")
    if array.shape[2] == 1:
        array = array.repeat(3, axis=2)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    if array.dtype == np.uint16:
        return array.astype(np.float32) / 65535
    if array.dtype == bool:
        return array.astype(np.float32)
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"expected uint8, uint16 or floats in [0, 1], received {array.dtype}")
    bad = ~np.isfinite(array)
    if bad.any():
        row, column, _ = np.argwhere(bad)[0]
        raise InputError(
            f"the picture has {int(bad.sum())} values that are NaN or infinite, the first at row {row}, column {column}"
        )
    low, high = float(array.min()), float(array.max())
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(f"floats must lie in [0, 1], received {low:g} to {high:g}; divide by 255 or convert to uint8")
    return array.astype(np.float32).clip(0, 1)


def _to_integers(image, alpha, dtype):
    """(H, W, 3 or 4) of an integer type, rounded to nearest."""
    pixels = image if image.dim() == 4 else image[None]
    if alpha is not None:
        pixels = torch.cat([pixels.cpu().float(), alpha.cpu().float()], 1)
    top = np.iinfo(dtype).max
    return (pixels[0].detach().cpu().float().clamp(0, 1) * top).round().permute(1, 2, 0).numpy().astype(dtype)


def _save_pil(picture, path, suffix, note):
    if suffix == ".png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_text("nstlib", note)
        picture.save(path, "PNG", pnginfo=info)
        return
    exif = Image.Exif()
    exif[_IMAGE_DESCRIPTION] = note
    if suffix == ".webp":
        picture.save(path, "WEBP", quality=95, method=4, exif=exif)
    else:
        picture.save(path, "JPEG", quality=95, subsampling=0, exif=exif)
