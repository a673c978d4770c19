"""The margin: pixels around a picture that are painted with it and cut off.

At its edges a network sees the padding in the place of neighbours. What an optimizer paints there serves the statistics
of the whole picture at the least cost, and comes out garish, whatever the padding; ``docs/benchmarks.md`` has figures.
"""

import torch.nn.functional as F

#: A margin is never more than this share of the picture's smaller side.
LARGEST_SHARE = 1 / 8


def margin_of(size, wanted):
    """Pixels of the margin of a picture of ``size`` (height, width)."""
    return min(wanted, int(min(size) * LARGEST_SHARE))


def outer(size, wanted):
    """(height, width) with the margin of :func:`margin_of`."""
    margin = margin_of(size, wanted)
    return size[0] + 2 * margin, size[1] + 2 * margin


def around(image, margin):
    """A picture (N, C, H, W), mirrored at its edges into a margin."""
    return F.pad(image, (margin,) * 4, mode="reflect") if margin else image


def within(image, size):
    """The picture of ``size`` (height, width) without its margin."""
    margin = (image.shape[2] - size[0]) // 2
    return image[..., margin : margin + size[0], margin : margin + size[1]]
