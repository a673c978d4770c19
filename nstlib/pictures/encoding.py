"""Arrays -> picture files that store the settings they were made with."""

import io
import json
import warnings

import numpy as np
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

#: File suffixes that can be written.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
#: Longest side in pixels, for the formats that have a limit in practice.
LONGEST = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
_IMAGE_DESCRIPTION = 0x010E
_LONGEST_EXIF = 65500  # bytes, of a JPEG


def encode(pixels, path, suffix, settings, recipe=None):
    """Write a picture file.

    Args:
        pixels: (H, W, 3 or 4), uint16 for TIFF and uint8 for the others; no alpha for JPEG.
        path: file to write; its own suffix does not matter.
        suffix: one of :data:`SUFFIXES`, which decides the format.
        settings: dict that :func:`settings_of` reads back; values without a JSON type are stored as text.
        recipe: text that :func:`read_recipe` reads back.
    """
    note = json.dumps({"nstlib": _plain_values(settings)} | ({} if recipe is None else {"recipe": recipe}))
    if suffix in (".tif", ".tiff"):
        extra = ["unassalpha"] if pixels.shape[2] == 4 else None
        # Without metadata, lest old versions of tifffile write a description of their own after ours.
        about = {"photometric": "rgb", "extrasamples": extra, "description": note, "metadata": None}
        tifffile.imwrite(path, pixels, **about, compression="zlib")
        return
    # To memory first: on a full disk, Pillow writes a truncated JPEG without raising.
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
    """The settings that :func:`encode` stored in the file of an opened PIL image, or None."""
    settings = _note_of(picture).get("nstlib")
    return settings if isinstance(settings, dict) else None


def read_recipe(picture):
    """The recipe that :func:`encode` stored in the file of an opened PIL image, or None."""
    return _note_of(picture).get("recipe")


def _note_of(picture):
    try:
        note = json.loads(picture.info.get("nstlib") or picture.getexif().get(_IMAGE_DESCRIPTION))
    except Exception:  # what other programs store there can be anything, and broken in any way
        return {}
    return note if isinstance(note, dict) else {}


def _plain_values(value):
    """``value`` in types that JSON has; anything else as text."""
    if isinstance(value, dict):
        return {str(key): _plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_values(item) for item in value]
    if isinstance(value, np.generic):
        return _plain_values(value.item())
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
