"""The three standard terms, ``alpha L_content + beta L_style + gamma L_image``, weighted by the settings."""

import torch

from ..errors import InputError
from ..losses import STYLE_LOSSES, content_loss, total_variation
from ..moments import Moments
from .measures import layer_weights, own_maps, product, squared_error, sums_over_regions
from .objective import MOST_TIMES, REDUCTIONS, reduced
from .texture import blended, compared

#: What is protected counts so much for the content, and so much for the style.
PROTECTED_CONTENT, PROTECTED_STYLE = 4.0, 0.1


def _live(field):
    """A weight that is stored in the settings, where every assignment is checked."""

    def read(term):
        return getattr(term._settings, field)

    def write(term, value):
        setattr(term._settings, field, value)

    return property(read, write)


class ContentLoss:
    """Squared distance of feature maps to those of the content; see :func:`~nstlib.losses.content_loss`.

    What is protected counts :data:`PROTECTED_CONTENT` times.

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
            targets = own_maps(view, self._settings.content_layers)
        if not self._settings.unitless:
            for layer, (found, square) in targets.items():
                height, width = (side >> view.backbone.downsampling(layer) for side in view.content.shape[2:])
                targets[layer] = found, 2 * square / (view.backbone.channels(layer) * height * width)
        return targets

    def taps(self, view, targets):
        _check_layers(targets, self._settings.content_layers)
        weights = product(view.transparency, _from_one_to(PROTECTED_CONTENT, view.protection))
        return [
            (layer, squared_error(found, layer_weights(view.backbone, layer, weights)))
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

    Every region has its own moments and its own target. Its loss counts by its share of the visible picture, so that
    the style is as strong at each pixel as without regions, however large they are, and up to three times as strong in
    small ones.
    What is protected counts :data:`PROTECTED_STYLE` times. Regions may ask for the moments of the reduced picture.

    Args:
        settings: :class:`~nstlib.Settings`; ``style_weight`` and the weights of ``style_layers`` may change.
        weights: of the pixels, on top of their transparency, shape (1, 1, H, W), or None.
        rest: ``{layer: Moments}`` of the other parts of the picture, added before the style loss is taken; None for a
            whole picture. For one region only.

    Reference: Gatys et al., *Controlling Perceptual Factors in Neural Style Transfer*, CVPR 2017, section 4; Snelgrove,
    *High-Resolution Multi-Scale Neural Texture Synthesis*, SIGGRAPH Asia 2017, for the reduced picture.
    Differs from the paper: regions count by their area instead of all alike, and moments are divided by their weight.
    """

    name = "style"
    weight = _live("style_weight")

    def __init__(self, settings, *, weights=None, rest=None):
        self._settings, self._weights, self._rest = settings, weights, rest

    def targets(self, view):
        """``[(weight, {layer: Moments or None}, least share, reduction)]`` of the regions, of their styles together."""
        layers = self._settings.style_layers
        styles = [style for exemplar in view.styles() for style in exemplar.styles(view, self._settings)]
        return [
            (one.weight, blended(styles, one.blend, one.layers or layers), one.least, one.reduction)
            for one in view.regions
        ]

    def taps(self, view, targets):
        if [reduction for *_, reduction in targets] != [region.reduction for region in view.regions]:
            raise InputError(
                f"the targets are those of {len(targets)} regions, the styles of this transfer have "
                f"{len(view.regions)}: give targets of a transfer with the same styles and brushes"
            )
        visible = product(view.transparency, self._weights)
        seen = product(visible, _from_one_to(PROTECTED_STYLE, view.protection))
        masks = [_reduced(product(seen, region.mask), region.reduction) for region in view.regions]
        taps = []
        for factor, layer, regions in self._looks(targets):
            weights = [_reduced(visible, factor), *(masks[index] for index in regions)]
            measure = sums_over_regions(*(layer_weights(view.backbone, layer, mask) for mask in weights))
            taps.append((layer, measure, factor))
        return taps

    def _looks(self, targets):
        """``[(reduction, layer, indices of regions)]``: what is compared at each size of the picture."""
        _check_layers({layer: None for _, moments, *_ in targets for layer in moments}, self._settings.style_layers)
        looks = [
            (factor, layer, [i for i, (_, goals, _, own) in enumerate(targets) if own == factor and goals.get(layer)])
            for factor in REDUCTIONS
            for layer in self._settings.style_layers
        ]
        return [look for look in looks if look[2]]

    def loss(self, image, sums, targets):
        losses = dict.fromkeys(self._settings.style_layers, 0.0)
        for (visible, *found), (_, layer, regions) in zip(sums, self._looks(targets), strict=True):
            for place, index in enumerate(regions):
                weight, goals, least, _ = targets[index]
                moments = Moments(*found[3 * place : 3 * place + 3])
                # A part that cannot be seen is no smaller a share of the picture that the rest completes.
                share = torch.where(visible > 0, moments.count.detach() / visible, 1)[:, 0, 0]
                share = torch.maximum(share, (MOST_TIMES * share).clamp_max(least))
                if self._rest is not None:
                    moments = moments + self._rest[layer]
                # A mask without area has no statistics to compare.
                distance = self._distance(compared(moments, layer, self._settings), goals[layer])
                distance = torch.where(moments.count[:, 0, 0] > 0, distance, 0)
                losses[layer] = losses[layer] + weight * share * distance
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


def _reduced(mask, factor):
    return None if mask is None else reduced(mask, factor)


def _from_one_to(value, mask):
    """1 where the mask is 0, ``value`` where it is 1; None without a mask."""
    return None if mask is None else 1 + (value - 1) * mask


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
