"""Strokes along the structure of the photograph: its directions as regions, and paintings turned to each of them."""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F

from ..directions import angles, directions
from ..terms.measures import product
from ..terms.texture import Exemplar

#: The directions apart, and the angle in degrees between two of them.
COUNT, STEP = 4, 45
#: What runs in no direction counts so much beside what does: a painting without any is shown as it is.
_REST = 0.01


class Direction:
    """The directions of a photograph.

    Every region is divided: into a part for each direction, as far as the photograph runs in it, and what remains,
    painted as if there were no directions. A part's style is that of the painting turned, at each place, so that what
    runs there runs in this direction.

    Args:
        photo: RGB in [0, 1], shape (1, 3, H, W).
        strength: from 0, no directions, to 1.

    Attributes:
        floats_per_pixel: values that the masks of a region's parts keep per pixel of the picture, at all layers.
    """

    def __init__(self, photo, strength):
        self._field = strength * directions(photo) if strength else None
        self.floats_per_pixel = (1 + COUNT) * (1 + 4 / 3) if strength else 0.0

    def parts(self, size):
        """How much each pixel runs in no direction and in each, shape (1, 1 + COUNT, *size); their sum is 1.

        Between two directions, a pixel is of both.
        """
        angle, clear = angles(self._field, size)
        steps = torch.arange(COUNT).view(1, COUNT, 1, 1)
        apart = (angle / STEP - steps + COUNT / 2).remainder(COUNT) - COUNT / 2
        parts = clear * (1 - apart.abs()).clamp_min(0)
        return torch.cat([1 - parts.sum(1, keepdim=True), parts], 1)

    def divided(self, regions, size, here=lambda mask: mask):
        """The parts of :class:`~nstlib.terms.Region` ones, whose masks are of ``size``, one after the other.

        Args:
            here: function that puts a mask where those of the regions are.
        """
        if self._field is None:
            return regions
        divided, parts = [], [here(part) for part in self.parts(size).split(1, 1)]
        for region in regions:
            whole = 1.0 if region.mask is None else region.mask.mean()
            for index, part in enumerate(parts):
                mask = product(region.mask, part)
                blend = tuple(weight * (index == other) for weight in region.blend for other in range(1 + COUNT))
                least = region.least * (mask.mean() / whole).item() if whole else region.least
                divided.append(replace(region, mask=mask, blend=blend, least=least))
        return divided

    def exemplar(self, picture, weights):
        """:func:`turned`, or the painting as it is where no directions are wanted."""
        return Exemplar([(picture, [weights])]) if self._field is None else turned(picture, weights)

    def largest(self, size):
        """(height, width) of the largest copy of a painting of this size."""
        return size if self._field is None else turned_size(size)


def turned(picture, weights):
    """A painting as it is, and what runs in it turned to each direction.

    As far as a pixel runs in any direction, it counts in the one of four turned copies in which that is nearest to the
    direction wanted. What runs in none would hide it: measured, strokes then ran along the photograph less than before.

    Args:
        picture: RGB in [0, 1], shape (1, 3, H, W).
        weights: how much each pixel counts, shape (1, 1, H, W), or None.

    Returns:
        :class:`~nstlib.terms.Exemplar` of four copies, with 1 + COUNT ways to count their pixels.
    """
    weights = torch.ones_like(picture[:, :1]) if weights is None else weights
    angle, clear = angles(directions(picture), picture.shape[2:])
    # In steps, so that turned copies need no angles of their own.
    running = torch.cat([weights * clear * (angle.div(STEP).round() % COUNT == step) for step in range(COUNT)], 1)
    copies, rest = [], _REST * (weights - running.sum(1, keepdim=True))
    for turn in range(COUNT):
        ways = [running[:, (step - turn) % COUNT, None] for step in range(COUNT)]
        if turn == 0:
            copies.append((picture, [weights, *(rest + way for way in ways)]))
        else:
            ways = _turn(torch.cat(ways, 1), turn, "zeros").split(1, 1)
            copies.append((_turn(picture, turn, "reflection"), [torch.zeros_like(ways[0]), *ways]))
    return Exemplar(copies)


def turned_size(size):
    """(height, width) of a picture of ``size`` turned by 45 degrees."""
    return (math.ceil(sum(size) / 2**0.5),) * 2


def _turn(x, steps, beyond):
    """Turned counter-clockwise by ``steps`` times 45 degrees, in a frame that holds all of it.

    ``beyond`` is what fills the frame's corners: ``"zeros"`` or ``"reflection"``.
    """
    if steps % 2:
        height, width = x.shape[2:]
        side, _ = turned_size((height, width))
        slope = side / 2**0.5
        theta = torch.tensor([[[slope / width, -slope / width, 0], [slope / height, slope / height, 0]]])
        grid = F.affine_grid(theta, (1, 1, side, side), align_corners=False).to(x)
        mode = "bilinear" if beyond == "zeros" else "bicubic"
        x = F.grid_sample(x, grid, mode=mode, padding_mode=beyond, align_corners=False).clamp(0, 1)
    return torch.rot90(x, steps // 2, (2, 3))
