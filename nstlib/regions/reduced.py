"""Regions are looked for in a small copy of the photograph, in CIE Lab."""

import numpy as np
from skimage import color
from torch import from_numpy

from ..images import fit_size, resize

#: Longer side of the copy in pixels.
SIDE = 384


def reduced(picture):
    size = tuple(picture.shape[2:])
    return resize(picture, fit_size(*size, min(SIDE, max(size))))


def lab_of(picture):
    return color.rgb2lab(picture[0].permute(1, 2, 0).numpy()).astype(np.float64)


def enlarged(masks, size):
    """A stack of masks that add up to 1, at the photograph's size."""
    large = resize(from_numpy(masks.astype(np.float32))[None], size)[0].numpy()
    return [*(large / large.sum(0))]
