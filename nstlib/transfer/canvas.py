"""The canvas: the parameters that are optimised, and the picture that they show."""

import torch
from torch import nn

from ..images import resize
from .margin import around, within


class Pixels(nn.Module):
    """A canvas whose parameters are the pixels themselves.

    A *canvas* is an ``nn.Module`` that is made from a picture and the pixels of its margin and has ``image()``,
    ``resized(start, margin)`` and ``clamp_()``. All of its parameters are optimised, and averaged where the optimizer's
    iterates jitter.

    Args:
        image: to start from, without margin, RGB in [0, 1], shape (N, 3, H, W), on the device and in the type to use.
        margin: pixels on each side of it that are painted too; see :mod:`nstlib.transfer.margin`.
    """

    def __init__(self, image, margin=0):
        super().__init__()
        self._size = image.shape[2:]
        self.pixels = nn.Parameter(around(image.detach(), margin).contiguous().clone())

    def image(self):
        """The picture that the parameters show, with its margin, RGB, (N, 3, H + 2 margin, W + 2 margin)."""
        return self.pixels

    def resized(self, start, margin=0):
        """The same canvas at another size.

        Args:
            start: the picture that this one was made from, at that size.
            margin: as for the class.
        """
        return Pixels(resize(within(self.pixels.detach(), self._size), start.shape[2:]), margin)

    @torch.no_grad()
    def clamp_(self):
        """Move the parameters to the nearest ones whose picture lies in [0, 1]."""
        self.pixels.clamp_(0, 1)


#: Canvases by name.
CANVASES = {"pixels": Pixels}
