"""The pictures of a transfer, at any size: content, styles and starting picture."""

import functools
import hashlib
import math
from dataclasses import replace

import torch

from .. import color
from ..images import MAX_PIXELS, composite, fit_size, load_image_and_alpha, resize, resize_straight
from ..styles import as_styles
from ..terms import View
from ..terms.measures import product
from ..terms.objective import REDUCTIONS
from .direction import Direction
from .layout import Layout, by_reduction
from .margin import around, margin_of, outer, within
from .memory import more_frugal
from .paintings import at_most, check_side, load_paintings, load_visible
from .settings import INITS

COARSEST = 256  # pixels of the longer side
#: Each finer level of the pyramid gets this share of the iterations of the level below it.
FINER_SHARE = 0.85


class Scene:
    """Content, styles and starting picture, loaded once, in the colours that the settings ask for.

    They are reduced to the size of the result at once: nothing larger is ever painted, recoloured or kept.

    Args:
        content: picture; whatever :func:`~nstlib.images.load_image` takes.
        styles: picture or :class:`~nstlib.Style`, or a list of them.
        settings: :class:`~nstlib.Settings`.
        reductions: how much the picture may be reduced to be compared with the styles.
        protect: mask of what is to stay as it is; see :func:`~nstlib.masks.load_mask`.
        least: smallest side in pixels that the network can see.
        max_pixels: larger input pictures are refused.

    Attributes:
        size: (height, width) of the result.
        layout: :class:`~nstlib.transfer.layout.Layout`, its regions.
        direction: :class:`~nstlib.transfer.direction.Direction`, that of their strokes.

    Raises:
        InputError: a picture or a mask that cannot be used.
    """

    def __init__(
        self, content, styles, settings, *, reductions=REDUCTIONS, protect=None, least=1, max_pixels=MAX_PIXELS
    ):
        styles = as_styles(styles)
        self._settings = settings
        picture, alpha = load_visible(content, "the content", max_pixels)
        height, width = picture.shape[2:]
        self.size = fit_size(height, width, settings.size or max(height, width))
        picture, alpha = at_most(picture, alpha, self.size)
        limits = {"least": least, "max_pixels": max_pixels, "reductions": reductions}
        limits |= {"brush": settings.brush, "breadth": settings.breadth, "layers": settings.style_layers}
        loaded = [load_paintings(style, number, self.size, **limits) for number, style in enumerate(styles, 1)]
        self._paintings = [painting for paintings in loaded for painting in paintings]
        self._given = self._finish = None
        if not isinstance(settings.init, str) or settings.init not in INITS:
            self._given = at_most(*load_image_and_alpha(settings.init, max_pixels=max_pixels), self.size)[0]
        self._colors, self._alpha = picture, alpha
        alike = [next(i for i, other in enumerate(self._paintings) if other.same_as(one)) for one in self._paintings]
        seen, options = composite(picture, alpha), {"protect": protect, "max_pixels": max_pixels}
        self.layout = Layout(styles, alike, seen, (height, width), **options)
        self.direction = Direction(seen, settings.direction)
        self._content, recoloured = color.prepare(
            picture, [painting.image for painting in self._paintings], settings.color, settings.color_strength,
            weights=[product(alpha, self.layout.place_of(index)) for index in range(len(self._paintings))],
            style_weights=[painting.weights for painting in self._paintings],
        )  # fmt: skip
        pairs = zip(recoloured, self._paintings, strict=True)
        self._styles = [composite(image, painting.alpha) for image, painting in pairs]

    def content(self, size):
        """What is painted, straight colours, shape (1, 3, *size)."""
        return resize_straight(self._content, self._alpha, size)[0]

    def transparency(self, size):
        """The content's transparency, shape (1, 1, *size), or None where it is opaque."""
        return None if self._alpha is None else resize(self._alpha, size)

    def styles(self, size):
        """For a result of this size: ``[(picture, weights or None)]``, of the sizes of :meth:`style_sizes`."""
        weights = [painting.weights for painting in self._paintings]
        return [
            (resize(self._styles[index], own), None if weights[index] is None else resize(weights[index], own))
            for index, (own, _, _) in self._shown(size)
        ]

    def exemplars(self, size):
        """:meth:`styles` as the terms want them: ``[Exemplar]``, turned to the photograph's directions if asked for."""
        return [
            replace(self.direction.exemplar(*style), layers=self._paintings[index].layers)
            for style, (index, _) in zip(self.styles(size), self._shown(size), strict=True)
        ]

    def style_sizes(self, size):
        """(height, width) of every style picture beside a result of this size."""
        return [own for _, (own, _, _) in self._shown(size)]

    def passes(self, size):
        """How much a result of this size is reduced, to be compared with styles, in passes beside that of the whole."""
        return sorted({reduction for _, (_, reduction, _) in self._shown(size)} - {1})

    def regions(self, size, here=lambda mask: mask):
        """``[Region]`` of a result of this size, whose blends are those of :meth:`exemplars`.

        Args:
            here: function that puts a mask where it is needed.
        """
        regions = [replace(region, mask=here(region.mask)) for region in self.layout.at(size)]
        regions = by_reduction(regions, self._shown(size), self._settings.style_layers)
        return self.direction.divided(regions, size, here)

    def _shown(self, size):
        """``[(index, Shown)]``: how each style that has a place is shown beside a result of this size."""
        return [
            (index, shown)
            for index, painting in enumerate(self._paintings)
            if self.layout.uses(index)
            for shown in painting.beside(size)
        ]

    @property
    def floats_per_pixel(self):
        """Values that the masks keep per pixel of the picture; see :attr:`Layout.floats_per_pixel`."""
        return self.layout.floats_per_pixel + len(self.layout.blends) * self.direction.floats_per_pixel

    def start(self, size):
        """What painting starts from, straight colours, shape (1, 3, *size)."""
        if self._given is not None:
            return resize(self._given, size)
        if self._settings.init == "noise":
            generator = torch.Generator().manual_seed(self._settings.seed)
            return torch.rand(1, 3, *size, generator=generator, dtype=torch.float32)
        return self.content(size) if self._settings.init == "content" else resize(self._styles[0], size)

    def margin(self, size):
        """Pixels around a result of this size that are painted too."""
        return margin_of(size, self._settings.margin)

    def outer(self, size):
        """(height, width) of what is painted for a result of this size."""
        return outer(size, self._settings.margin)

    def finish(self, image, size):
        """The painting ``image`` without its margin, shape (1, 3, *size), in the colours asked for, float32."""
        image = within(image, size).to(torch.float32, copy=True)
        s, size = self._settings, tuple(size)
        if s.color == "style":
            return image
        if self._finish is None or self._finish[0] != size:
            colors, alpha = resize_straight(self._colors, self._alpha, size)
            self._finish = size, color.Finish(colors, s.color, s.color_strength, weights=alpha)
        return self._finish[1](image)

    def view(self, size, backbone, plans, plan):
        """What the terms of the loss see of a result of ``size`` (height, width), margin included, on its device.

        Args:
            backbone: :class:`~nstlib.features.Backbone`.
            plans: :class:`~nstlib.transfer.memory.Plans`.
            plan: the one of the iterations; where it needs less memory, it is the one for the forward passes too.

        Returns:
            :class:`~nstlib.terms.View`.
        """

        def here(x):
            return None if x is None else x.to(backbone.mean.device, backbone.arithmetic)

        def wide(x):
            return None if x is None else around(here(x), self.margin(size))

        protection = self.layout.protection_at(size)
        return View(
            backbone,
            content=wide(self.content(size)),
            transparency=wide(self.transparency(size)),
            styles=lambda: [exemplar.each(here) for exemplar in self.exemplars(size)],
            plan=lambda size: more_frugal(plan, plans.for_targets(size)),
            regions=tuple(self.regions(size, wide)),
            protection=None if protection is None else wide(protection * self._settings.protection),
            ranks=plans.ranks,
        )

    @functools.cached_property
    def fingerprint(self):
        """Hash of all pictures and masks, and of what is asked for each style."""
        digest = hashlib.sha256()
        layout, weights = self.layout, (painting.weights for painting in self._paintings)
        maps = (layout.masks, layout.protection, *weights)
        for picture in (self._content, self._alpha, self._given, *self._styles, *maps):
            digest.update(b"none" if picture is None else picture.contiguous().numpy())
        asked = layout.blends, layout.weights, [(painting.brush, painting.layers) for painting in self._paintings]
        digest.update(repr(asked).encode())
        return digest.hexdigest()


def pyramid(size, settings, least):
    """Sizes of the levels, from coarse to fine, and the number of iterations at each.

    Args:
        size: (height, width) of the result.
        settings: :class:`~nstlib.Settings`.
        least: smallest side in pixels that the network can see. A pyramid chosen here does not go below it; one that
            the settings name is refused if it does.

    Returns:
        ``([(height, width), ...], [iterations, ...])``.

    Raises:
        InputError: a level would be too small.
    """
    height, width = size
    levels = settings.levels
    if levels is None:
        levels = 1 + max(0, int(math.log2(max(size) / COARSEST)))
        while levels > 1 and min(fit_size(height, width, round(max(size) / 2 ** (levels - 1)))) < least:
            levels -= 1
    levels = min(levels, settings.iterations)
    sizes = [fit_size(height, width, max(1, round(max(size) / 2**i))) for i in reversed(range(levels))]
    check_side("the content", sizes[0], least)
    shares = [FINER_SHARE**i for i in range(levels)]
    counts = [max(1, round(settings.iterations * share / sum(shares))) for share in shares]
    counts[0] += max(0, settings.iterations - sum(counts))
    while sum(counts) > settings.iterations:
        counts[counts.index(max(counts))] -= 1
    return sizes, counts
