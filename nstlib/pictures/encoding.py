"""Arrays -> picture files, with a note of the settings that made them."""

import io
import json
import warnings

import numpy as np
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

#: File suffixes that can be written.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
#: Longest side that a format can hold, in pixels, where it is less than a picture may have.
LONGEST = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
_IMAGE_DESCRIPTION = 0x010E
_LONGEST_EXIF = 65500  # bytes, of a JPEG


def encode(pixels, path, suffix, settings):
    """Write a picture file.

    Args:
        pixels: (H, W, 3 or 4), uint16 for TIFF and uint8 for the others; no alpha for JPEG.
        path: to write to, whatever its own suffix is.
        suffix: one of :data:`SUFFIXES`, for the format.
        settings: dict for :func:`settings_of` to find; values that JSON does not know are stored as text.
    """
    note = json.dumps({"nstlib": _plain_values(settings)})
    if suffix in (".tif", ".tiff"):
        extra = ["unassalpha"] if pixels.shape[2] == 4 else None
        tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=extra, description=note, compression="zlib")
        return
    # To memory first: onto a disk that is full, Pillow writes a cut JPEG without an error.
    file = io.BytesIO()
    _encode_8_bits(Image.fromarray(pixels), file, suffix, note)
    path.write_bytes(file.getbuffer())


def _encode_8_bits(picture, file, suffix, note):
    if suffix == ".png":
        info = PngInfo()
        info.add_text("nstlib", note)
        picture.save(file, "PNG", pnginfo=info)
        return
    exif = Image.Exif()
    exif[_IMAGE_DESCRIPTION] = note
    if suffix == ".webp":
        picture.save(file, "WEBP", quality=95, method=4, exif=exif)
        return
    if len(exif.tobytes()) > _LONGEST_EXIF:
        warnings.warn("the settings are too long for a JPEG and were left out of it", stacklevel=4)
        exif = Image.Exif()
    picture.save(file, "JPEG", quality=95, subsampling=0, exif=exif)


def settings_of(picture):
    """The settings in an opened PIL image that :func:`encode` wrote, or None."""
    try:
        note = picture.info.get("nstlib") or picture.getexif().get(_IMAGE_DESCRIPTION)
        settings = json.loads(note)["nstlib"]
    except Exception:  # the notes of other programs may be anything, and broken in any way
        return None
    return settings if isinstance(settings, dict) else None


def _plain_values(value):
    """What JSON can hold of a value."""
    if isinstance(value, dict):
        return {str(key): _plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_values(item) for item in value]
    if isinstance(value, np.generic):
        return _plain_values(value.item())
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
