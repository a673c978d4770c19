"""Regions by a text of the command line: each style in a part of the photograph of its own."""

from dataclasses import replace
from pathlib import Path

from ..checks import whole
from ..errors import InputError
from ..images import save_image
from .colours import palette, segments
from .drawn import scribbles
from .objects import BACKGROUND, objects
from .shown import show

#: What the text may be.
FORMS = ("segments", "palette", "palette:N", "objects:NAME,...", "scribbles:FILE")


def spread(way, photo, styles):
    """Styles, each with the mask of a region that is found in the photograph.

    Args:
        way: how regions are found, and for which of the styles each is. ``segments``: as many as there are styles, the
            largest for the first. ``scribbles:FILE``: likewise, those that grow from a picture of scribbles.
            ``objects:cat,chair``: the cat for the first, the chair for the second, and what they leave for a further
            style. ``palette:6`` or ``palette``, which is four: the main colours, each with the part of the one style
            that has its counterpart.
        photo: whatever :func:`~nstlib.load_image` takes.
        styles: list of :class:`~nstlib.Style` without masks.

    Returns:
        List of :class:`~nstlib.Style`.

    Raises:
        InputError: a text of another form, styles with masks, more or fewer than there are regions, and whatever the
            functions of :mod:`nstlib.regions` raise.
    """
    kind, _, more = way.partition(":")
    if any(style.where is not None or style.of is not None for style in styles):
        raise InputError("regions are found for styles that have no masks: give them without, or no --regions")
    if kind == "palette":
        if len(styles) > 1:
            raise InputError(f"the colours of one painting are paired with the photograph's, received {len(styles)}")
        places, parts = palette(photo, styles[0].picture, _count(more or "4"))
        return [replace(styles[0], where=place, of=part) for place, part in zip(places, parts, strict=True)]
    if way == "segments":
        masks = segments(photo, len(styles))
    elif kind == "scribbles" and more:
        masks = scribbles(photo, more)
    elif kind == "objects" and more:
        masks = _masks_of(more.split(","), objects(photo), rest=len(styles) > len(more.split(",")))
    else:
        raise InputError(f"regions must be one of {', '.join(FORMS)}, received {way!r}")
    if len(masks) != len(styles):
        raise InputError(f"there are {len(masks)} regions for {len(styles)} styles: give one for each")
    return [replace(style, where=mask) for style, mask in zip(styles, masks, strict=True)]


def save_masks(styles, photo, folder, force=False):
    """Write the masks of styles as pictures, and all of them over the photograph.

    Args:
        styles: what :func:`spread` returns.
        photo: whatever :func:`~nstlib.load_image` takes.
        folder: path; it need not exist.
        force: whether pictures there may be replaced.

    Returns:
        List of the paths written: ``1.png``, for a palette ``1-of.png`` too, and so on, and ``regions.png`` last.

    Raises:
        InputError: a place that cannot be written to, or pictures there already.
    """
    folder = Path(folder).expanduser()
    named = {f"{number}": style for number, style in enumerate(styles, 1)}
    pictures = {}
    for number, style in named.items():
        pictures |= {number: style.where} | ({} if style.of is None else {f"{number}-of": style.of})
    pictures["regions"] = show(photo, {number: style.where for number, style in named.items()})
    paths = {folder / f"{name}.png": picture for name, picture in pictures.items()}
    for path in paths:
        if path.exists() and not force:
            raise InputError(f"{path} exists already: choose another folder, or --force to replace it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    for path, picture in paths.items():
        save_image(picture, path)
    return [str(path) for path in paths]


def _count(text):
    if not text.isdecimal():
        raise InputError(f"the number of colours of a palette must be a whole number, received {text!r}")
    return whole("the number of colours", int(text))


def _masks_of(names, found, rest):
    """The masks of these names among those found, and if asked that of the rest."""
    for name in names:
        if name not in found:
            raise InputError(f"there is no {name!r} in the photograph, but {', '.join(found)}")
    masks = [found[name] for name in names]
    return [*masks, (1 - sum(masks)).clip(0, 1)] if rest and BACKGROUND not in names else masks
