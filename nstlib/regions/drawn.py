"""Regions drawn by hand: as scribbles that grow, or as a picture of masks."""

import numpy as np
import torch.nn.functional as F
from skimage.segmentation import random_walker
from torch import cdist, stack

from ..errors import InputError
from ..images import load_image, load_image_and_alpha
from ..masks import label_colours
from .reduced import enlarged, lab_of, reduced

#: Mean spread of red, green and blue below which a picture of masks is grey: one mask, no map of labels. A mask that
#: differs by less from place to place is the same everywhere.
GREY = 0.02
#: Difference of colours, in [0, 1], from which a pixel of the photograph has been drawn on.
DRAWN = 0.15


def scribbles(photo, labels):
    """Regions grown from scribbles, by random walks that do not like to cross edges.

    Args:
        photo: whatever :func:`~nstlib.load_image` takes.
        labels: array (H, W) of whole numbers: 1, 2, ... where a scribble of that region is, 0 elsewhere. Or a picture:
            the photograph with scribbles drawn over it, or scribbles on a transparent ground, those of each region in a
            plain colour of their own. Of the photograph's size.

    Returns:
        One mask per region: the probability that a walk from a pixel meets its scribbles first. Those of a picture are
        sorted: the largest first.

    Raises:
        InputError: labels of another size or kind, fewer than two regions, or scribbles that cover most of the picture.

    Reference: Grady, *Random Walks for Image Segmentation*, PAMI 2006; :func:`skimage.segmentation.random_walker`.
    """
    picture = load_image(photo)
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        return _grown(picture, labels)
    masks = _grown(picture, _labels_of(labels, picture))
    return sorted(masks, key=lambda mask: -mask.sum())


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


def _grown(picture, labels):
    """The masks of the scribbles in an array of labels."""
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
    small = reduced(picture)
    seeds = np.zeros(small.shape[2:], int)
    # A scribble may be thinner than a pixel of the reduced picture: none is lost.
    rows, columns = np.nonzero(labels)
    scale = np.array(seeds.shape) / size
    seeds[(rows * scale[0]).astype(int), (columns * scale[1]).astype(int)] = labels[rows, columns]
    if len(np.unique(seeds[seeds > 0])) < count:
        raise InputError("some scribbles lie on top of each other: draw them further apart")
    options = {"beta": 500, "mode": "bf", "channel_axis": -1, "return_full_prob": True}
    return enlarged(np.stack(random_walker(lab_of(small) / 100, seeds, **options)), size)


def _labels_of(source, photo):
    """The labels of a picture of scribbles."""
    image, alpha = load_image_and_alpha(source)
    if image.shape != photo.shape:
        (height, width), (own_height, own_width) = photo.shape[2:], image.shape[2:]
        raise InputError(f"the scribbles are {own_width} x {own_height} pixels, and the photograph {width} x {height}")
    drawn = (image - photo).abs().amax(1)[0] > DRAWN if alpha is None else alpha[0, 0] > 0.5
    if drawn.float().mean() > 0.5:
        raise InputError("most of the picture is drawn over: draw lines on the photograph, or on a transparent ground")
    # The soft edges of lines have colours between theirs and the photograph's.
    inside = drawn & (F.max_pool2d(image, 3, 1, 1) + F.max_pool2d(-image, 3, 1, 1) < DRAWN).all(1)[0]
    drawn = inside if inside.any() else drawn
    pixels = image[0, :, drawn].T
    colours = label_colours(pixels) if len(pixels) else []
    if len(colours) < 2:
        raise InputError("scribbles in at least two plain colours are needed, one for each region")
    distance, nearest = cdist(pixels, stack(colours)).min(1)
    labels = np.zeros(drawn.shape, int)
    labels[drawn.numpy()] = ((nearest + 1) * (distance < DRAWN)).numpy()
    return labels
