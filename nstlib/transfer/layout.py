"""The layout of a picture: which styles belong where, at any size."""

import torch

from ..errors import InputError
from ..features.backbone import block_of
from ..images import resize
from ..masks import fit_edges, load_mask
from ..terms import Region
from ..terms.objective import REDUCTIONS

#: Masks and sums of masks that differ by less are the same.
_SAME = 1e-6


class Layout:
    """Regions of a picture, found once at the size of the result.

    Overlapping masks are divided by their sum where it exceeds 1. Regions of the same style become one; styles of the
    same region are blended. A map of brush sizes divides the region of its style among as many as it has sizes.

    Args:
        styles: list of :class:`~nstlib.Style`.
        alike: of each style and each size of its brush, the index of the first of them that asks for the same.
        photo: RGB in [0, 1], shape (1, 3, H, W).
        shape: (height, width) of the photograph as it was given, whose proportions masks must have.
        protect: mask of what is to stay as it is, or None.
        max_pixels: larger files are refused.

    Attributes:
        blends: of each region, the relative weight of each style and each size of its brush.
        weights: of each region, that of its styles relative to all.

    Raises:
        InputError: a mask that cannot be used, or a style that is left no place.
    """

    def __init__(self, styles, alike, photo, shape, *, protect=None, max_pixels=None):
        size = photo.shape[2:]

        def load(source, name):
            return resize(load_mask(source, shape, name, max_pixels=max_pixels), size)

        self.protection = None if protect is None else fit_edges(load(protect, "the mask of protect"), photo)
        masks = [
            None if style.where is None else load(style.where, f"the mask of style {number}")
            for number, style in enumerate(styles, 1)
        ]
        masks = _complete(masks, photo)
        for number, style in enumerate(styles, 1):
            if len(style.brushes) > 1:
                sizes = load(style.brush[2], f"the map in the brush of style {number}")
                masks[number - 1] = masks[number - 1] * _hats(sizes, len(style.brushes))
        masks = [mask for each in masks for mask in each.split(1, 1)]
        merged = _merge(masks, alike, [style.weight for style in styles for _ in style.brushes])
        mean = sum(weight for _, blend in merged for weight in blend.values()) / sum(len(blend) for _, blend in merged)
        merged = [(mask, blend) for mask, blend in merged if sum(blend.values()) and mask.any()]
        self.blends = [tuple(blend.get(index, 0.0) for index in range(len(alike))) for _, blend in merged]
        self.weights = [sum(blend.values()) / len(blend) / mean for _, blend in merged]
        whole = len(merged) == 1 and merged[0][0].amin() > 1 - _SAME
        self.masks = None if whole else fit_edges(torch.cat([mask for mask, _ in merged], 1), photo)

    def at(self, size):
        """``[Region]`` of a result of this size (height, width)."""
        masks = [None] * len(self.blends) if self.masks is None else _at_most_1(resize(self.masks, size)).split(1, 1)
        return [Region(*each) for each in zip(masks, self.blends, self.weights, strict=True)]

    @property
    def floats_per_pixel(self):
        """Values that the masks keep per pixel of the picture, at its size and at those of all layers."""
        maps = (0 if self.masks is None else self.masks.shape[1]) + (self.protection is not None)
        return maps * (1 + 4 / 3)

    def protection_at(self, size):
        """How much of each pixel is to stay as it is, shape (1, 1, *size), or None."""
        return None if self.protection is None else resize(self.protection, size)

    def uses(self, style):
        """Whether the style of this index is painted anywhere."""
        return any(blend[style] for blend in self.blends)

    def place_of(self, style):
        """How much each pixel is the place of the style of this index, at most 1, (1, 1, H, W); None for everywhere."""
        if self.masks is None or not self.uses(style):
            return None
        shares = [blend[style] / sum(blend) for blend in self.blends]
        place = sum(mask * share for mask, share in zip(self.masks.split(1, 1), shares, strict=True))
        return place / place.amax()


def by_reduction(regions, shown, layers):
    """``[Region]``: those of a layout, once for each size of the picture at which their styles are compared with it.

    Strokes are looked for in the reduced picture, grain and edges in the picture itself: else nothing would be asked of
    what the reduction loses. That takes the layers of the first block, which see no more than a few pixels.

    Args:
        regions: of :meth:`Layout.at`.
        shown: ``[(index, Shown)]`` of all styles; see :meth:`~nstlib.transfer.paintings.Painting.beside`.
        layers: names of those that are compared.

    Returns:
        Regions whose blends have a weight for each of ``shown``.
    """
    whole = [float(one.reduction == 1) for _, one in shown]
    looks = [(1, None, whole)]
    if not all(whole):
        grain = tuple(layer for layer in layers if block_of(layer) == 1)
        strokes = tuple(layer for layer in layers if layer not in grain)
        # Without any layer that sees strokes, those of the first block have to do.
        looks = [(1, grain, whole)] if grain and strokes else []
        for factor in REDUCTIONS:
            looks.append((factor, strokes or grain, [one.share * (one.reduction == factor) for _, one in shown]))
    found = []
    for region in regions:
        for factor, seen, shares in looks:
            blend = tuple(region.blend[index] * share for (index, _), share in zip(shown, shares, strict=True))
            if sum(blend):
                weight = region.weight * (sum(blend) / sum(region.blend))
                found.append(Region(region.mask, blend, weight, factor, seen))
    return found


def _complete(masks, photo):
    """All masks, shape (1, 1, H, W), of which at most 1 is given to each pixel; a missing one is what the others leave.

    Without any mask, every style is everywhere.
    """
    given = [mask for mask in masks if mask is not None]
    if not given:
        return [torch.ones_like(photo[:, :1])] * len(masks)
    rest = (1 - sum(given)).clamp_min(0)
    if None in masks and rest.amax() < _SAME:
        raise InputError(
            f"style {masks.index(None) + 1} has no mask, and those of the others leave it no place: give it one"
        )
    return [rest if mask is None else mask for mask in masks]


def _hats(position, count):
    """Shares of ``count`` sizes, from one of which to the next a map goes, shape (1, count, H, W); sum 1."""
    return torch.cat([1 - (position * (count - 1) - index).abs() for index in range(count)], 1).clamp_min(0)


def _merge(masks, alike, weights):
    """``[(mask, {style: weight})]``: the union of the regions of a style, then the blend of the styles of a region."""
    shared = _at_most_1(torch.cat(masks, 1)).split(1, 1)
    unions = {}
    for mask, style in zip(shared, alike, strict=True):
        unions[style] = unions[style] + mask if style in unions else mask
    regions = []
    for style, mask in unions.items():
        for index, (own, _, blend) in enumerate(regions):
            if (own - mask).abs().amax() < _SAME:
                regions[index] = own, regions[index][1] + mask, {**blend, style: weights[style]}
                break
        else:
            regions.append((mask, mask, {style: weights[style]}))
    return [(total, blend) for _, total, blend in regions]


def _at_most_1(masks):
    return masks / masks.sum(1, keepdim=True).clamp_min(1)
