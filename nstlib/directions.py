"""In which direction a picture runs at each place: along its edges, its hair, its strokes."""

import math

import numpy as np
import torch
from skimage.feature import structure_tensor

from .images import fit_size, resize

#: Longer side in pixels at which directions are looked for, and the standard deviation of the window in which one is
#: taken, relative to that side.
SIDE, WINDOW = 1024, 0.01
#: Gradients below this share of their mean energy have no direction: they are noise.
_NOISE = 0.05


def directions(image):
    """Direction of a picture at each place, by the structure tensor of its colours, and how clear it is.

    Args:
        image: RGB in [0, 1], shape (1, 3, H, W).

    Returns:
        Tensor like the image, shape (1, 2, h, w), of at most :data:`SIDE` pixels a side: ``c cos 2a`` and ``c sin 2a``.
        ``a`` is the angle between the x axis and the direction in which colours change least, above 0 where it rises to
        the right; twice the angle, because turned by 180 degrees a direction is the same. ``c``, from 0 to 1, is its
        coherence: 0 where nothing changes, or as much in all directions.

    Reference: Bigün & Granlund, *Optimal Orientation Detection of Linear Symmetry*, ICCV 1987.
    """
    size = image.shape[2:]
    small = resize(image, fit_size(*size, min(SIDE, max(size))))
    sigma = WINDOW * max(small.shape[2:])
    colours = small[0].detach().double().cpu().numpy()
    yy, xy, xx = np.sum([structure_tensor(one, sigma=sigma, mode="nearest", order="rc") for one in colours], axis=0)
    energy = yy + xx
    # Across the gradient; and the rows of a picture count downwards.
    field = np.stack([yy - xx, 2 * xy]) / (energy + _NOISE * energy.mean() + 1e-12)
    return torch.from_numpy(field)[None].to(image)


def angles(field, size):
    """Of :func:`directions`, at ``size`` (height, width): angles in degrees, from 0 to 180, and coherence.

    Both are of shape (1, 1, height, width).
    """
    cosine, sine = (2 * resize((field + 1) / 2, size) - 1).split(1, 1)
    return torch.atan2(sine, cosine).mul(90 / math.pi).remainder(180), torch.hypot(cosine, sine)
