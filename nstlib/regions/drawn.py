"""Regions drawn by hand: as scribbles that grow, or as a picture of masks."""

import os

import numpy as np
from scipy.ndimage import find_objects, label, maximum_filter, minimum_filter
from skimage.segmentation import random_walker
from torch import cdist, from_numpy, stack

from ..errors import InputError
from ..images import MAX_PIXELS, composite, load_image, load_image_and_alpha
from ..masks import label_colours
from .reduced import enlarged, lab_of, reduced

#: Mean spread of red, green and blue below which a picture of masks is grey: one mask, no map of labels. A mask that
#: differs by less from place to place is the same everywhere.
GREY = 0.02
#: Difference of colours, in [0, 1], from which a pixel of the photograph has been drawn on, and from which two lines
#: are of different regions. What is so many pixels from a line belongs to it.
DRAWN, DIFFERENT, NEAR = 0.15, 0.4, 8
#: A line has at least so many pixels, and so large a share of them has one of its colours, each of which has a tenth.
SPECK, PLAIN, SHARE_OF_LINE = 12, 0.75, 0.1


def scribbles(photo, labels, *, max_pixels=MAX_PIXELS):
    """Regions grown from scribbles, by random walks that do not like to cross edges.

    Args:
        photo: whatever :func:`~nstlib.load_image` takes.
        labels: array (H, W) of whole numbers: 1, 2, ... where a scribble of that region is, 0 elsewhere. Or a picture:
            the photograph with scribbles drawn over it, or scribbles on a transparent ground, those of each region in a
            plain colour of their own. Of the photograph's size.
        max_pixels: larger files are refused.

    Returns:
        One mask per region: the probability that a walk from a pixel meets its scribbles first. Those of a picture are
        sorted: the largest first.

    Raises:
        InputError: labels of another size or kind, fewer than two regions, or scribbles that cover most of the picture.

    Reference: Grady, *Random Walks for Image Segmentation*, PAMI 2006; :func:`skimage.segmentation.random_walker`.
    """
    picture, alpha = load_image_and_alpha(photo, max_pixels=max_pixels)
    visible = composite(picture, alpha)
    if not isinstance(labels, (str, bytes, os.PathLike)) and np.ndim(labels) == 2:
        return _grown(visible, np.asarray(labels))
    drawn = load_image_and_alpha(labels, max_pixels=max_pixels)
    if drawn[0].shape != picture.shape:
        (height, width), (own_height, own_width) = picture.shape[2:], drawn[0].shape[2:]
        raise InputError(f"the scribbles are {own_width} x {own_height} pixels, and the photograph {width} x {height}")
    masks = _grown(visible, _labels_of(*drawn, picture, alpha))
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


def _labels_of(image, alpha, photo, photo_alpha):
    """The labels of a picture of scribbles, array (H, W)."""
    on_glass = alpha is not None and alpha.min() < 1 and (photo_alpha is None or photo_alpha.min() == 1)
    drawn = (alpha[0, 0] > 0.5 if on_glass else (image - photo).abs().amax(1)[0] > DRAWN).numpy()
    if drawn.mean() > 0.5:
        raise InputError("most of the picture is drawn over: draw lines on the photograph, or on a transparent ground")
    image = image[0].permute(1, 2, 0).numpy()
    # The soft edges of a line have colours between its own and the photograph's; a thin line is nothing but edges.
    plain = (maximum_filter(image, (3, 3, 1)) - minimum_filter(image, (3, 3, 1)) < DRAWN).all(-1)
    # The noise that a JPEG has around a line goes with it.
    lines = label(maximum_filter(drawn, 2 * NEAR + 1))[0] * drawn
    labels, colours = np.zeros(drawn.shape, int), []
    for number, place in enumerate(find_objects(lines), 1):
        line = lines[place] == number
        inside = line & plain[place]
        inside = inside if inside.any() else line
        pixels = from_numpy(image[place][inside])
        own = label_colours(pixels, SHARE_OF_LINE)
        near = [(pixels - colour).norm(dim=1) < DRAWN for colour in own]
        if len(pixels) < SPECK or sum(near).clamp(max=1).float().mean() < PLAIN:
            continue
        for colour, its_own in zip(own, near, strict=True):
            known = next((k for k, other in enumerate(colours, 1) if (other - colour).norm() < DIFFERENT), None)
            if known is None:
                colours.append(colour)
            rows, columns = (index[its_own.numpy()] for index in np.nonzero(inside))
            labels[place][rows, columns] = known or len(colours)
    if len(colours) < 2:
        raise InputError("scribbles in at least two plain colours are needed, one for each region")
    return labels
