"""Whether the strokes of a picture run along what the photograph shows: a measure that needs no network."""

import numpy as np

from ..checks import number
from ..directions import angles, directions
from ..errors import InputError


def strokes_along(image, photograph, within=22.0):
    """Share of a picture's gradient energy that edges along the structure of the photograph have.

    A pixel's gradient, in each colour by central differences, counts by its square and by the coherence of the
    photograph there; see :func:`~nstlib.directions.directions`.

    Args:
        image: RGB in [0, 1], shape (1, 3, H, W), at least 2 pixels a side.
        photograph: RGB in [0, 1], shape (1, 3, H', W'), of any size.
        within: degrees, from 0 to 90, by which a stroke may deviate.

    Returns:
        A float: 1 for strokes that all follow the photograph, ``within / 90`` for any that have nothing to do with it.

    Raises:
        InputError: other shapes, a plain image, or a photograph without structure.
    """
    within = number("within", within, 0, 90)
    if image.dim() != 4 or tuple(image.shape[:2]) != (1, 3) or min(image.shape[2:]) < 2:
        raise InputError(f"expected a picture of shape (1, 3, H, W), received {tuple(image.shape)}")
    expected, clear = (x[0, 0].cpu().double().numpy() for x in angles(directions(photograph), tuple(image.shape[2:])))
    down, right = np.gradient(image[0].detach().double().cpu().numpy(), axis=(1, 2))
    energy = clear * (down**2 + right**2)
    if not energy.sum() > 0:
        raise InputError("the image is plain, or the photograph has no structure: there are no directions to compare")
    # Rows count downwards: a stroke that rises to the right has gradients to the right and down.
    apart = np.abs((np.degrees(np.arctan2(right, down)) - expected + 90) % 180 - 90)
    return (energy[apart <= within].sum() / energy.sum()).item()
