"""The canvas: the parameters that are optimised, and the picture that they show."""

import torch
from torch import nn

from ..images import resize


class Pixels(nn.Module):
    """A canvas whose parameters are the pixels themselves.

    A *canvas* is an ``nn.Module`` that is made from a picture and has ``image()``, ``resized(start)`` and ``clamp_()``.
    All of its parameters are optimised, and averaged where the optimizer's iterates jitter.

    Args:
        image: to start from, RGB in [0, 1], shape (N, 3, H, W), on the device and in the type to compute in.
    """

    def __init__(self, image):
        super().__init__()
        self.pixels = nn.Parameter(image.detach().contiguous().clone())

    def image(self):
        """The picture that the parameters show, RGB, shape (N, 3, H, W), differentiable."""
        return self.pixels

    def resized(self, start):
        """The same canvas at another size.

        Args:
            start: the picture that this one was made from, at that size.
        """
        return Pixels(resize(self.pixels.detach(), start.shape[2:]))

    @torch.no_grad()
    def clamp_(self):
        """Move the parameters to the nearest ones whose picture lies in [0, 1]."""
        self.pixels.clamp_(0, 1)


#: Canvases by name.
CANVASES = {"pixels": Pixels}
