"""Regions on the command line: found by a text, each for a style, or saved as pictures to look at."""

from dataclasses import replace
from pathlib import Path

from ..checks import whole
from ..errors import InputError
from ..files import make_folder
from ..images import MAX_PIXELS, load_image, save_image
from .colours import palette, segments
from .drawn import scribbles
from .recognition import BACKGROUND, objects
from .shown import show

#: How regions are found.
FORMS = ("segments", "palette", "palette:N", "objects:NAME,...", "scribbles:FILE")


def check_way(text):
    """A text of one of the :data:`FORMS`; raises :class:`InputError` for any other."""
    kind, _, more = text.partition(":")
    if kind == "palette" and more:
        if not more.isdecimal():
            raise InputError(f"the number of colours of a palette must be a whole number, received {more!r}")
        whole("the number of colours", int(more))
    elif text not in ("segments", "palette") and not (kind in ("objects", "scribbles") and more):
        raise InputError(f"regions must be one of {', '.join(FORMS)}, received {text!r}")
    return text


def files_of(way):
    """List of the files that a way reads beside the pictures; None is no way, and reads none."""
    return [way.removeprefix("scribbles:")] if way and way.startswith("scribbles:") else []


def spread(way, photo, styles, *, max_pixels=MAX_PIXELS):
    """Styles, each with the mask of a region that is found in the photograph.

    Args:
        way: how regions are found, and for which of the styles each is. ``segments``: as many as there are styles, the
            largest for the first. ``scribbles:FILE``: those that grow from a picture of scribbles, likewise.
            ``objects:cat,chair``: the cat for the first, the chair for the second, and what they leave for a further
            style. ``palette:6`` or ``palette``, which is four: the main colours, each with the part of the one style
            that has its counterpart.
        photo: whatever :func:`~nstlib.load_image` takes.
        styles: list of :class:`~nstlib.Style` without masks.
        max_pixels: larger files are refused.

    Returns:
        List of :class:`~nstlib.Style`.

    Raises:
        InputError: a text of another form, styles with masks, more or fewer than there are regions, and whatever the
            functions of :mod:`nstlib.regions` raise.
    """
    kind, _, more = check_way(way).partition(":")
    if any(style.where is not None or style.of is not None for style in styles):
        raise InputError("regions are found for styles that have no masks: give them without, or no --regions")
    if kind == "palette":
        if len(styles) > 1:
            raise InputError(f"the colours of one painting are paired with the photograph's, received {len(styles)}")
        painting = load_image(styles[0].picture, max_pixels=max_pixels)
        places, parts = palette(photo, painting, int(more or 4))
        return [replace(styles[0], where=place, of=part) for place, part in zip(places, parts, strict=True)]
    if kind == "segments":
        masks = segments(photo, len(styles))
    elif kind == "scribbles":
        masks = scribbles(photo, more, max_pixels=max_pixels)
    else:
        names = [name.strip() for name in more.split(",")]
        masks = _masks_of(names, objects(photo), rest=len(styles) > len(names))
    if len(masks) != len(styles):
        raise InputError(f"there are {len(masks)} regions for {len(styles)} styles: give one for each")
    return [replace(style, where=mask) for style, mask in zip(styles, masks, strict=True)]


def _masks_of(names, found, rest):
    """The masks of these names among those found, and if asked that of the rest."""
    for name in names:
        if name not in found:
            raise InputError(f"there is no {name!r} in the photograph, but {', '.join(found)}")
    masks = [found[name] for name in names]
    return [*masks, (1 - sum(masks)).clip(0, 1)] if rest and BACKGROUND not in names else masks


def save_masks(styles, photo, folder):
    """Write the masks of styles as pictures, and all of them over the photograph.

    Args:
        styles: what :func:`spread` returns.
        photo: whatever :func:`~nstlib.load_image` takes.
        folder: path; it need not exist. Nothing in it is replaced.

    Returns:
        Text that names what was written: ``1.png``, for a palette ``1-of.png`` too, and so on, and ``regions.png``.

    Raises:
        InputError: a place that cannot be written to, or pictures there already.
    """
    folder = Path(folder).expanduser()
    named = {f"{number}": style for number, style in enumerate(styles, 1)}
    pictures = {}
    for number, style in named.items():
        pictures |= {number: style.where} | ({} if style.of is None else {f"{number}-of": style.of})
    pictures["regions"] = show(photo, {number: style.where for number, style in named.items()})
    paths = {name: folder / f"{name}.png" for name in pictures}
    for path in paths.values():
        if path.exists():
            raise InputError(f"{path} exists already: choose another folder")
    make_folder(folder)
    for name, picture in pictures.items():
        save_image(picture, paths[name])
    style = f"STYLE@{paths['1']}" + (f"@of={paths['1-of']}" if "1-of" in paths else "")
    return f"saved {', '.join(map(str, paths.values()))}; to paint with them: --style {style} and so on"
