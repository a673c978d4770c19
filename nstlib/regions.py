"""Regions of a photograph, found from its colours, from scribbles or by themselves: masks to look at and to use.

Each function returns masks, float32 arrays of the photograph's (H, W) in [0, 1] that add up to 1 at every pixel:
``Style(painting, where=mask)`` paints there. :func:`show` draws them over the photograph. :func:`objects` is that of
:mod:`nstlib.networks.objects`, and gives its masks by name.
"""

import colorsys

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.cluster.vq import ClusterError, kmeans2
from scipy.optimize import linear_sum_assignment
from skimage import color as spaces
from skimage.segmentation import random_walker, slic
from torch import cdist, from_numpy, stack

from .checks import whole
from .errors import InputError
from .images import fit_size, load_image, resize, to_pil
from .masks import label_colours
from .networks.objects import objects

__all__ = ["areas", "color_of", "objects", "palette", "scribbles", "segments", "show"]

#: Longer side in pixels at which regions are looked for.
SIDE = 384
#: Spread of a colour of the palette in units of Lab.
SPREAD = 12.0
#: Superpixels that segments are put together from, and the weight of a place in the picture against its colour.
SUPERPIXELS, PLACE = 400, 30.0
#: Mean spread of red, green and blue below which a picture of masks is grey: one mask, no map of labels. A mask that
#: differs by less from place to place is the same everywhere.
GREY = 0.02


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


def scribbles(photo, labels):
    """Regions grown from scribbles, by random walks that do not like to cross edges.

    Args:
        photo: whatever :func:`~nstlib.load_image` takes.
        labels: array (H, W) of whole numbers: 1, 2, ... where a scribble of that region is, 0 elsewhere; of the
            photograph's size.

    Returns:
        One mask per region: the probability that a walk from a pixel meets its scribbles first.

    Raises:
        InputError: labels of another size or kind, or fewer than two regions.

    Reference: Grady, *Random Walks for Image Segmentation*, PAMI 2006; :func:`skimage.segmentation.random_walker`.
    """
    picture, labels = load_image(photo), np.asarray(labels)
    size = tuple(picture.shape[2:])
    if labels.shape != size or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels must be whole numbers of shape {size}, as the photograph, received {labels.dtype} of shape "
            f"{labels.shape}"
        )
    count = int(labels.max(initial=0))
    missing = [number for number in range(1, max(count, 2) + 1) if not (labels == number).any()]
    if missing or labels.min() < 0:
        raise InputError(
            f"labels must be 0 where nothing is drawn and 1, 2, ... for at least two regions; there is no {missing}"
        )
    small = _reduced(picture)
    seeds = np.zeros(small.shape[2:], int)
    # A scribble may be thinner than a pixel of the reduced picture: none is lost.
    rows, columns = np.nonzero(labels)
    scale = np.array(seeds.shape) / size
    seeds[(rows * scale[0]).astype(int), (columns * scale[1]).astype(int)] = labels[rows, columns]
    if len(np.unique(seeds[seeds > 0])) < count:
        raise InputError("some scribbles lie on top of each other: draw them further apart")
    options = {"beta": 500, "mode": "bf", "channel_axis": -1, "return_full_prob": True}
    return _enlarged(np.stack(random_walker(_lab(small) / 100, seeds, **options)), size)


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
    small = _reduced(picture)
    lab = _lab(small)
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
    return _enlarged(np.stack([groups == name for name in names]).astype(float), tuple(picture.shape[2:]))


def areas(source):
    """The areas of a picture of masks.

    Args:
        source: whatever :func:`~nstlib.load_image` takes: a map of labels, plain areas in colours of their own; or one
            mask, a picture in shades of grey.

    Returns:
        One mask for each colour of the map, the largest area first, of the map's own size. Of a grey picture, it and
        what it leaves. As always, masks need the proportions of the photograph, not its size.

    Raises:
        InputError: no picture, or one without areas: of one colour, or of no plain ones.
    """
    image = load_image(source)
    if (image.amax(1) - image.amin(1)).mean() < GREY:
        mask = image.mean(1)[0].numpy()
        if mask.max() - mask.min() < GREY:
            raise InputError("the mask is the same everywhere: it must be white where a region is, black elsewhere")
        return [mask, 1 - mask]
    pixels = image[0].flatten(1).T
    colours = label_colours(pixels)
    if len(colours) < 2:
        raise InputError("the map of labels must have at least two areas, each of one plain colour")
    nearest = cdist(pixels, stack(colours)).argmin(1).view(image.shape[2:]).numpy()
    return [(nearest == number).astype(np.float32) for number in np.bincount(nearest.ravel()).argsort()[::-1]]


def show(photo, masks):
    """The photograph with each mask in a colour of its own, :func:`color_of` its number, as a PIL image.

    Args:
        photo: whatever :func:`~nstlib.load_image` takes.
        masks: list of arrays (H, W) in [0, 1], of the photograph's size.

    Raises:
        InputError: masks of another size.
    """
    picture = load_image(photo)[0].permute(1, 2, 0).numpy()
    tinted = 0.35 * picture
    grey = picture.mean(-1, keepdims=True)
    left = np.ones_like(grey)
    for number, mask in enumerate(masks):
        mask = np.asarray(mask, np.float32)
        if mask.shape != picture.shape[:2]:
            raise InputError(f"masks must be of shape {picture.shape[:2]}, as the photograph, received {mask.shape}")
        tinted = tinted + 0.65 * mask[..., None] * np.array(color_of(number)) * (0.35 + 0.65 * grey)
        left = left - mask[..., None]
    tinted = tinted + 0.65 * left.clip(0, 1) * picture
    return to_pil(from_numpy(np.ascontiguousarray(tinted.clip(0, 1).transpose(2, 0, 1), np.float32)))


def color_of(number):
    """The colour in which :func:`show` draws the mask of this number: red, green and blue in [0, 1]."""
    # Hues a golden angle apart are far from each other, however many there are.
    return colorsys.hsv_to_rgb((0.6 + 0.618034 * number) % 1, 0.75, 1.0)


def _reduced(picture):
    size = tuple(picture.shape[2:])
    return resize(picture, fit_size(*size, min(SIDE, max(size))))


def _lab(picture):
    return spaces.rgb2lab(picture[0].permute(1, 2, 0).numpy()).astype(np.float64)


def _main_colours(picture, n):
    """Centres of n clusters of the colours, (n, 3) in Lab, always the same for a picture."""
    colours = _lab(_reduced(picture)).reshape(-1, 3)
    centred = colours - colours.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    # To begin with, as many colours of each cluster along the direction in which they differ most.
    groups = np.array_split(colours[(centred @ axes[:, -1]).argsort()], n)
    try:
        return kmeans2(colours, np.stack([group.mean(0) for group in groups]), iter=30, missing="raise")[0]
    except ClusterError:
        raise InputError(f"a picture has fewer than {n} colours: ask for fewer") from None


def _soft(picture, colours):
    """Of each colour its share of every pixel, by the distance in Lab."""
    lab = _lab(picture)
    distances = np.stack([np.square(lab - colour).sum(-1) for colour in colours], -1) / SPREAD**2
    shares = np.exp(distances.min(-1, keepdims=True) - distances)
    return [*(shares / shares.sum(-1, keepdims=True)).transpose(2, 0, 1).astype(np.float32)]


def _enlarged(masks, size):
    """A stack of masks that add up to 1, at the photograph's size."""
    large = resize(from_numpy(masks.astype(np.float32))[None], size)[0].numpy()
    return [*(large / large.sum(0))]
