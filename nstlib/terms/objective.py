"""What a picture of one size is optimised for: ``alpha L_content + beta L_style + gamma L_image``."""

import torch
import torch.nn.functional as F

from ..errors import InputError
from ..features.tiling import feature_sums
from ..images import composite
from ..losses import STYLE_LOSSES, content_loss, total_variation
from ..moments import Moments, at_least_float32, blend


def style_moments(backbone, image, settings, plan, weights=None):
    """:class:`~nstlib.moments.Moments` of each style layer of a picture, without gradient.

    Args:
        backbone: :class:`~nstlib.features.Backbone`.
        image: RGB in [0, 1], shape (1, 3, H, W).
        settings: :class:`~nstlib.Settings`.
        plan: :class:`~nstlib.features.Plan`.
        weights: of the pixels, shape (1, 1, H, W), or None.
    """
    taps = _style_taps(backbone, settings, weights)
    with torch.no_grad():
        return [Moments(*sums) for sums in feature_sums(backbone, image, taps, plan)]


class Objective:
    """The loss of a picture, with its targets: moments of the styles, feature maps of the content.

    Targets are taken once; weights are read from ``settings`` at every call and may change in between.

    Args:
        backbone: :class:`~nstlib.features.Backbone`.
        content: RGB in [0, 1], shape (1, 3, H, W), the size of the pictures to come.
        styles: for each style picture what :func:`style_moments` gives.
        settings: :class:`~nstlib.Settings`.
        plan: :class:`~nstlib.features.Plan` for taking the content's maps.
        alpha: transparency of the picture, shape (1, 1, H, W), or None. The network sees the picture on white, and
            each pixel counts as much as can be seen of it.
        weights: of the picture's pixels in the style loss, on top of ``alpha``; of that shape, or None.
        rest: moments of each style layer over the other parts of a picture, if what is optimised is a part of one
            that is to have the style as a whole; None for a whole picture.
    """

    def __init__(self, backbone, content, styles, settings, plan, *, alpha=None, weights=None, rest=None):
        self.backbone, self.settings, self.alpha, self.rest = backbone, settings, alpha, rest
        blend_weights = settings.style_blend or [1.0] * len(styles)
        self._styles = [blend(layer, blend_weights) for layer in zip(*styles, strict=True)]
        self._layers = tuple(settings.style_layers), tuple(settings.content_layers)
        with torch.no_grad():
            maps = _feature_maps(backbone, composite(content, alpha), settings.content_layers, plan)
        # The paper's network has layers of unit activation, else alpha and beta would depend on the network.
        self._style_powers = [style.gram.diagonal(dim1=1, dim2=2).mean() for style in self._styles]
        if alpha is not None:
            weights = alpha if weights is None else alpha * weights
        self._taps = _style_taps(backbone, settings, weights)
        self._content_norms = []
        for layer, target in zip(settings.content_layers, maps, strict=True):
            own = layer_weights(backbone, layer, alpha)
            square = at_least_float32(target).square() * (1 if own is None else own)
            self._content_norms.append(square.sum() if settings.unitless else 2 * square.mean())
            self._taps.append((layer, _squared_error(target, own)))

    def __call__(self, image, plan):
        """Losses of ``image``, as differentiable scalars.

        Args:
            image: RGB in [0, 1], straight colours, shape (1, 3, H, W).
            plan: :class:`~nstlib.features.Plan`.

        Returns:
            ``(content, style, image, total)``: the losses before their weights, and their weighted sum.

        Raises:
            InputError: the settings' weights make no sense any more.
        """
        s = self.settings
        s.check()
        if (tuple(s.style_layers), tuple(s.content_layers)) != self._layers:
            raise InputError("a running transfer keeps its layers: give one the weight 0 to leave it out")
        image = composite(image, self.alpha)
        sums = feature_sums(self.backbone, image, self._taps, plan)
        count = len(s.style_layers)
        moments = [Moments(*found) for found in sums[:count]]
        if self.rest is not None:
            moments = [here + there for here, there in zip(moments, self.rest, strict=True)]
        styles = [self._style_loss(found, index) for index, found in enumerate(moments)]
        contents = [content_loss(error, norm) for (error,), norm in zip(sums[count:], self._content_norms, strict=True)]
        style, content = _mean(styles, s.style_layers), _mean(contents, s.content_layers)
        variation = total_variation(image)
        return content, style, variation, s.content_weight * content + s.style_weight * style + s.tv_weight * variation

    def _style_loss(self, moments, index):
        target = self._styles[index]
        if self.settings.unitless:
            return STYLE_LOSSES[self.settings.style_loss](moments, target).sum()
        distance = (moments.gram - target.gram).square().sum()
        return distance / (4 * target.gram.shape[1] ** 2 * self._style_powers[index] ** 2)


def layer_weights(backbone, layer, weights):
    """Pixel weights (1, 1, H, W) as they are in a layer's map: means over the pixels that each feature stands for."""
    if weights is None:
        return None
    size = [side >> backbone.downsampling(layer) for side in weights.shape[2:]]
    # On the CPU, for Apple's GPUs know this for whole factors alone.
    return F.adaptive_avg_pool2d(weights.cpu(), size).to(weights.device)


def _style_taps(backbone, settings, weights):
    return [(layer, _moments(layer_weights(backbone, layer, weights))) for layer in settings.style_layers]


def _moments(weights):
    def measure(features, rows, columns):
        return Moments.of(features, None if weights is None else weights[..., rows, columns]).tensors

    return measure


def _squared_error(target, weights):
    def measure(features, rows, columns):
        error = (at_least_float32(features) - target[..., rows, columns]).square()
        return ((error if weights is None else error * weights[..., rows, columns]).sum(),)

    return measure


def _feature_maps(backbone, image, layers, plan):
    """Whole feature maps, gathered from the tiles of ``plan``."""
    maps = {}
    for layer in layers:
        height, width = (side >> backbone.downsampling(layer) for side in image.shape[2:])
        maps[layer] = image.new_empty(1, backbone.channels(layer), height, width, dtype=backbone.dtype)

    def gather(layer):
        def put(features, rows, columns):
            maps[layer][..., rows, columns] = features
            return ()

        return layer, put

    feature_sums(backbone, image, [gather(layer) for layer in layers], plan)
    return [maps[layer] for layer in layers]


def _mean(losses, weights):
    """Weighted mean of the losses of several layers."""
    total = sum(weights.values())
    return sum(loss * (weight / total) for loss, weight in zip(losses, weights.values(), strict=True))
