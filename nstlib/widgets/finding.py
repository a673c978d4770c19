"""What finds regions in a photograph, each with the line of code that finds them again."""

import numpy as np

from .. import regions
from ..errors import InputError
from ..styles import Style
from .areas import Area

WAYS = {
    "areas of like colour": "segments",
    "the painting's colours": "palette",
    "persons and objects": "objects",
    "from scribbles in a file": "scribbles",
    "the whole, to blend styles": "whole",
}


def found(way, content, style, count):
    """``(areas, code)``: the regions that a way finds in the photograph, and the line that finds them again.

    Args:
        way: one of the values of ``WAYS``.
        content, style: the pickers.
        count: how many to find.
    """
    photo = content.picture
    if way == "segments":
        return areas_of(regions.segments(photo, count), f"regions.segments({content.code}, {count})")
    if way == "palette":
        code = f"regions.palette({content.code}, {style.code}, {count})"
        masks, parts = regions.palette(photo, style.picture, count)
        return areas_of(masks, code, parts)
    if way == "objects":
        return areas_of(regions.objects(photo), f"regions.objects({content.code})")
    if way == "whole":
        whole = np.ones(photo.shape[:2], np.float32)
        return [Area(f"{k + 1}", whole, Style(None), {}) for k in range(count)], ""
    raise InputError(
        "load a picture of them: lines drawn over a copy of the photograph, or on a transparent ground of its size, in "
        "a plain colour for each region"
    )


def areas_of(masks, code, parts=None):
    """``(areas, code)`` of masks, or of those by name, that an expression finds, for a palette with parts of the
    painting."""
    named = masks.items() if isinstance(masks, dict) else enumerate(masks)
    areas = [
        Area(
            name=f"{key if isinstance(key, str) else key + 1}",
            shown=mask,
            style=Style(None, where=mask, of=part),
            codes={"where": f"masks[{key!r}]", "of": f"parts[{key!r}]"},
        )
        for (key, mask), part in zip(named, parts or [None] * len(masks), strict=True)
    ]
    return areas, f"{'masks, parts' if parts else 'masks'} = {code}"
