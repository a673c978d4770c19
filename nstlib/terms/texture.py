"""Fine and coarse layers of the network: they see the grain of a painting, and its motifs."""

from dataclasses import dataclass

from ..features.backbone import block_of
from ..moments import blend
from .measures import moments_by_weights

#: The last block of the fine layers: deeper features see more than a dozen pixels of VGG-19's picture.
_FINE = 2


@dataclass(frozen=True)
class Exemplar:
    """A painting as the network is shown it: pictures whose moments add up.

    Attributes:
        copies: ``[(picture, ways)]``: RGB in [0, 1], shape (1, 3, h, w), and one or several ways to count its pixels,
            each weights of shape (1, 1, h, w) or None. Each way, over all copies, makes a style.
        layers: ``"fine"`` or ``"coarse"`` for a style of these layers alone; None for all.
    """

    copies: list
    layers: str | None = None

    def each(self, convert):
        """The same with ``convert`` applied to every tensor, or None in its place."""
        copies = [(convert(picture), [convert(way) for way in ways]) for picture, ways in self.copies]
        return Exemplar(copies, self.layers)

    def styles(self, view, settings):
        """``[{layer: Moments}]``, one for each way; of those style layers that it is for."""
        layers = layers_of(self.layers, settings.style_layers)
        found = [
            moments_by_weights(view.backbone, picture, layers, view.plan(picture.shape[2:]), ways)
            for picture, ways in self.copies
        ]
        return [
            {layer: compared(sum((one[layer] for one in rest), first[layer]), layer, settings) for layer in layers}
            for first, *rest in zip(*found, strict=True)
        ]


def compared(moments, layer, settings):
    """What of the moments is compared: of fine layers the covariance alone if the grain is to be without colour."""
    return moments.centred if settings.colorless_grain and _is_fine(layer) else moments


def blended(styles, weights, layers):
    """``{layer: Moments}``, None where no style with a weight is for the layer."""
    found, weights = dict.fromkeys(layers), weights or [1.0] * len(styles)
    for layer in layers:
        given = [(style[layer], weight) for style, weight in zip(styles, weights, strict=True) if layer in style]
        if any(weight for _, weight in given):
            found[layer] = blend(*zip(*given, strict=True))
    return found


def layers_of(kind, layers):
    """Those of ``layers`` that are ``"fine"``, of blocks 1 and 2, or ``"coarse"``; all for None."""
    return [layer for layer in layers if kind is None or _is_fine(layer) == (kind == "fine")]


def _is_fine(layer):
    return block_of(layer) <= _FINE
