"""The pictures on offer: samples with their thumbnails, and those used last in this kernel."""

import os
from importlib import resources

from PIL import Image, ImageOps

from .. import samples
from ..images import load_image_and_alpha, to_pil
from ..pictures.sources import find_pictures
from .drawing import THUMBNAIL, jpeg

REMEMBERED = 6
_LAST = {}  # of this kernel: {what is painted: {key: (source, name, jpeg)}}, so that the next panel offers them too


def sample_thumbnails(names):
    """``{"sample:chelsea": (jpeg, name, tooltip)}`` from a file, as generated samples take seconds to paint."""
    with Image.open(resources.files(__package__) / "samples.jpg") as file:
        sheet = file.convert("RGB")
    side = sheet.height
    places = {name: side * place for place, name in enumerate(samples.CONTENTS + samples.STYLES)}
    cells = {name: sheet.crop((places[name], 0, places[name] + side, side)) for name in names}
    return {f"sample:{name}": (jpeg(cell), name.replace("_", " "), f"sample:{name}") for name, cell in cells.items()}


def thumbnail(image, alpha=None):
    """JPEG of the middle of a picture (1, 3, H, W), a square."""
    picture = to_pil(image, alpha)
    side = min(THUMBNAIL, *picture.size)
    return jpeg(ImageOps.fit(picture, (side, side)))


def remember(kind, key, source, name, small):
    """Offer a picture as one of the last; the oldest of too many is forgotten."""
    last = _LAST.setdefault(kind, {})
    last.pop(key, None)
    last[key] = source, name, small
    while len(last) > REMEMBERED:
        del last[next(iter(last))]


def last_used(kind):
    """``{key: (source, name, jpeg)}``, the newest first."""
    return dict(reversed(_LAST.get(kind, {}).items()))


def remember_folder(kind, folder):
    """Offer the first pictures of a folder, as many as are remembered; returns how many there are in all.

    Raises:
        InputError: no pictures there, or one that cannot be read.
    """
    paths = find_pictures([folder])
    for path in reversed(paths[:REMEMBERED]):
        remember(kind, str(path), str(path), os.path.basename(path), thumbnail(*load_image_and_alpha(path)))
    return len(paths)
