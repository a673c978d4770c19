"""The style pictures of a transfer, at the sizes at which their strokes are as large as asked for."""

import math
import warnings
from typing import NamedTuple

import torch

from ..errors import InputError
from ..features.backbone import STYLE_LAYERS
from ..images import fit_size, load_image_and_alpha, resize, resize_straight
from ..masks import load_mask
from ..terms.measures import product
from ..terms.objective import REDUCTIONS
from ..terms.texture import layers_of

#: Sizes of strokes that differ by less are the same.
_SAME = 0.05
#: For strokes larger than its own, a painting is shown reduced by the brush, up to this factor, beside a picture
#: reduced as much more: at its own pixels it asks for the grain of its scan, a few pixels wide, on every stroke.
_MOST_REDUCED = 2.0


class Shown(NamedTuple):
    """How a style picture is compared with a picture.

    Attributes:
        size: (height, width) of the style picture.
        reduction: how much the picture is reduced.
        share: of the style in the layers that see strokes, in [0, 1].
    """

    size: tuple
    reduction: int
    share: float


class Painting:
    """A style picture, reduced at once to the largest size at which it is used.

    Shown beside a picture at ``brush`` times its size, it asks for strokes that are so much larger than its own. It is
    never enlarged past its pixels: for larger strokes it is compared with the picture reduced to a half or a quarter,
    in which the same strokes are two or four times as large. The layers that see no more than grain and edges compare
    it with the picture as it is: else nothing would be asked of what gets lost in the reduction.

    Args:
        image: straight colours in [0, 1], shape (1, 3, H, W).
        alpha: transparency, shape (1, 1, H, W), or None.
        part: how much each pixel counts, likewise.
        size: (height, width) of the result.
        brush: size of the strokes.
        weight, layers: of the style.
        breadth: how much a picture reduced once more counts, relative to the one before.
        reductions: how much pictures may be reduced, from 1 on, each twice as much as the one before.
        least: smallest side in pixels that the network can see.

    Attributes:
        image, alpha: reduced.
        weights: how much each of its pixels counts in all, or None.
        reach: the size of strokes next to ``brush`` that there can be.
    """

    def __init__(
        self,
        image,
        alpha,
        part,
        size,
        *,
        brush=1.0,
        weight=1.0,
        layers=None,
        breadth=0.0,
        reductions=REDUCTIONS,
        least=1,
    ):
        self.brush, self.weight, self.layers = brush, weight, layers
        self._breadth, self._reductions = breadth, reductions
        self._own, self._least = tuple(image.shape[2:]), least
        self.image, self.alpha = at_most(image, alpha, self._sized(max(size) * brush))
        self.weights = product(self.alpha, None if part is None else resize(part, self.image.shape[2:]))
        most = max(self._own) * self._reductions_of(size)[-1]
        self.reach = min(max(brush, self._smallest / max(size)), most / max(size))

    def beside(self, size):
        """``[Shown]`` beside a picture of this size (height, width), the shares of which add up to 1.

        Between two reductions there is no jump: as the brush grows, the one gives way to the other.
        """
        wanted, reductions = max(size) * self.brush, self._reductions_of(size)
        longest = max(self._own) / min(max(self.brush, 1.0), _MOST_REDUCED)
        beyond = math.log2(max(1.0, wanted / longest))
        beyond = min(beyond, len(reductions) - 1.0) if beyond > math.log2(1 + _SAME) else 0.0
        shown = []
        for octave, reduction in enumerate(reductions):
            share = max(0.0, 1 - abs(octave - beyond))
            if octave > beyond and wanted / reduction >= self._smallest:
                share = max(share, self._breadth ** (octave - beyond))
            if share or reduction == 1:
                shown.append(Shown(self._sized(wanted / reduction), reduction, share))
        total = sum(share for *_, share in shown)
        return [one._replace(share=one.share / total) for one in shown]

    def same_as(self, other):
        """Whether another asks for the very same style."""
        asked = ((style.brush, style.weight, style.layers) for style in (self, other))
        return len(set(asked)) == 1 and all(
            mine is theirs is None or (mine is not None and theirs is not None and torch.equal(mine, theirs))
            for mine, theirs in ((self.image, other.image), (self.weights, other.weights))
        )

    @property
    def _smallest(self):
        """Longer side in pixels of the smallest size at which the network can see it."""
        return math.ceil(self._least * max(self._own) / min(self._own))

    def _sized(self, longest):
        """(height, width) with this longer side: never more than its own, never less than the network sees."""
        return fit_size(*self._own, min(max(round(longest), self._smallest), max(self._own)))

    def _reductions_of(self, size):
        """Those that leave of a picture of this size what the network can see."""
        return [n for n in self._reductions if n == 1 or math.ceil(min(size) / n) >= self._least]


def load_paintings(style, number, size, *, brush=1.0, layers=STYLE_LAYERS, least=1, max_pixels=None, **options):
    """``[Painting]`` of a style, one for each size of its strokes.

    Args:
        style: :class:`~nstlib.Style`.
        number: what messages call it.
        size: (height, width) of the result.
        brush: size of the strokes for all styles, on top of the style's own.
        layers: of the style loss, of which the style is for all or for some.
        least: smallest side in pixels that the network can see.
        max_pixels: larger files are refused.
        **options: further ones of :class:`Painting`.

    Raises:
        InputError: a picture or a mask that cannot be used, or a style for layers that are not there.
    """
    if not layers_of(style.layers, layers):
        raise InputError(f"style {number} is for the {style.layers} layers, and style_layers has none of them")
    image, alpha = load_visible(style.picture, "a style picture", max_pixels)
    check_side("a style picture", image.shape[2:], least)
    part = None
    if style.of is not None:
        part = load_mask(style.of, image.shape[2:], f"the mask on style {number}", max_pixels=max_pixels)
    options |= {"weight": style.weight, "layers": style.layers, "least": least}
    paintings = [Painting(image, alpha, part, size, brush=brush * own, **options) for own in style.brushes]
    if any(painting.weights is not None and not painting.weights.any() for painting in paintings):
        raise InputError(f"the mask on style {number} shows nothing but transparent pixels")
    for painting in (paintings[0], *paintings[1:][-1:]):  # those of a map between them are no further out of reach
        if painting.brush != 1 and abs(painting.reach / painting.brush - 1) > _SAME:
            warnings.warn(
                f"brush={painting.brush:g} of style {number} is out of reach, its strokes are those of "
                f"brush={painting.reach:.2g}: paintings are not enlarged past their own pixels (this one has "
                f"{max(image.shape[2:])} on its longer side), pictures are not reduced to less than a quarter, and "
                "neither to less than the network can see",
                stacklevel=5,
            )
    return paintings


def load_visible(source, name, max_pixels):
    """``(image, alpha)`` of a picture that is not transparent everywhere."""
    image, alpha = load_image_and_alpha(source, max_pixels=max_pixels)
    if alpha is not None and not alpha.any():
        raise InputError(f"{name} is transparent everywhere: there is nothing to see")
    return image, alpha


def at_most(image, alpha, size):
    """Both at ``size``, or at their own where that is smaller."""
    return resize_straight(image, alpha, size) if size[0] * size[1] < image[0, 0].numel() else (image, alpha)


def check_side(name, size, least):
    """Raise :class:`InputError` for a picture too small for the network."""
    if min(size) < least:
        raise InputError(
            f"{name} would be {size[1]} x {size[0]} pixels at the coarsest level; the layers chosen need at least "
            f"{least} on each side: use a larger size, fewer levels, a less narrow picture or shallower layers"
        )
