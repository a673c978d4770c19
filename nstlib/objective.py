"""What a picture of one size is optimised for: ``alpha L_content + beta L_style + gamma L_image``."""

import torch

from .losses import STYLE_LOSSES, content_loss, total_variation
from .moments import Moments, at_least_float32, blend
from .tiling import feature_sums


def style_moments(backbone, image, settings, plan):
    """:class:`~nstlib.moments.Moments` of each style layer of a picture, shape (1, 3, H, W), without gradient."""
    taps = [(layer, _moments) for layer in settings.style_layers]
    with torch.no_grad():
        return [Moments(*sums) for sums in feature_sums(backbone, image, taps, plan)]


class Objective:
    """The loss of a picture, with its targets: moments of the styles, feature maps of the content.

    Targets are taken once; weights are read from ``settings`` at every call and may change in between.

    Args:
        backbone: :class:`~nstlib.features.Backbone`.
        content: RGB in [0, 1], shape (1, 3, H, W), the size of the pictures to come.
        styles: for each style picture what :func:`style_moments` gives.
        settings: :class:`~nstlib.settings.Settings`.
        plan: :class:`~nstlib.tiling.Plan` for taking the content's maps.

    Attributes:
        elsewhere: moments of each style layer over the rest of the picture, if what is optimised is a part of one
            that is to have the style as a whole; None for no rest.
    """

    def __init__(self, backbone, content, styles, settings, plan):
        self.backbone, self.settings, self.elsewhere = backbone, settings, None
        weights = settings.style_blend or [1.0] * len(styles)
        self._styles = [blend(layer, weights) for layer in zip(*styles, strict=True)]
        taps = [(layer, _moments) for layer in settings.style_layers]
        with torch.no_grad():
            maps = _feature_maps(backbone, content, settings.content_layers, plan)
            squares = [at_least_float32(m).square() for m in maps]
        # The paper's network has layers of unit activation, else alpha and beta would depend on the network.
        self._style_powers = [style.gram.diagonal(dim1=1, dim2=2).mean() for style in self._styles]
        self._content_norms = [s.sum() if settings.normalized else 2 * s.mean() for s in squares]
        self._taps = taps + [(layer, _squared_error(m)) for layer, m in zip(settings.content_layers, maps, strict=True)]

    def __call__(self, image, plan):
        """Losses of ``image``, as differentiable scalars.

        Returns:
            ``(content, style, image, total)``: the losses before their weights, and their weighted sum.
        """
        s = self.settings
        sums = feature_sums(self.backbone, image, self._taps, plan)
        count = len(s.style_layers)
        moments = [Moments(*found) for found in sums[:count]]
        if self.elsewhere is not None:
            moments = [here + there for here, there in zip(moments, self.elsewhere, strict=True)]
        styles = [self._style_loss(found, index) for index, found in enumerate(moments)]
        contents = [content_loss(error, norm) for (error,), norm in zip(sums[count:], self._content_norms, strict=True)]
        style, content = _mean(styles, s.style_layers), _mean(contents, s.content_layers)
        variation = total_variation(image)
        return content, style, variation, s.content_weight * content + s.style_weight * style + s.tv_weight * variation

    def _style_loss(self, moments, index):
        target = self._styles[index]
        if self.settings.normalized:
            return STYLE_LOSSES[self.settings.style_loss](moments, target).sum()
        distance = (moments.gram - target.gram).square().sum()
        return distance / (4 * target.gram.shape[1] ** 2 * self._style_powers[index] ** 2)


def _moments(features, rows, columns):
    return Moments.of(features).tensors


def _squared_error(target):
    def measure(features, rows, columns):
        return ((at_least_float32(features) - target[..., rows, columns]).square().sum(),)

    return measure


def _feature_maps(backbone, image, layers, plan):
    """Whole feature maps, gathered from the tiles of ``plan``."""
    maps = {}
    for layer in layers:
        height, width = (side >> backbone.level(layer) for side in image.shape[2:])
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
