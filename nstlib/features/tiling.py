"""Exact sums over feature maps in bounded memory: the network runs tile by tile, the gradient is the same.

The losses that use the network depend on a picture only through sums over the pixels of feature maps: moments,
squared errors. Such sums do not depend on how the pixels are grouped, so a run of blocks (a *segment*) can be
computed tile by tile: forward without a graph, keeping only the pooled output and the sums; backward by recomputing
each tile with a graph and feeding it the gradients of both. A tile needs a margin of a few pixels (the *halo*), which
is cropped from everything that is summed or passed on, so each pixel counts once. At the picture's own border the
network's padding applies. Nothing is approximated.

Reference: Galerne et al., *Scaling Painting Style Transfer* (2022), get exact gradients in two passes over
whole-network tiles. Going segment by segment needs halos of 4 to 6 feature pixels instead of 78 or more.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch

from .backbone import block_of
from .crop import crop

#: Blocks that run as one segment. Fusing the first two means that pool1, the largest map of all, is never stored.
SEGMENTS = ((1, 2), (3,), (4, 5))


@dataclass(frozen=True)
class Plan:
    """How much of the network runs tile by tile.

    Attributes:
        tiled_blocks: number of leading blocks that are tiled: 0, 2, 3 or 5.
        tile: side of the tiles, in pixels of the picture.
    """

    tiled_blocks: int = 0
    tile: int = 256

    def __str__(self):
        if not self.tiled_blocks:
            return "untiled"
        blocks = "all blocks" if self.tiled_blocks == 5 else f"blocks 1-{self.tiled_blocks}"
        return f"{blocks} in tiles of {self.tile} px"


FULL = Plan()


def feature_sums(backbone, image, taps, plan=FULL):
    """Sums over all pixels of what ``taps`` measure in the feature maps of ``image``, with exact gradients.

    Args:
        backbone: :class:`~nstlib.features.Backbone`.
        image: RGB in [0, 1], shape (N, 3, H, W).
        taps: sequence of ``(layer, measure)``. ``measure(features, rows, columns)`` gets the part of the
            layer's map that lies in these slices and returns a tuple of tensors; the tuples of all parts
            are added up. The sums are exact if it sums a function of each pixel alone.
        plan: which blocks to tile. The result does not depend on it beyond rounding.

    Returns:
        One tuple of summed tensors per tap, differentiable with respect to ``image``.

    Example:
        >>> from nstlib.features import Backbone
        >>> net = Backbone(((8, 8), (16,)), deepest="relu2_1")
        >>> tap = ("relu2_1", lambda f, rows, columns: (f.sum((2, 3)),))
        >>> image = torch.rand(1, 3, 100, 70)
        >>> whole, = feature_sums(net, image, [tap])[0]
        >>> tiled, = feature_sums(net, image, [tap], Plan(tiled_blocks=2, tile=32))[0]
        >>> torch.allclose(whole, tiled, rtol=1e-4)
        True
    """
    results = [None] * len(taps)
    x = image
    for segment in _segments(backbone, taps):
        tiled = segment.last_block <= plan.tiled_blocks
        if tiled:
            x, *sums = _Tiled.apply(x, segment, tile_side(plan, segment.level))
            sums = segment.unflatten(sums)
        else:
            x, sums = segment.measure(x, (0, 0, *x.shape[2:]), (0, 0))
        for index, result in zip(segment.tap_indices, sums, strict=True):
            results[index] = result
    return results


def tile_side(plan, level):
    """Side of the tiles of a segment whose input has been halved ``level`` times, in its own pixels.

    Deeper maps have more channels but fewer pixels; tiles shrink more slowly than the maps do, so that the
    halos stay a small part of them.
    """
    return max(16, plan.tile * (8, 6, 4, 3, 2)[level] // 8)


def multiply_adds(backbone, size, plan=FULL):
    """Multiply-adds of the convolutions in one iteration at ``size`` (height, width).

    A forward and a backward pass; where there are tiles, a second forward pass and the rims besides. Exact for sides
    that are multiples of 16 pixels.
    """
    total, (height, width) = 0, size
    for segment in _segments(backbone, [(backbone.layers[-1], None)]):
        passes, pixels = 2, height * width
        if segment.last_block <= plan.tiled_blocks:
            passes, pixels = 3, segment.computed_pixels(height, width, tile_side(plan, segment.level))
        convs = [(backbone.convs[name], backbone.downsampling(name)) for name in segment.convs]
        weights = [9 * conv.in_channels * conv.out_channels / 4**halved for conv, halved in convs]
        total += passes * pixels * 4**segment.level * sum(weights)
        height, width = height >> segment.pools, width >> segment.pools
    return total


class _Segment:
    """Consecutive layers that are computed together, and the taps on them."""

    def __init__(self, backbone, steps, taps, tap_indices):
        self.backbone, self.steps, self.tap_indices = backbone, steps, tap_indices
        self.taps = [taps[index] for index in tap_indices]
        self.keep = {layer for layer, _ in self.taps}
        self.level = block_of(steps[0]) - 1
        self.last_block = SEGMENTS[[block_of(steps[0]) in blocks for blocks in SEGMENTS].index(True)][-1]
        self.pools = sum(name.startswith("pool") for name in steps)
        self.convs = [name for name in steps if name.startswith("conv")]
        self.halo = 0
        for name in reversed(steps):
            self.halo = self.halo * 2 if name.startswith("pool") else self.halo + name.startswith("conv")
        self.lengths = None

    def window(self, core, height, width):
        """Index of the tile that computes ``core``: the core and its halo, within the input."""
        top, left, bottom, right = core
        rows = slice(max(0, top - self.halo), min(height, bottom + self.halo))
        return ..., rows, slice(max(0, left - self.halo), min(width, right + self.halo))

    def measure(self, x, core, origin):
        """Output of the segment and sums of its taps over a part of its input.

        Args:
            x: tile of the input.
            core: the part that counts, (top, left, bottom, right) in the whole input.
            origin: where the tile starts in the whole input.

        Returns:
            ``(output over the core, [tuple of sums per tap])``.
        """
        # Pooling depends on the remainders of the origin alone; fewer values, fewer compiled variants.
        maps, output = self.backbone.run(x, self.steps, self.keep, tuple(n % 2**self.pools for n in origin))
        (row, column), (top, left, bottom, right) = origin, core
        sums = {}
        for name in self.steps:
            if name.startswith("pool"):
                row, column = (row + 1) // 2, (column + 1) // 2
                top, left, bottom, right = top // 2, left // 2, bottom // 2, right // 2
            for index, (layer, tap) in enumerate(self.taps):
                if layer == name:
                    part = crop(maps[name], slice(top - row, bottom - row), slice(left - column, right - column))
                    sums[index] = tuple(tap(part, slice(top, bottom), slice(left, right)))
        output = crop(output, slice(top - row, bottom - row), slice(left - column, right - column))
        return output, [sums[index] for index in range(len(self.taps))]

    def cores(self, height, width, tile):
        """Cut the input into nearly square cores of equal size that start at multiples of the pooling."""
        align = 2**self.pools
        tops, lefts = cuts(height, tile, align), cuts(width, tile, align)
        for top, bottom in pairwise(tops):
            for left, right in pairwise(lefts):
                yield top, left, bottom, right

    def computed_pixels(self, height, width, tile):
        """How many pixels all tiles have together, rims included."""
        windows = [self.window(core, height, width) for core in self.cores(height, width, tile)]
        return sum((rows.stop - rows.start) * (columns.stop - columns.start) for _, rows, columns in windows)

    def unflatten(self, sums):
        """Group a flat list of sums by tap."""
        sums = iter(sums)
        return [tuple(next(sums) for _ in range(length)) for length in self.lengths]


class _Tiled(torch.autograd.Function):
    """A segment run tile by tile. Only its input is saved for the backward pass."""

    @staticmethod
    def forward(ctx, x, segment, tile):
        ctx.segment, ctx.tile = segment, tile
        ctx.save_for_backward(x)
        ctx.set_materialize_grads(False)
        output = total = None
        for core in segment.cores(*x.shape[2:], tile):
            window = segment.window(core, *x.shape[2:])
            part, sums = segment.measure(x[window], core, (window[1].start, window[2].start))
            flat = [tensor for group in sums for tensor in group]
            if output is None:
                segment.lengths = [len(group) for group in sums]
                shape = (*part.shape[:2], x.shape[2] >> segment.pools, x.shape[3] >> segment.pools)
                # The map of the last block is not needed, so it is not kept.
                output = part.new_empty(shape if segment.steps[-1].startswith("pool") else 0)
                total = flat
            else:
                total = [a + b for a, b in zip(total, flat, strict=True)]
            if output.numel():
                top, left, bottom, right = (edge >> segment.pools for edge in core)
                output[..., top:bottom, left:right] = part
        return output, *total

    @staticmethod
    def backward(ctx, output_gradient, *sum_gradients):
        if torch.is_grad_enabled():  # as with create_graph=True; the tiles' graphs are gone by the time it is used
            raise RuntimeError("second derivatives do not go through tiles: use the plan FULL")
        (x,) = ctx.saved_tensors
        segment = ctx.segment
        gradient = torch.zeros_like(x)
        for core in segment.cores(*x.shape[2:], ctx.tile):
            window = segment.window(core, *x.shape[2:])
            with torch.enable_grad():
                tile = x[window].detach().requires_grad_()
                part, sums = segment.measure(tile, core, (window[1].start, window[2].start))
            outputs = [part, *(tensor for group in sums for tensor in group)]
            gradients = [None, *sum_gradients]
            if output_gradient is not None:
                top, left, bottom, right = (edge >> segment.pools for edge in core)
                gradients[0] = output_gradient[..., top:bottom, left:right]
            pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if g is not None and o.requires_grad]
            if pairs:
                outputs, gradients = zip(*pairs, strict=True)
                gradient[window] += torch.autograd.grad(outputs, tile, gradients)[0]
        return gradient, None, None


def _segments(backbone, taps):
    """Cut the layers, as far down as the taps reach, into segments."""
    deepest = max(backbone.layers.index(layer) for layer, _ in taps)
    for blocks in SEGMENTS:
        steps = tuple(name for name in backbone.layers[: deepest + 1] if block_of(name) in blocks)
        if steps:
            yield _Segment(backbone, steps, taps, [i for i, (layer, _) in enumerate(taps) if layer in steps])


def cuts(length, tile, align):
    """Edges that cut ``length`` into equal parts of about ``tile`` at multiples of ``align``."""
    parts = -(-length // tile)
    step = -(-length // (parts * align)) * align
    return [*range(0, length, step), length]
