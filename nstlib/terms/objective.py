"""The loss of a picture: a sum of terms, for which the network runs once."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..errors import InputError, check_choice
from ..features.backbone import Backbone
from ..features.ranks import ALONE, Ranks
from ..features.rectangles import shared_sums
from ..images import composite, resize

#: How much smaller than the picture the network may be shown it.
REDUCTIONS = (1, 2, 4)
#: A region counts by its share of the picture, but at least so much: small ones would be painted like their neighbours.
#: Yet no more than so many times its share: a few pixels cannot have the statistics of a painting and become noise.
LEAST_SHARE, MOST_TIMES = 0.02, 3.0


@dataclass(frozen=True)
class Region:
    """A part of the picture, and what is to be painted there.

    Attributes:
        mask: how much of it each pixel is, in [0, 1], shape (1, 1, H, W), or None for the whole picture.
        blend: relative weight of each style of the view, 0 for those that are not for this region; None: all alike.
        weight: of its style loss beside those of the other regions.
        reduction: one of :data:`REDUCTIONS`: how much the picture is reduced before it is compared with the styles.
        layers: names of those that are compared, or None for all of the style's.
        least: share of the picture as which it counts if its own is smaller; see :data:`MOST_TIMES`.
    """

    mask: torch.Tensor | None = None
    blend: tuple | None = None
    weight: float = 1.0
    reduction: int = 1
    layers: tuple | None = None
    least: float = LEAST_SHARE


@dataclass(frozen=True)
class View:
    """The pictures of a transfer at one size, and the network: what a term computes its targets from.

    All have the margin that is painted around the picture, as has the image whose loss is taken; see
    :mod:`nstlib.transfer.margin`.

    Attributes:
        backbone: :class:`~nstlib.features.Backbone`.
        content: RGB in [0, 1], straight colours, shape (N, 3, H, W).
        transparency: shape (1, 1, H, W), or None for opaque pictures.
        styles: function that gives the :class:`~nstlib.terms.texture.Exemplar` of every painting.
        plan: function that gives the :class:`~nstlib.features.Plan` for a forward pass at ``(height, width)``.
        regions: the :class:`Region` of every style or blend of styles.
        protection: how much each pixel is to stay as it is, in [0, 1], shape (1, 1, H, W), or None for not at all.
        ranks: :class:`~nstlib.features.Ranks` that share the work. The pictures here are whole on each of them.
    """

    backbone: Backbone
    content: torch.Tensor
    transparency: torch.Tensor | None
    styles: Callable
    plan: Callable
    regions: tuple = (Region(),)
    protection: torch.Tensor | None = None
    ranks: Ranks = ALONE

    @property
    def opaque(self):
        """The content as the network sees it: transparent pixels on white."""
        return composite(self.content, self.transparency)


def reduced(image, factor):
    """A picture (N, C, H, W) that is ``factor`` times smaller, its sides rounded up; reduced as paintings are.

    Means over squares would be less work, but each square would have one gradient, and be seen in the painting.
    """
    return image if factor == 1 else resize(image, [-(-side // factor) for side in image.shape[2:]])


class Objective:
    """The terms of a loss and their targets at one size.

    A *term* is any object with

    - ``name``: the key of its loss;
    - ``weight``: the factor of its loss, read in every iteration;
    - ``targets(view)``: whatever it compares the picture with, computed once per size from a :class:`View`;
    - ``taps(view, targets)``: a list of ``(layer, measure)``, the sums over feature maps that its loss needs; see
      :func:`~nstlib.features.feature_sums`. It may be empty. ``(layer, measure, 2)`` or ``(layer, measure, 4)`` shows
      the network the picture at a half or a quarter of its size;
    - ``loss(image, sums, targets)``: the loss of each picture, shape (N,), from RGB in [0, 1] of shape (N, 3, H, W),
      transparent pixels on white, and one tuple of tensors per tap.

    A term whose targets are large may have ``floats_per_pixel(backbone)``: how many values of the network's type it
    keeps per pixel of the picture, for the memory estimate.

    Args:
        terms: ``{name: term}``.
        view: :class:`View`.
        targets: ``{name: targets}`` of another objective of this size, reused instead of computed again.

    Attributes:
        targets: ``{name: targets}`` of all terms.
    """

    def __init__(self, terms, view, targets=None):
        self.backbone, self._transparency, self._ranks = view.backbone, view.transparency, view.ranks
        self._terms, given = terms, targets or {}
        self.targets = {name: given[name] if name in given else term.targets(view) for name, term in terms.items()}
        self._counts, self._passes = {}, {}
        for name, term in terms.items():
            taps = list(term.taps(view, self.targets[name]))
            self._counts[name] = len(taps)
            for index, (layer, measure, *reduction) in enumerate(taps):
                check_choice(f"layer of {name!r}", layer, self.backbone.layers)
                (factor,) = reduction or (1,)
                if factor not in REDUCTIONS:
                    raise InputError(
                        f"a tap of {name!r} asks for the picture reduced {factor} times; choose from "
                        f"{', '.join(map(str, REDUCTIONS))}"
                    )
                self._passes.setdefault(factor, []).append((name, index, (layer, measure)))
        for factor, wanted in self._passes.items():
            least = max(self.backbone.least_side(layer) for *_, (layer, _) in wanted)
            side = math.ceil(min(view.content.shape[2:]) / factor)
            if side < least:
                raise InputError(f"reduced {factor} times the picture has {side} pixels a side; its taps need {least}")

    def __call__(self, image, plan):
        """``{name: loss}`` of each picture, without weights, each of shape (N,) and differentiable.

        Args:
            image: RGB in [0, 1], straight colours, shape (N, 3, H, W).
            plan: :class:`~nstlib.features.Plan`.

        Raises:
            InputError: a term gives something else.
        """
        image = composite(image, self._transparency)
        sums = self._sums(image, plan)
        losses = {name: term.loss(image, sums[name], self.targets[name]) for name, term in self._terms.items()}
        for name, loss in losses.items():
            if not isinstance(loss, torch.Tensor) or loss.shape != image.shape[:1]:
                raise InputError(
                    f"the term {name!r} must give one loss per picture, shape ({len(image)},), received "
                    f"{getattr(loss, 'shape', loss)}"
                )
        return losses

    def _sums(self, image, plan):
        sums = {name: [None] * count for name, count in self._counts.items()}
        for factor, wanted in self._passes.items():
            taps = [tap for *_, tap in wanted]
            found = shared_sums(self.backbone, reduced(image, factor), taps, plan, self._ranks)
            for (name, index, _), values in zip(wanted, found, strict=True):
                sums[name][index] = values
        return sums
