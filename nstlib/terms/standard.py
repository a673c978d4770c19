"""The three standard terms, ``alpha L_content + beta L_style + gamma L_image``, weighted by the settings."""

import torch
import torch.nn.functional as F

from ..errors import InputError
from ..features.tiling import feature_sums
from ..losses import STYLE_LOSSES, content_loss, total_variation
from ..moments import Moments, at_least_float32, blend


def _live(field):
    """A weight that is stored in the settings, where every assignment is checked."""

    def read(term):
        return getattr(term._settings, field)

    def write(term, value):
        setattr(term._settings, field, value)

    return property(read, write)


class ContentLoss:
    """Squared distance of feature maps to those of the content; see :func:`~nstlib.losses.content_loss`.

    Args:
        settings: :class:`~nstlib.Settings`; ``content_weight`` and the weights of ``content_layers`` may change.
    """

    name = "content"
    weight = _live("content_weight")

    def __init__(self, settings):
        self._settings = settings

    def targets(self, view):
        """``{layer: (feature map, norm)}``; the loss is the squared error over the norm, shape (N,)."""
        with torch.no_grad():
            maps = feature_maps(view.backbone, view.opaque, self._settings.content_layers, view.plan)
        targets = {}
        for layer, found in maps.items():
            square = at_least_float32(found).square()
            weights = layer_weights(view.backbone, layer, view.transparency)
            square = square if weights is None else square * weights
            unitless = self._settings.unitless
            targets[layer] = found, square.sum((1, 2, 3)) if unitless else 2 * square.mean((1, 2, 3))
        return targets

    def taps(self, view, targets):
        _check_layers(targets, self._settings.content_layers)
        return [
            (layer, _squared_error(found, layer_weights(view.backbone, layer, view.transparency)))
            for layer, (found, _) in targets.items()
        ]

    def loss(self, image, sums, targets):
        losses = {
            layer: content_loss(error, norm) for (error,), (layer, (_, norm)) in zip(sums, targets.items(), strict=True)
        }
        return _mean(losses, self._settings.content_layers)

    def floats_per_pixel(self, backbone):
        layers = self._settings.content_layers
        return sum(backbone.channels(layer) / 4 ** backbone.downsampling(layer) for layer in layers)


class StyleLoss:
    """Distance of the moments of feature maps to those of the styles; see :data:`~nstlib.losses.STYLE_LOSSES`.

    Args:
        settings: :class:`~nstlib.Settings`; ``style_weight`` and the weights of ``style_layers`` may change.
        weights: of the pixels, on top of their transparency, shape (1, 1, H, W), or None.
        rest: ``{layer: Moments}`` of the other parts of the picture, added before the style loss is taken; None for a
            whole picture.
    """

    name = "style"
    weight = _live("style_weight")

    def __init__(self, settings, *, weights=None, rest=None):
        self._settings, self._weights, self._rest = settings, weights, rest

    def targets(self, view):
        """``{layer: Moments}`` of all styles together."""
        layers = self._settings.style_layers
        styles = [
            style_moments(view.backbone, picture, layers, view.plan(picture.shape[2:]), weights)
            for picture, weights in view.styles()
        ]
        shares = self._settings.style_blend or [1.0] * len(styles)
        return {layer: blend([style[layer] for style in styles], shares) for layer in layers}

    def taps(self, view, targets):
        _check_layers(targets, self._settings.style_layers)
        weights = self._weights
        if view.transparency is not None:
            weights = view.transparency if weights is None else view.transparency * weights
        return _style_taps(view.backbone, targets, weights)

    def loss(self, image, sums, targets):
        losses = {}
        for found, (layer, target) in zip(sums, targets.items(), strict=True):
            moments = Moments(*found)
            if self._rest is not None:
                moments = moments + self._rest[layer]
            # A mask without area has no statistics to compare.
            losses[layer] = torch.where(moments.count[:, 0, 0] > 0, self._distance(moments, target), 0)
        return _mean(losses, self._settings.style_layers)

    def _distance(self, moments, target):
        if self._settings.unitless:
            return STYLE_LOSSES[self._settings.style_loss](moments, target)
        distance = (moments.gram - target.gram).square().sum((1, 2))
        # The paper's network has layers of unit activation, else alpha and beta would depend on the network.
        power = target.gram.diagonal(dim1=1, dim2=2).mean(1)
        return distance / (4 * target.gram.shape[1] ** 2 * power**2)


class TotalVariation:
    """Squared differences of neighbouring pixels; see :func:`~nstlib.losses.total_variation`.

    Args:
        settings: :class:`~nstlib.Settings`; ``tv_weight`` may change.
    """

    name = "tv"
    weight = _live("tv_weight")

    def __init__(self, settings):
        self._settings = settings

    def targets(self, view):
        return None

    def taps(self, view, targets):
        return []

    def loss(self, image, sums, targets):
        return total_variation(image)


def standard_terms(settings):
    """The three standard terms."""
    return [ContentLoss(settings), StyleLoss(settings), TotalVariation(settings)]


def style_moments(backbone, image, layers, plan, weights=None):
    """``{layer: Moments}`` of a picture, without gradient.

    Args:
        backbone: :class:`~nstlib.features.Backbone`.
        image: RGB in [0, 1], shape (N, 3, H, W).
        layers: names of layers.
        plan: :class:`~nstlib.features.Plan`.
        weights: of the pixels, shape (1, 1, H, W), or None.
    """
    with torch.no_grad():
        sums = feature_sums(backbone, image, _style_taps(backbone, layers, weights), plan)
    return {layer: Moments(*found) for layer, found in zip(layers, sums, strict=True)}


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


def layer_weights(backbone, layer, weights):
    """Pixel weights (1, 1, H, W) at the size of a layer's map: means over the pixels that each feature stands for."""
    if weights is None:
        return None
    size = [side >> backbone.downsampling(layer) for side in weights.shape[2:]]
    # On the CPU: Apple's GPUs can only reduce by whole factors.
    return F.adaptive_avg_pool2d(weights.cpu(), size).to(weights.device)


def _style_taps(backbone, layers, weights):
    return [(layer, _moments(layer_weights(backbone, layer, weights))) for layer in layers]


def _moments(weights):
    def measure(features, rows, columns):
        return Moments.of(features, None if weights is None else weights[..., rows, columns]).tensors

    return measure


def _squared_error(target, weights):
    def measure(features, rows, columns):
        error = (at_least_float32(features) - target[..., rows, columns]).square()
        return ((error if weights is None else error * weights[..., rows, columns]).sum((1, 2, 3)),)

    return measure


def _check_layers(targets, layers):
    """Raise :class:`InputError` unless the targets are those of the layers that the settings name."""
    if set(targets) != set(layers):
        raise InputError(
            f"the targets are those of {', '.join(targets)}, the settings name {', '.join(layers)}: a running transfer "
            "keeps its layers (give one the weight 0 to leave it out), and so do targets of another transfer"
        )


def _mean(losses, weights):
    """Weighted mean of ``{layer: loss}``."""
    _check_layers(losses, weights)
    total = sum(weights.values())
    return sum(losses[layer] * (weight / total) for layer, weight in weights.items())
