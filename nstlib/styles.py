"""Styles: a painting, what of it counts, and where in the picture it belongs."""

import math
import os
import re
from dataclasses import dataclass, field

from .checks import number, positive
from .errors import InputError, check_choice

#: Layers of the network that a style may be for, if not for all: those of blocks 1 and 2, or the deeper ones.
LAYERS = ("fine", "coarse")


@dataclass(frozen=True, eq=False)
class Style:
    """A painting, and where and how its style is used. ``stylize`` and ``StyleTransfer`` take any number of them.

    Masks are whatever :func:`~nstlib.masks.load_mask` takes: files, arrays (H, W), ``("labels.png", "#ff0000")``,
    functions of (height, width). They need the proportions of their picture, not its size; the edges of regions are
    fitted to the photograph. A mask below 1 paints less of the style. Where several overlap, their styles blend.

    Args:
        picture: whatever :func:`~nstlib.images.load_image` takes.
        where: mask of the photograph; by default, what the masks of the other styles leave.
        of: mask of the painting: the part of it whose style counts; by default all of it.
        weight: relative to the other styles: its share where they blend, and how much its region counts.
        brush: size of the strokes, 1 as in the painting, on top of the setting of that name. Or a map of sizes,
            ``(black, white, mask)``: those where the mask of the photograph is black and where it is white, and for a
            grey ``m`` between 0 and 1 the size ``black^(1 - m) white^m``.
        layers: ``"fine"`` for a style of the first two blocks of layers alone, which see the grain of the paint,
            ``"coarse"`` for the deeper ones, which see the motifs; by default both. Two styles of the same place may so
            share the work: the grain of one painting, the motifs of another.

    Raises:
        InputError: a weight below 0, a brush that is not above 0, or one that is no number and no map; other layers.

    Example:
        >>> import numpy as np
        >>> import nstlib
        >>> from nstlib import samples
        >>> sky = lambda height, width: np.arange(height)[:, None] < np.full(width, height / 3)
        >>> styles = [Style(samples.style("swirls"), where=sky, brush=0.5), Style(samples.style("embers"))]
        >>> options = {"size": 64, "iterations": 2, "backbone": "compact", "progress": False}
        >>> nstlib.stylize(samples.content("rocket"), styles, **options).size
        (64, 43)
    """

    picture: object
    where: object = field(default=None, kw_only=True)
    of: object = field(default=None, kw_only=True)
    weight: float = field(default=1.0, kw_only=True)
    brush: float | tuple = field(default=1.0, kw_only=True)
    layers: str | None = field(default=None, kw_only=True)

    def __post_init__(self):
        object.__setattr__(self, "weight", number("the weight of a style", self.weight, 0))
        object.__setattr__(self, "brush", _check_brush(self.brush))
        if self.layers is not None:
            check_choice("layers of a style", self.layers, LAYERS)

    @property
    def brushes(self):
        """The sizes of strokes that are painted: that of ``brush``, or those of a map, at most an octave apart."""
        if not isinstance(self.brush, tuple):
            return (self.brush,)
        black, white, _ = self.brush
        steps = math.ceil(abs(math.log2(white / black)))
        return tuple(black * (white / black) ** (step / max(1, steps)) for step in range(steps + 1))

    @classmethod
    def parse(cls, text):
        """The style that a text of the command line stands for: ``painting.jpg@sky.png@of=part.png@weight=2@brush=1``.

        ``@layers=fine`` is the grain of a painting alone, ``@layers=coarse`` its motifs.

        A mask without a name is ``where``; ``labels.png#ff0000`` and ``labels.png#red`` are areas of a map of labels.
        A map of brush sizes is ``brush=0.5,4,near.png``.

        An ``@`` in the name of a picture file that exists belongs to it, as in ``photo@2x.png@sky.png``. An address
        goes on up to the next part with a name: ``https://host/@user/pic.jpg@where=sky.png``.
        """
        words = []
        for word in text.split("@"):
            if words and "://" in words[-1] and not _NAMED.match(word):
                words[-1] += f"@{word}"
            else:
                words.append(word)
        count = next((count for count in range(len(words), 0, -1) if _exists("@".join(words[:count]))), 1)
        picture, parts = "@".join(words[:count]), words[count:]
        given = {}
        for part in parts:
            name, _, value = part.partition("=") if _NAMED.match(part) else ("where", "", part)
            if not value or name in given:
                raise InputError(f"expected PICTURE@MASK@of=MASK@weight=X@brush=X@layers=fine, received {text!r}")
            given[name] = _READERS[name](name, value)
        return cls(picture, **given)


def as_styles(given):
    """A list of :class:`Style` of what a caller gives: a picture, a :class:`Style`, or a list of both.

    Raises:
        InputError: an empty list, or one in which all weights are 0.
    """
    given = given if isinstance(given, (list, tuple)) else [given]
    styles = [style if isinstance(style, Style) else Style(style) for style in given]
    if not styles:
        raise InputError("at least one style picture is needed")
    if not sum(style.weight for style in styles):
        raise InputError("at least one style needs a weight above 0")
    return styles


def sources_of(given):
    """What a style or a mask, or a list of them, is read from, as it was given."""
    if isinstance(given, (list, tuple)):
        return [source for one in given for source in sources_of(one)]
    if isinstance(given, Style):
        maps = given.brush[2:] if isinstance(given.brush, tuple) else ()
        return [source for one in (given.picture, given.where, given.of, *maps) for source in sources_of(one)]
    return [given]


def parse_mask(text):
    """The mask that a text of the command line stands for: a file, or the area of a colour in one."""
    path, mark, colour = text.rpartition("#")
    if not mark or _exists(text):
        return text
    return path, f"#{colour}" if re.fullmatch(r"[0-9a-fA-F]{3}|[0-9a-fA-F]{6}", colour) else colour


def _exists(path):
    return os.path.exists(os.path.expanduser(path))


def _check_brush(brush):
    if not isinstance(brush, (tuple, list)):
        return positive("the brush of a style", brush)
    if len(brush) != 3:
        raise InputError(f"the brush of a style must be a number or (black, white, mask), received {brush!r}")
    return (*(positive("a size in the brush of a style", size) for size in brush[:2]), brush[2])


def _mask(name, text):
    return parse_mask(text)


def _number(name, text):
    try:
        return float(text)
    except ValueError:
        raise InputError(f"the {name} of a style must be a number, received {text!r}") from None


def _brush(name, text):
    *sizes, mask = text.split(",", 2)
    return (*(_number(name, size) for size in sizes), parse_mask(mask)) if sizes else _number(name, text)


def _word(name, text):
    return text


#: How the texts of a style's parts are read.
_READERS = {"where": _mask, "of": _mask, "weight": _number, "brush": _brush, "layers": _word}
_NAMED = re.compile(f"({'|'.join(_READERS)})=")
