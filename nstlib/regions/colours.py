"""Regions by colour: of a photograph and a painting in pairs, or of a photograph alone."""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.cluster.vq import ClusterError, kmeans2
from scipy.optimize import linear_sum_assignment
from skimage.segmentation import slic

from ..checks import whole
from ..errors import InputError
from ..images import fit_size, load_image, resize
from .reduced import enlarged, lab_of, reduced

#: Spread of a colour of the palette in units of Lab.
SPREAD = 12.0
#: Longer side in pixels above which the shares of colours are those of a smaller copy.
LARGEST = 1536
#: Superpixels that segments are put together from, and the weight of a place in the picture against its colour.
SUPERPIXELS, PLACE = 400, 30.0


def palette(photo, painting, n=4):
    """The main colours of a photograph and of a painting, paired with each other.

    Args:
        photo, painting: whatever :func:`~nstlib.load_image` takes.
        n: how many colours.

    Returns:
        ``(places, parts)``: n masks of the photograph, and n of the painting, the k-th of which belong together:
        ``[Style(painting, where=place, of=part) for place, part in zip(places, parts)]``.

    Raises:
        InputError: no pictures, or fewer colours in one than asked for.

    Colours are clustered in CIE Lab; those of the painting go to the photograph's so that the sum of their distances,
    relative to the spread of each picture's own colours, is least. Reference: Afifi et al., *CAMS: Color-Aware
    Multi-Style Transfer*, 2021, for soft masks of palettes.
    """
    n = whole("n", n)
    pictures = [load_image(source) for source in (photo, painting)]
    found = [_main_colours(picture, n) for picture in pictures]
    relative = [(colours - colours.mean(0)) / (colours.std() + 1e-6) for colours in found]
    _, order = linear_sum_assignment(np.linalg.norm(relative[0][:, None] - relative[1], axis=2))
    return _soft(pictures[0], found[0]), _soft(pictures[1], found[1][order])


def segments(photo, n=3):
    """The photograph in n regions of like colour that lie together as far as their colours allow.

    Args:
        photo: whatever :func:`~nstlib.load_image` takes.
        n: how many.

    Returns:
        n masks, the largest first. They know nothing of what is shown: look at them with :func:`show`.

    Raises:
        InputError: no picture, or one too plain for so many.

    Superpixels (Achanta et al., *SLIC*, PAMI 2012), joined by Ward's criterion on their colour and place.
    """
    n = whole("n", n)
    picture = load_image(photo)
    small = reduced(picture)
    lab = lab_of(small)
    parts = slic(small[0].permute(1, 2, 0).numpy(), SUPERPIXELS, compactness=10, start_label=0, channel_axis=-1)
    places = PLACE * np.stack(np.mgrid[: parts.shape[0], : parts.shape[1]], -1) / max(parts.shape)
    values = np.concatenate([lab, places], -1).reshape(-1, 5)
    counts = np.bincount(parts.ravel())
    means = np.stack([np.bincount(parts.ravel(), column) for column in values.T], 1) / counts[:, None]
    if len(counts) < n:
        raise InputError(f"the photograph has only {len(counts)} parts, fewer than {n}: ask for fewer")
    if len(counts) == 1:
        return [np.ones(tuple(picture.shape[2:]), np.float32)]
    groups = fcluster(linkage(means, "ward"), n, "maxclust")[parts]
    names = sorted(np.unique(groups), key=lambda name: -(groups == name).sum())
    return enlarged(np.stack([groups == name for name in names]).astype(float), tuple(picture.shape[2:]))


def _main_colours(picture, n):
    """Centres of n clusters of the colours, (n, 3) in Lab, always the same for a picture."""
    colours = lab_of(reduced(picture)).reshape(-1, 3)
    centred = colours - colours.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    # To begin with, as many colours of each cluster along the direction in which they differ most.
    groups = np.array_split(colours[(centred @ axes[:, -1]).argsort()], n)
    try:
        return kmeans2(colours, np.stack([group.mean(0) for group in groups]), iter=30, missing="raise")[0]
    except ClusterError:
        raise InputError(f"a picture has fewer than {n} colours: ask for fewer") from None


def _soft(picture, colours):
    """Of each colour its share of every pixel, by the distance in Lab; of large pictures found in smaller copies."""
    size = tuple(picture.shape[2:])
    lab = lab_of(resize(picture, fit_size(*size, min(LARGEST, max(size)))))
    distances = np.stack([np.square(lab - colour).sum(-1) for colour in colours]) / SPREAD**2
    shares = np.exp(distances.min(0) - distances)
    return enlarged(shares / shares.sum(0), size)
