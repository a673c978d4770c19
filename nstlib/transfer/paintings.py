"""The style pictures of a transfer, at the sizes at which their strokes are as large as asked for."""

import math
import warnings

import torch

from ..errors import InputError
from ..images import fit_size, load_image_and_alpha, resize, resize_straight
from ..masks import load_mask
from ..terms.measures import product


class Painting:
    """A style picture, reduced at once to the largest size at which it is used.

    Args:
        style: :class:`~nstlib.Style`.
        number: what messages call it.
        size: (height, width) of the result.
        brush: size of the strokes for all styles, on top of the style's own.
        least: smallest side in pixels that the network can see.
        max_pixels: larger files are refused.

    Attributes:
        image: straight colours in [0, 1], shape (1, 3, H, W).
        alpha: transparency, shape (1, 1, H, W), or None.
        weights: how much each pixel counts, likewise.

    Raises:
        InputError: a picture or a mask that cannot be used.
    """

    def __init__(self, style, number, size, *, brush=1.0, least=1, max_pixels=None):
        image, alpha = load_visible(style.picture, "a style picture", max_pixels)
        check_side("a style picture", image.shape[2:], least)
        part = None
        if style.of is not None:
            part = load_mask(style.of, image.shape[2:], f"the mask on style {number}", max_pixels=max_pixels)
        self.brush, self.weight = brush * style.brush, style.weight
        self._own, self._least = tuple(image.shape[2:]), least
        largest = self.size_beside(size)
        self.image, self.alpha = at_most(image, alpha, largest)
        part = None if part is None else resize(part, self.image.shape[2:])
        self.weights = product(self.alpha, part)
        if self.weights is not None and not self.weights.any():
            raise InputError(f"the mask on style {number} shows nothing but transparent pixels")
        self._say_if_out_of_reach(number, max(size), max(largest))

    def size_beside(self, size):
        """(height, width) beside a result of this size: never more than its own, never less than the network sees."""
        height, width = self._own
        smallest = math.ceil(self._least * max(height, width) / min(height, width))
        longest = max(round(max(size) * self.brush), smallest)
        return fit_size(height, width, min(longest, max(height, width)))

    def same_as(self, other):
        """Whether another asks for the very same style."""
        return (self.brush, self.weight) == (other.brush, other.weight) and all(
            mine is theirs is None or (mine is not None and theirs is not None and torch.equal(mine, theirs))
            for mine, theirs in ((self.image, other.image), (self.weights, other.weights))
        )

    def _say_if_out_of_reach(self, number, side, longest):
        if self.brush != 1 and abs(longest / side / self.brush - 1) > 0.02:
            warnings.warn(
                f"brush={self.brush:g} of style {number} is out of reach, its strokes are those of "
                f"brush={longest / side:.2g}: paintings are not enlarged past their own pixels (this one has "
                f"{max(self._own)} on its longer side), nor shown smaller than the network can see",
                stacklevel=6,
            )


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
