"""One picture over several ranks: each computes a rectangle of it, and the sums are those of the whole.

The losses that use the network depend on a picture through sums over pixels alone, so these may be taken in parts. A
rank runs the network on its rectangle and a rim as wide as the deepest layer sees; only what lies inside counts. The
sums are added up over the ranks before the loss, and the gradients of the picture after it. In between every rank
computes the same: the whole picture's loss from the whole picture's sums. So all ranks hold the whole picture and take
the same step, terms that read the picture itself count once, and nothing is approximated.
"""

import math
from itertools import pairwise

import torch
from torch.autograd.function import once_differentiable

from ..errors import InputError
from .crop import crop
from .ranks import ALONE
from .tiling import FULL, feature_sums

#: Rectangles begin and end at multiples of so many pixels, where the windows of all poolings do.
ALIGN = 16


def divide(size, count, align=ALIGN):
    """Cut a picture of ``size`` (height, width) into ``count`` rectangles as square as can be, edges aligned.

    Returns:
        ``[(top, left, bottom, right)]``; fewer if not so many fit.

    Example:
        >>> divide((100, 120), 4)
        [(0, 0, 48, 48), (0, 48, 48, 120), (48, 0, 100, 48), (48, 48, 100, 120)]
    """
    cells = [max(1, side // align) for side in size]
    grids = [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
    fitting = [grid for grid in grids if all(n <= most for n, most in zip(grid, cells, strict=True))]
    if not fitting:
        return divide(size, count - 1, align)
    grid = min(fitting, key=lambda grid: sum(side / n for side, n in zip(size, grid, strict=True)))
    rows, columns = (
        [*(most * index // n * align for index in range(n)), side]
        for n, most, side in zip(grid, cells, size, strict=True)
    )
    return [(top, left, bottom, right) for top, bottom in pairwise(rows) for left, right in pairwise(columns)]


def rectangle_of(ranks, size, backbone):
    """(top, left, bottom, right) of this rank's part of a picture of ``size``; empty if there is none for it."""
    rectangles = divide(size, ranks.count, alignment(backbone))
    return rectangles[ranks.index] if ranks.index < len(rectangles) else (0, 0, 0, 0)


def check_count(ranks, size, backbone):
    """Raise :class:`InputError` if a picture of ``size`` (height, width) has not a rectangle for each rank."""
    found = len(divide(size, ranks.count, alignment(backbone)))
    if found < ranks.count:
        raise InputError(
            f"{ranks.count} ranks are too many for the {size[1]} x {size[0]} pixels of a level and its margin: "
            f"use {found} of them, a larger size or fewer levels"
        )


def alignment(backbone):
    """Pixels to whose multiples the rectangles of a backbone are aligned."""
    return max(ALIGN, 2 ** backbone.downsampling(backbone.layers[-1]))


def window_of(rectangle, size, backbone, layer=None):
    """(top, left, bottom, right) of a rectangle and the rim that ``layer``, by default the last one, sees."""
    layers = backbone.layers[: backbone.layers.index(layer or backbone.layers[-1]) + 1]
    reach = 0
    for name in reversed(layers):
        reach = reach * 2 if name.startswith("pool") else reach + name.startswith("conv")
    align = alignment(backbone)
    rim = math.ceil(reach / align) * align
    top, left, bottom, right = rectangle
    return max(0, top - rim), max(0, left - rim), min(size[0], bottom + rim), min(size[1], right + rim)


def shared_sums(backbone, image, taps, plan=FULL, ranks=ALONE):
    """:func:`~nstlib.features.feature_sums` of a picture of which every rank computes its part.

    Args:
        backbone, image, taps, plan: as there; the picture is the same on every rank, the plan may differ.
        ranks: :class:`Ranks`.
    """
    if ranks.count == 1:
        return feature_sums(backbone, image, taps, plan)
    size = tuple(image.shape[2:])
    deepest = max((layer for layer, _ in taps), key=backbone.layers.index)
    core = rectangle_of(ranks, size, backbone)
    window = window_of(core, size, backbone, deepest)
    own = [(layer, _inside(measure, core, window, backbone.downsampling(layer))) for layer, measure in taps]
    found = feature_sums(backbone, _Part.apply(image, window, ranks), own, plan)
    sums = iter(ranks.sum([tensor for values in found for tensor in values]))
    return [tuple(next(sums) for _ in values) for values in found]


def _inside(measure, core, window, halvings):
    """``measure`` of what lies in the core, called with rows and columns of the whole map."""
    top, left, bottom, right = (edge >> halvings for edge in core)
    row, column = (edge >> halvings for edge in window[:2])

    def inside(features, rows, columns):
        own = _common(rows, row, top, bottom), _common(columns, column, left, right)
        local = [slice(s.start - start - span.start, s.stop - start - span.start) for s, start, span in
                 zip(own, (row, column), (rows, columns), strict=True)]  # fmt: skip
        return measure(crop(features, *local), *own)

    return inside


def _common(span, start, first, end):
    """What the slice ``span``, moved by ``start``, has in common with ``first`` to ``end``."""
    begin = min(max(span.start + start, first), span.stop + start)
    return slice(begin, max(begin, min(span.stop + start, end)))


class Piece:
    """The part of a map that this rank keeps, indexed with rows and columns of the whole map.

    Args:
        values: shape (N, C, h, w).
        corner: row and column at which they begin.
    """

    def __init__(self, values, corner):
        self._values, self._corner = values, corner

    def __getitem__(self, index):
        return self._values[self._place(*index)]

    def __setitem__(self, index, values):
        self._values[self._place(*index)] = values

    def _place(self, _, rows, columns):
        moved = (slice(s.start - n, s.stop - n) for s, n in zip((rows, columns), self._corner, strict=True))
        return ..., *moved


class _Part(torch.autograd.Function):
    """A window of the picture; its gradient is the sum of those of all ranks, on every rank."""

    @staticmethod
    def forward(ctx, image, window, ranks):
        ctx.window, ctx.ranks, ctx.shape = window, ranks, image.shape
        top, left, bottom, right = window
        return image[..., top:bottom, left:right].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        top, left, bottom, right = ctx.window
        with ctx.ranks.together():
            whole = gradient.new_zeros(ctx.shape)
            whole[..., top:bottom, left:right] = gradient
        ctx.ranks.add(whole)
        return whole, None, None
