"""How large the brush strokes of a painting are."""

import numpy as np
from scipy.ndimage import gaussian_filter

from ..errors import InputError
from .sharpness import grey_values

#: Standard deviation, relative to the longer side, of the blur that is no stroke but light and shade.
_SHADE = 1 / 12
_LEVEL = 0.25


def stroke_length(image, photograph=None):
    """Width of the strokes of a painting, from their autocorrelation.

    Strokes are here what is in the grey values of the painting and not in those of the photograph, without what remains
    of it after a blur by a twelfth of the longer side: light, shade and large areas. Their autocorrelation, averaged
    over all directions, falls off from 1; the length is where it is down to a quarter. Noise that was blurred with a
    standard deviation ``s`` has the autocorrelation ``exp(-r^2 / 4 s^2)``; so its length is ``2 s (ln 4)^1/2``, which
    is the width of the blur at half its height.

    Args:
        image: RGB in [0, 1], shape (1, 3, H, W).
        photograph: RGB in [0, 1], shape (1, 3, H', W'), resized to the image if need be; or None for a picture that is
            nothing but strokes, such as a painting of its own.

    Returns:
        A float in pixels. Divide by the longer side to compare pictures of different sizes.

    Raises:
        InputError: a picture without any strokes.
    """
    grey = grey_values(image)
    if photograph is not None:
        grey = grey - grey_values(photograph, grey.shape)
    strokes = grey - gaussian_filter(grey, _SHADE * max(grey.shape), mode="reflect")
    if strokes.std() < 1e-6:
        raise InputError("there is nothing but smooth areas in the picture: it has no strokes")
    distances, correlations = _radial(_autocorrelation(strokes))
    end = np.argmax(correlations < _LEVEL)  # below 0 at some distance, because its mean is about 0
    return np.interp(-_LEVEL, -correlations[end - 1 : end + 1], distances[end - 1 : end + 1]).item()


def _autocorrelation(values):
    """Correlation of an array (H, W) with itself moved by up to a quarter of each side, (2 h + 1, w + 1) of them."""
    rows, columns = (side // 4 for side in values.shape)
    size = tuple(side + side // 4 for side in values.shape)

    def sums(array):
        found = np.fft.irfft2(np.abs(np.fft.rfft2(array, size)) ** 2, size)
        return np.roll(found, rows, 0)[: 2 * rows + 1, : columns + 1]

    found = sums(values) / sums(np.ones_like(values)).round()
    return found / found[rows, 0]


def _radial(correlations):
    """Mean distance and mean correlation of rings one pixel wide, up to the shorter side."""
    rows, columns = correlations.shape[0] // 2, correlations.shape[1] - 1
    distance = np.hypot(np.arange(-rows, rows + 1)[:, None], np.arange(columns + 1))
    ring = distance.round().astype(int)
    counts = np.bincount(ring.ravel())[: min(rows, columns) + 1]
    means = (np.bincount(ring.ravel(), of.ravel())[: len(counts)] / counts for of in (distance, correlations))
    return tuple(means)
