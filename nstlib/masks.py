"""Masks: how much each pixel of a picture counts, from whatever a mask may be given as."""

import os

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ImageColor

from .errors import InputError
from .images import fit_size, load_image_and_alpha, resize

#: Proportions of a mask that differ by more than this from those of its picture are a mistake.
TOLERANCE = 0.02
#: Radius of the guided filter, relative to the longer side, and the variance of colours below which it sees no edge.
RADIUS, FLAT = 0.01, 1e-3
#: Longer side in pixels at which the guided filter is fitted; what it found is applied at every size.
FITTED = 512
#: Side of the cube into which colours fall to be counted, and the share of pixels that makes one a colour of the map.
_CUBE, _FREQUENT = 0.125, 0.01


def load_mask(source, size, name, *, max_pixels=None):
    """Load a mask for a picture of ``size`` (height, width).

    Args:
        source: picture file or address, white where the mask counts; array or tensor (H, W) in [0, 1], uint8 or bool;
            ``(map, colour)``, where the map is a picture of plain areas and the colour the name or ``"#rrggbb"`` of
            one of them; or a function of (height, width) that returns an array. Transparent pixels count as black.
        name: what messages call it.
        max_pixels: larger files are refused.

    Returns:
        Float32 tensor on the CPU in [0, 1], shape (1, 1, H, W), of the mask's own size.

    Raises:
        InputError: a mask that cannot be read, has other proportions, is empty, or holds what is no share of a pixel.
    """
    try:
        if isinstance(source, tuple) and len(source) == 2:
            mask = _area_of(*source, max_pixels)
        else:
            mask = _grey(*load_image_and_alpha(_array_of(source, size), max_pixels=max_pixels))
    except (InputError, TypeError) as error:
        raise InputError(f"{name}: {error}") from None
    (height, width), (own_height, own_width) = size, mask.shape[2:]
    # A pixel more or less is a matter of rounding.
    if abs(own_height - own_width * height / width) > max(TOLERANCE * own_height, 0.75):
        raise InputError(
            f"{name} is {own_width} x {own_height} pixels, and its picture {width} x {height}: give one of the same "
            "proportions"
        )
    if not mask.any():
        raise InputError(f"{name} is empty: it must be above 0 somewhere")
    return mask


def fit_edges(masks, photo):
    """Masks whose edges lie where the photograph has its own, by a guided filter.

    Within a radius of 1 % of the longer side each mask becomes a linear function of the photograph's colours. Masks
    that add up to 1 still do; a constant one is left as it is.

    Args:
        masks: in [0, 1], shape (1, K, H, W).
        photo: RGB in [0, 1], shape (1, 3, H, W).

    Returns:
        Tensor like ``masks``.

    Reference: He, Sun, Tang, *Guided Image Filtering*, PAMI 2013, eq. 14-16, and He & Sun, *Fast Guided Filter*, 2015.
    """
    size = photo.shape[2:]
    small = fit_size(*size, min(FITTED, max(size)))
    guide, given = resize(photo, small), F.adaptive_avg_pool2d(masks, small)
    radius = max(1, round(RADIUS * max(small)))
    mean, goal = _box(guide, radius), _box(given, radius)
    covariance = _box(guide[:, :, None] * guide[:, None], radius) - mean[:, :, None] * mean[:, None]
    common = _box(guide[:, :, None] * given[:, None], radius) - mean[:, :, None] * goal[:, None]
    ridge = covariance + FLAT * torch.eye(3).view(1, 3, 3, 1, 1)
    slope = torch.linalg.solve(ridge.permute(0, 3, 4, 1, 2), common.permute(0, 3, 4, 1, 2))
    slope = slope.permute(0, 3, 4, 1, 2)
    offset = goal - (slope * mean[:, :, None]).sum(1)
    slope, offset = (
        F.interpolate(_box(x, radius).flatten(0, -4), size=size, mode="bilinear", align_corners=False)
        for x in (slope, offset)
    )
    fitted = ((slope * photo[0, :, None]).sum(0, keepdim=True) + offset).clamp(0, 1)
    return torch.where(masks.amin((2, 3), True) == masks.amax((2, 3), True), masks, fitted)


def _box(x, radius):
    """Means over squares of this radius, within the picture, over the last two dimensions."""
    flat = x.flatten(0, -3)[:, None]
    for kernel, padding in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        flat = F.avg_pool2d(flat, kernel, stride=1, padding=padding, count_include_pad=False)
    return flat.view(x.shape)


def _array_of(source, size):
    """The picture or array (H, W) that a mask was given as."""
    if callable(source):
        source = source(*size)
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu().numpy()
    if isinstance(source, (str, os.PathLike)) or not hasattr(source, "__array__") or hasattr(source, "convert"):
        return source
    array = np.asarray(source)
    array = array.reshape(array.shape[-2:]) if array.ndim > 2 and max(array.shape[:-2]) == 1 else array
    if array.dtype == np.uint8 and array.max(initial=0) == 1:
        raise InputError("it holds nothing but 0 and 1 of 255: convert it to bool")
    return array


def _grey(image, alpha):
    grey = image.mean(1, keepdim=True)
    return grey if alpha is None else grey * alpha


def _area_of(source, colour, max_pixels):
    """1 where a map has this colour: where no other of its colours is nearer, so that blurred borders have a side."""
    try:
        wanted = torch.tensor(ImageColor.getrgb(colour)[:3]) / 255
    except (ValueError, AttributeError):
        raise InputError(f"{colour!r} is no colour: give a name or #rrggbb") from None
    image, _ = load_image_and_alpha(source, max_pixels=max_pixels)
    pixels = image[0].flatten(1).T
    others = [other for other in label_colours(pixels) if (other - wanted).norm() > 2 * _CUBE]
    nearest = torch.cdist(pixels, torch.stack([wanted, *others])).argmin(1)
    found = (nearest == 0) & ((pixels - wanted).norm(dim=1) < 0.5)
    if not found.any():
        names = ", ".join("#" + bytes((other * 255).round().int().tolist()).hex() for other in others)
        raise InputError(f"nothing in the map is {colour}; its colours are {names}")
    return found.view(1, 1, *image.shape[2:]).float()


def label_colours(pixels, least=_FREQUENT):
    """The plain colours of a map of labels, the most frequent first, none near another.

    Args:
        pixels: RGB in [0, 1], shape (N, 3).
        least: share of the pixels that makes one a colour of the map.

    Returns:
        List of tensors (3,): means of the cubes of colours that hold a good share of the pixels.
    """
    cubes = (pixels / _CUBE).round().int()
    _, place, counts = torch.unique(cubes, dim=0, return_inverse=True, return_counts=True)
    means = torch.zeros(len(counts), 3).index_add_(0, place, pixels) / counts[:, None]
    found = []
    for index in counts.argsort(descending=True):
        far = all((means[index] - other).norm() > 2 * _CUBE for other in found)
        if far and counts[index] >= least * len(pixels):
            found.append(means[index])
    return found
