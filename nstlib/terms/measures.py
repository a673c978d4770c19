"""What the terms measure in feature maps: sums over pixels with weights, and whole maps."""

import torch
import torch.nn.functional as F

from ..features.rectangles import Piece, rectangle_of, shared_sums
from ..features.tiling import feature_sums
from ..moments import Moments
from ..sums import at_least_float32


def style_moments(backbone, image, layers, plan, weights=None):
    """``{layer: Moments}`` of a picture, without gradient.

    Args:
        backbone: :class:`~nstlib.features.Backbone`.
        image: RGB in [0, 1], shape (N, 3, H, W).
        layers: names of layers.
        plan: :class:`~nstlib.features.Plan`.
        weights: of the pixels, shape (1, 1, H, W), or None.
    """
    return moments_by_weights(backbone, image, layers, plan, [weights])[0]


def moments_by_weights(backbone, image, layers, plan, ways):
    """:func:`style_moments` for each of several weights: a list."""
    with torch.no_grad():
        taps = [
            (layer, _sums_of_moments([layer_weights(backbone, layer, weights) for weights in ways])) for layer in layers
        ]
        sums = feature_sums(backbone, image, taps, plan)
    return [
        {layer: Moments(*found[3 * index : 3 * index + 3]) for layer, found in zip(layers, sums, strict=True)}
        for index in range(len(ways))
    ]


def feature_maps(backbone, image, layers, plan):
    """``{layer: feature map}`` of a picture, gathered from tiles; in the network's type.

    Args:
        backbone: :class:`~nstlib.features.Backbone`.
        image: RGB in [0, 1], shape (N, 3, H, W).
        layers: names of layers.
        plan: function that gives the :class:`~nstlib.features.Plan` for a size.
    """
    maps = {}
    for layer in layers:
        height, width = (side >> backbone.downsampling(layer) for side in image.shape[2:])
        maps[layer] = image.new_empty(len(image), backbone.channels(layer), height, width, dtype=backbone.dtype)

    def gather(layer):
        def put(features, rows, columns):
            maps[layer][..., rows, columns] = features
            return ()

        return layer, put

    feature_sums(backbone, image, [gather(layer) for layer in layers], plan(image.shape[2:]))
    return maps


def own_maps(view, layers):
    """``{layer: (map, weighted sum of its squares)}`` of the content; of the map, the part that this rank computes."""
    backbone, image = view.backbone, view.opaque
    rectangle, maps, taps = rectangle_of(view.ranks, image.shape[2:], backbone), {}, []
    for layer in layers:
        top, left, bottom, right = (edge >> backbone.downsampling(layer) for edge in rectangle)
        shape = len(image), backbone.channels(layer), bottom - top, right - left
        maps[layer] = Piece(image.new_empty(shape, dtype=backbone.dtype), (top, left))
        taps.append((layer, _kept(maps[layer], layer_weights(backbone, layer, view.transparency))))
    sums = shared_sums(backbone, image, taps, view.plan(image.shape[2:]), view.ranks)
    return {layer: (maps[layer], square) for layer, (square,) in zip(layers, sums, strict=True)}


def _kept(piece, weights):
    def measure(features, rows, columns):
        piece[..., rows, columns] = features
        square = at_least_float32(features).square()
        return (product(square, _part(weights, rows, columns)).sum((1, 2, 3)),)

    return measure


def layer_weights(backbone, layer, weights):
    """Pixel weights (1, 1, H, W) at the size of a layer's map: means over the pixels that each feature stands for."""
    if weights is None:
        return None
    size = [side >> backbone.downsampling(layer) for side in weights.shape[2:]]
    # On the CPU: Apple's GPUs can only reduce by whole factors.
    return F.adaptive_avg_pool2d(weights.cpu(), size).to(weights.device)


def _sums_of_moments(ways):
    """Measure of a tap: the tensors of the :class:`Moments` by each of several weights, one by one."""

    def measure(features, rows, columns):
        moments = Moments.of_each(features, [_part(weights, rows, columns) for weights in ways])
        return tuple(tensor for one in moments for tensor in one.tensors)

    return measure


def sums_over_regions(visible, *masks):
    """Measure of a tap: the sum of ``visible``, and the tensors of the :class:`Moments` of each mask, one by one.

    Args:
        visible, masks: at the size of the layer, shape (1, 1, h, w), or None for 1 everywhere.
    """
    moments = _sums_of_moments(masks)

    def measure(features, rows, columns):
        # Without its features: how much of the picture can be seen.
        total = Moments.of(features[:, :0].detach(), _part(visible, rows, columns)).count
        return total, *moments(features, rows, columns)

    return measure


def _part(weights, rows, columns):
    return None if weights is None else weights[..., rows, columns]


def product(weights, others):
    """Of pixel weights, each of which may be None for 1 everywhere."""
    return others if weights is None else weights if others is None else weights * others


def squared_error(target, weights):
    """Measure of a tap: the weighted sum of squared differences from a ``target`` map, a tuple of shape (N,)."""

    def measure(features, rows, columns):
        error = (at_least_float32(features) - target[..., rows, columns]).square()
        return (product(error, _part(weights, rows, columns)).sum((1, 2, 3)),)

    return measure
