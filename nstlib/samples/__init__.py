"""Sample photographs and paintings that need no download.

Three paintings of the public domain, whose sources `README.md` beside them names; the others are generated.
"""

from importlib import resources

from PIL import Image

from ..checks import whole
from ..errors import check_choice
from .strokes import PALETTES, brush_strokes

CONTENTS = ("astronaut", "chelsea", "coffee", "rocket")
PAINTINGS = ("starry_night", "scream", "great_wave")
STYLES = (*PAINTINGS, *PALETTES)


def open(address):
    """The photograph or painting at an address such as ``"sample:chelsea"``, as a PIL image.

    Raises:
        InputError: no sample of that name.
    """
    name = address.rpartition(":")[2].strip().lower()
    check_choice("sample", name, CONTENTS + STYLES)
    return content(name) if name in CONTENTS else style(name)


def content(name="chelsea"):
    """A photograph from :mod:`skimage.data`, as a PIL image.

    Args:
        name: ``"astronaut"``, ``"chelsea"`` (a cat), ``"coffee"`` or ``"rocket"``.
    """
    from skimage import data

    check_choice("content sample", name, CONTENTS)
    return Image.fromarray(getattr(data, name)())


def style(name="starry_night", *, size=None, seed=0):
    """A painting, as a PIL image.

    Args:
        name: ``"starry_night"`` (van Gogh, 1889), ``"scream"`` (Munch, 1893), ``"great_wave"`` (Hokusai, about 1831),
            or the palette of a generated one: ``"swirls"``, ``"embers"`` or ``"meadow"``.
        size: longer side in pixels, by default that of the file, and 512 for a generated one; no file is enlarged.
        seed: of a generated one; each seed gives another painting.
    """
    check_choice("style sample", name, STYLES)
    size = None if size is None else whole("size", size)
    if name in PALETTES:
        return brush_strokes(name, size or 512, seed)
    with Image.open(resources.files(__name__) / f"{name}.jpg") as file:
        picture = file.convert("RGB")
    if size is not None:
        picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    return picture
