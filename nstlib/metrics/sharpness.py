"""What happens to fine grain, to edges and to straight lines: measures of grey values that need no network."""

import numpy as np
from skimage.color import rgb2gray
from skimage.feature import canny, structure_tensor
from skimage.filters import gaussian, sobel
from skimage.metrics import structural_similarity
from skimage.transform import probabilistic_hough_line

from ..checks import number, whole
from ..errors import InputError
from ..images import fit_size, resize

#: Longer side in pixels at which lines are looked for, and the standard deviation in pixels of the window in which a
#: direction is taken: wide enough that a line which the painter shifted a little is still seen.
_LINES_SIDE, _LINES_SIGMA = 512, 4
_LEAST_SIDE = 7


def grain(image, photograph=None, share=0.1, block=16):
    """Root mean square of the grey values' part above half the Nyquist frequency: grain, in grey levels.

    Frequencies are radial, ``(u^2 + v^2)^1/2`` in cycles per pixel, so that grain counts the same in every direction;
    the cut is at 0.25. It is not abrupt but rises from 0 to 1 between 0.2 and 0.3, along half a cosine, and the
    picture is mirrored at its borders: else edges and borders would ring into quiet places and be taken for grain.

    Sharp edges have high frequencies too. Give the photograph to measure grain where there are none.

    Args:
        image: RGB in [0, 1], shape (1, 3, H, W).
        photograph: RGB in [0, 1], shape (1, 3, H', W'), resized to the image if need be; or None for all of the image.
        share: of the blocks, from 0 to 1, that count with a ``photograph``: those in which its grey values have the
            least standard deviation. At least one.
        block: side of the blocks in pixels. What is left over at the right and lower border does not count.

    Returns:
        A float in grey levels (0 to 255) of :func:`skimage.color.rgb2gray`: 0 for smooth pictures; a wave of amplitude
        ``a`` in [0, 1] gives ``255 a / 2^1/2`` above the cut.

    Raises:
        InputError: an image smaller than a block.
    """
    grey = grey_values(image)
    fine = _above_half_nyquist(grey)
    if photograph is None:
        return 255 * np.sqrt(np.square(fine).mean()).item()
    share, block = number("share", share, 0, 1), whole("block", block)
    if min(grey.shape) < block:
        raise InputError(
            f"expected a picture of at least {block} pixels a side, that of a block, received {grey.shape}"
        )
    spread = _blocks(grey_values(photograph, grey.shape), block).std(1)
    flattest = np.argsort(spread, kind="stable")[: max(1, round(share * len(spread)))]
    return 255 * np.sqrt(np.square(_blocks(fine, block)[flattest]).mean()).item()


def edges_kept(image, photograph):
    """Structural similarity of the edges: whether they are where the photograph has them, whatever the tones.

    Grey values go through the Sobel filter; its magnitudes are brought to mean 0 and standard deviation 1 in each
    picture, and compared by SSIM in windows of 7 x 7 equal weights. ``data_range`` is 4 of these deviations, about
    what 255 is to the grey values of an ordinary photograph.

    Args:
        image: RGB in [0, 1], shape (1, 3, H, W).
        photograph: RGB in [0, 1], shape (1, 3, H', W'), resized to the image if need be.

    Returns:
        A float from -1 to 1: 1 for the same edges, about 0 for unrelated ones.

    Raises:
        InputError: an image of less than 7 pixels a side.

    Reference: Wang et al., *Image Quality Assessment: From Error Visibility to Structural Similarity*, 2004.
    """
    grey = grey_values(image)
    edges = [sobel(picture) for picture in (grey, grey_values(photograph, grey.shape))]
    a, b = ((edge - edge.mean()) / max(edge.std(), 1e-6) for edge in edges)
    return structural_similarity(a, b, win_size=7, data_range=4).item()


def lines_kept(image, photograph, lines=12):
    """By how many degrees the straight lines of a photograph are bent in a picture.

    The photograph's lines are segments that the Hough transform finds in its edges, at least a sixth of the shorter
    side long. At every pixel along the longest ones, the dominant direction of the gradients in both pictures is
    taken from the structure tensor in a Gaussian window. The result is the mean angle between the two, each pixel
    weighted by how clear the photograph's direction is there. Where the image has no direction, 45 degrees count.
    Both pictures are first resized to 512 pixels (the window's standard deviation is 4, so it sees a line that has
    moved by about 10).

    Args:
        image: RGB in [0, 1], shape (1, 3, H, W).
        photograph: RGB in [0, 1], shape (1, 3, H', W'); the image is resized to its proportions.
        lines: how many segments count, the longest ones.

    Returns:
        A float in degrees: 0 for lines that are kept, about 45 for a picture without any relation, at most 90. Sample
        photographs that were turned by 5 degrees had 5 to 10, depending on what else comes into the window.

    Raises:
        InputError: the photograph has no straight lines.

    References: Galambos et al., *Progressive Probabilistic Hough Transform*, CVPR 1999; Bigün & Granlund, *Optimal
    Orientation Detection of Linear Symmetry*, ICCV 1987, for the directions.
    """
    lines = whole("lines", lines)
    size = fit_size(*photograph.shape[2:], _LINES_SIDE)
    grey = grey_values(photograph, size)
    goal, found = _directions(grey), _directions(grey_values(image, size))
    pixels = np.concatenate(_straight_lines(grey, goal)[:lines])
    goal, found = goal[tuple(pixels.T)], found[tuple(pixels.T)]
    return np.average(_angles(found, goal), weights=np.abs(goal)).item()


def _straight_lines(grey, directions):
    """Pixels (P, 2) of each straight line of a picture, the longest first."""
    segments = probabilistic_hough_line(
        canny(grey, sigma=2), threshold=10, line_length=min(grey.shape) // 6, line_gap=3, rng=0
    )
    found = []
    for (x, y), (right, bottom) in segments:
        steps = max(abs(right - x), abs(bottom - y)) + 1
        pixels = np.stack([np.linspace(y, bottom, steps), np.linspace(x, right, steps)], 1).round().astype(int)
        across = complex(-(bottom - y), right - x) ** 2
        # In a texture some edges line up by chance: along a true line the gradients stand across it.
        if _angles(directions[tuple(pixels.T)], across).mean() < 10:
            found.append(pixels)
    if not found:
        raise InputError("the photograph has no straight lines: give one that shows buildings, furniture or a horizon")
    return sorted(found, key=len, reverse=True)


def _directions(grey):
    """Dominant direction of the gradients around each pixel, as complex numbers of twice the angle from the x axis.

    Their size is the energy that the gradients have in this direction beyond that across it.
    """
    # Gradients of single pixels show the steps of a slanted edge instead of its slope.
    smooth = gaussian(grey, 1.5, mode="nearest")
    yy, xy, xx = structure_tensor(smooth, sigma=_LINES_SIGMA, mode="nearest", order="rc")
    return xx - yy + 2j * xy


def _angles(a, b):
    """Angles in degrees, 0 to 90, between directions as :func:`_directions` gives them; 45 where one is missing."""
    product = a * np.conj(b)
    size = np.abs(product)
    cosine = np.divide(product.real, size, out=np.zeros_like(size), where=size > 1e-20)
    return np.degrees(np.arccos(cosine.clip(-1, 1))) / 2


def _above_half_nyquist(grey):
    """The part of a picture (H, W) whose radial frequency is above 0.25 cycles per pixel; see :func:`grain`."""
    height, width = grey.shape
    mirrored = np.pad(grey, ((0, height), (0, width)), mode="symmetric")
    frequency = np.hypot(np.fft.fftfreq(2 * height)[:, None], np.fft.rfftfreq(2 * width))
    kept = 0.5 - 0.5 * np.cos(np.pi * ((frequency - 0.2) / 0.1).clip(0, 1))
    return np.fft.irfft2(np.fft.rfft2(mirrored) * kept, s=mirrored.shape)[:height, :width]


def _blocks(values, side):
    """Whole blocks of an array (H, W), one a row: (number of blocks, side^2)."""
    rows, columns = (length // side for length in values.shape)
    whole_blocks = values[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return whole_blocks.swapaxes(1, 2).reshape(rows * columns, side * side)


def grey_values(image, size=None):
    """Grey values (H, W) in [0, 1] of a picture, in float64, resized to ``size`` if given."""
    if image.dim() != 4 or tuple(image.shape[:2]) != (1, 3) or min(image.shape[2:]) < _LEAST_SIDE:
        raise InputError(
            f"expected a picture of shape (1, 3, H, W) of at least {_LEAST_SIDE} pixels a side, "
            f"received {tuple(image.shape)}"
        )
    image = image.detach().double().cpu()
    return rgb2gray((image if size is None else resize(image, size))[0].permute(1, 2, 0).numpy())
