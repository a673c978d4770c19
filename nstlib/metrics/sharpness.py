"""Grain, edges and straight lines of a picture, measured on its luminance, without a network."""

import numpy as np
from scipy import fft
from skimage import feature, filters, transform
from skimage.metrics import structural_similarity

from ..checks import share as checked_share
from ..checks import whole
from ..errors import InputError
from ..images import resize

#: ITU-R BT.601
LUMA = np.array([0.299, 0.587, 0.114])


def grain(image, photograph=None, share=0.1, block=16):
    """Root mean square of the luminance's detail finer than half the Nyquist frequency.

    Kept is what a picture of half the size could not hold: cosines (DCT) with more than one period in four pixels
    along rows or columns. Strokes are in it as well; in what is flat in the photograph it is mostly noise.

    Args:
        image: RGB in [0, 1], shape (1, 3, H, W).
        photograph: of any size; only the blocks that are flattest in it are then looked at.
        share: of the blocks, in (0, 1].
        block: side of a block in pixels.

    Returns:
        A float in grey levels, from 0 to 128.

    Raises:
        InputError: numbers out of range, or a picture smaller than a block.
    """
    share, block = checked_share("share", share), whole("block", block)
    luminance = _luminance(image)
    waves = fft.dctn(luminance, norm="ortho")
    frequency = np.maximum.outer(*(np.arange(length) / length for length in waves.shape))  # 1: Nyquist's
    fine = fft.idctn(np.where(frequency > 0.5, waves, 0), norm="ortho")
    if photograph is None:
        return float(np.sqrt(np.mean(fine**2)))
    if min(luminance.shape) < block:
        raise InputError(f"the picture has no block of {block} pixels: choose a smaller block")
    texture = _blocks(_luminance(resize(photograph, image.shape[2:])), block).std((1, 3)).ravel()
    flattest = np.argsort(texture, kind="stable")[: max(1, round(share * texture.size))]
    return float(np.sqrt((_blocks(fine, block) ** 2).mean((1, 3)).ravel()[flattest].mean()))


def edges_kept(image, photograph):
    """Structural similarity (SSIM) of the edges, each picture's as strong as they are: what is left of a drawing.

    Compared are Sobel magnitudes of the luminance, with zero mean and unit spread, in windows of 7 x 7; the data
    range is the photograph's.

    Args:
        image, photograph: RGB in [0, 1], shape (1, 3, H, W); the photograph is resized if it has another size.

    Returns:
        A float from about 0, other edges, to 1, the same.

    Raises:
        InputError: a picture of fewer than 7 pixels a side.

    Reference: Wang et al., *Image Quality Assessment: From Error Visibility to Structural Similarity*, TIP 2004.
    """
    if min(image.shape[2:]) < 7:
        raise InputError(f"expected a picture of at least 7 pixels a side, received {tuple(image.shape)}")
    edges = [filters.sobel(_luminance(x)) for x in (image, resize(photograph, image.shape[2:]))]
    found, goal = ((x - x.mean()) / max(x.std(), 1e-9) for x in edges)
    return float(structural_similarity(found, goal, win_size=7, data_range=max(np.ptp(goal), 1e-9)))


def lines_kept(image, photograph, count=20):
    """By how many degrees the structure along the photograph's longest straight lines has turned.

    The lines are found by the probabilistic Hough transform on Canny edges. Along each of them, the structure tensors
    of both pictures are added up; compared are the directions of their strongest change, weighted by length.

    Args:
        image, photograph: RGB in [0, 1], shape (1, 3, H, W); the photograph is resized if it has another size.
        count: number of lines.

    Returns:
        A float in degrees, from 0, kept, to 90; about 45 where nothing is left of the lines.

    Raises:
        InputError: the photograph has no straight line of an eighth of its shorter side.

    References: Galamhos et al., *Progressive Probabilistic Hough Transform for Line Detection*, CVPR 1999; Bigün &
    Granlund, *Optimal Orientation Detection of Linear Symmetry*, ICCV 1987.
    """
    pictures = [_luminance(x) for x in (image, resize(photograph, image.shape[2:]))]
    shortest = max(2, min(image.shape[2:]) // 8)
    edges = feature.canny(pictures[1] / 255, sigma=2)
    found = transform.probabilistic_hough_line(edges, threshold=10, line_length=shortest, line_gap=3, rng=0)
    if not found:
        raise InputError(f"the photograph has no straight line of at least {shortest} pixels: measure edges_kept")
    lines = sorted(np.array(found, dtype=float), key=_length, reverse=True)[: whole("count", count)]
    # Smoothed first: the differences of sharp pixels lean towards rows, columns and diagonals.
    smooth = [filters.gaussian(picture, 1) for picture in pictures]
    tensors = [feature.structure_tensor(picture, 1.5, "nearest", order="xy") for picture in smooth]
    turned = [abs(np.subtract(*(_direction(tensor, line) for tensor in tensors))) % 180 for line in lines]
    return float(np.average(np.minimum(turned, np.subtract(180, turned)), weights=[_length(line) for line in lines]))


def _luminance(image):
    """Array (H, W), in grey levels."""
    return 255 * (image[0].detach().cpu().double().permute(1, 2, 0).numpy() @ LUMA)


def _blocks(x, side):
    """Blocks of a map as an array (rows, side, columns, side); what is left over at the borders is dropped."""
    rows, columns = (length // side for length in x.shape)
    return x[: rows * side, : columns * side].reshape(rows, side, columns, side)


def _length(line):
    return np.hypot(*(line[1] - line[0]))


def _direction(tensor, line):
    """Direction in degrees, modulo 180, of the strongest change along a line ((x, y), (x, y))."""
    x, y = np.linspace(*line, round(_length(line)) + 1).round().astype(int).T
    xx, xy, yy = (part[y, x].sum() for part in tensor)
    return np.degrees(np.arctan2(2 * xy, xx - yy)) / 2
