"""The pictures of a transfer, at any size: content, styles and starting picture."""

import functools
import hashlib
import math

import torch

from .. import color
from ..errors import InputError
from ..images import MAX_PIXELS, composite, fit_size, load_image_and_alpha, resize, resize_straight
from ..terms import View
from .memory import more_frugal
from .settings import INITS

COARSEST = 256  # pixels of the longer side
#: Each finer level of the pyramid gets this share of the iterations of the level below it.
FINER_SHARE = 0.85


class Scene:
    """Content, styles and starting picture, loaded once, in the colours that the settings ask for.

    They are reduced to the size of the result at once: nothing larger is ever painted, recoloured or kept.

    Args:
        content: picture; whatever :func:`~nstlib.images.load_image` takes.
        styles: picture, or a list of them.
        settings: :class:`~nstlib.Settings`.
        least: smallest side in pixels that the network can see.
        max_pixels: larger input pictures are refused.

    Attributes:
        size: (height, width) of the result.

    Raises:
        InputError: a picture that cannot be used.
    """

    def __init__(self, content, styles, settings, *, least=1, max_pixels=MAX_PIXELS):
        styles = styles if isinstance(styles, (list, tuple)) else [styles]
        if not styles:
            raise InputError("at least one style picture is needed")
        if settings.style_blend is not None and len(settings.style_blend) != len(styles):
            raise InputError(
                f"{len(styles)} style pictures need as many weights in style_blend, received "
                f"{len(settings.style_blend)}"
            )
        self._settings, self._least = settings, least
        picture, alpha = _load(content, "the content", max_pixels)
        height, width = picture.shape[2:]
        self.size = fit_size(height, width, settings.size or max(height, width))
        picture, alpha = _at_most(picture, alpha, self.size)
        paintings = [_load(style, "a style picture", max_pixels) for style in styles]
        for painting, _ in paintings:
            _check_side("a style picture", painting.shape[2:], least)
        sizes = [self._style_size(painting, self.size) for painting, _ in paintings]
        paintings = [_at_most(*painting, size) for painting, size in zip(paintings, sizes, strict=True)]
        self._given = self._finish = None
        if not isinstance(settings.init, str) or settings.init not in INITS:
            self._given = _at_most(*load_image_and_alpha(settings.init, max_pixels=max_pixels), self.size)[0]
        self._colors, self._alpha = picture, alpha
        self._content, recoloured = color.prepare(
            picture, [painting for painting, _ in paintings], settings.color, settings.color_strength,
            weights=alpha, style_weights=[weights for _, weights in paintings],
        )  # fmt: skip
        self._styles = [
            (composite(painting, own), own) for painting, (_, own) in zip(recoloured, paintings, strict=True)
        ]

    def content(self, size):
        """What is painted, straight colours, shape (1, 3, *size)."""
        return resize_straight(self._content, self._alpha, size)[0]

    def transparency(self, size):
        """The content's transparency, shape (1, 1, *size), or None where it is opaque."""
        return None if self._alpha is None else resize(self._alpha, size)

    def styles(self, size):
        """For a result of this size: ``[(picture, transparency or None)]``, of the sizes of :meth:`style_sizes`."""
        sizes = self.style_sizes(size)
        return [
            (resize(painting, own), None if weights is None else resize(weights, own))
            for (painting, weights), own in zip(self._styles, sizes, strict=True)
        ]

    def style_sizes(self, size):
        """(height, width) of every style picture beside a result of this size."""
        return [self._style_size(painting, size) for painting, _ in self._styles]

    def start(self, size):
        """What painting starts from, straight colours, shape (1, 3, *size)."""
        if self._given is not None:
            return resize(self._given, size)
        if self._settings.init == "noise":
            generator = torch.Generator().manual_seed(self._settings.seed)
            return torch.rand(1, 3, *size, generator=generator, dtype=torch.float32)
        return self.content(size) if self._settings.init == "content" else resize(self._styles[0][0], size)

    def finish(self, image):
        """The painting ``image``, shape (1, 3, H, W), in the colours that the settings ask for, float32."""
        image = image.to(torch.float32, copy=True)
        s, size = self._settings, tuple(image.shape[2:])
        if s.color == "style":
            return image
        if self._finish is None or self._finish[0] != size:
            colors, alpha = resize_straight(self._colors, self._alpha, size)
            self._finish = size, color.Finish(colors, s.color, s.color_strength, weights=alpha)
        return self._finish[1](image)

    def view(self, size, backbone, planned, plan):
        """What the terms of the loss see at ``size`` (height, width); on the backbone's device.

        Args:
            backbone: :class:`~nstlib.features.Backbone`.
            planned: function that gives the :class:`~nstlib.features.Plan` for a forward pass at a size.
            plan: the one of the iterations; where it needs less memory, it is the one for the forward passes too.

        Returns:
            :class:`~nstlib.terms.View`.
        """

        def here(x):
            return None if x is None else x.to(backbone.mean.device, backbone.arithmetic)

        return View(
            backbone,
            content=here(self.content(size)),
            transparency=here(self.transparency(size)),
            styles=lambda: [(here(picture), here(weights)) for picture, weights in self.styles(size)],
            plan=lambda size: more_frugal(plan, planned(size)),
        )

    @functools.cached_property
    def fingerprint(self):
        """Hash of all pictures."""
        digest = hashlib.sha256()
        for picture in (self._content, self._alpha, self._given, *(x for pair in self._styles for x in pair)):
            digest.update(b"none" if picture is None else picture.contiguous().numpy())
        return digest.hexdigest()

    def _style_size(self, style, size):
        """Never more than its own size, never less than the network can see."""
        height, width = style.shape[2:]
        smallest = math.ceil(self._least * max(height, width) / min(height, width))
        longest = max(round(max(size) * self._settings.style_scale), smallest)
        return fit_size(height, width, min(longest, max(height, width)))


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
    _check_side("the content", sizes[0], least)
    shares = [FINER_SHARE**i for i in range(levels)]
    counts = [max(1, round(settings.iterations * share / sum(shares))) for share in shares]
    counts[0] += max(0, settings.iterations - sum(counts))
    while sum(counts) > settings.iterations:
        counts[counts.index(max(counts))] -= 1
    return sizes, counts


def _load(source, name, max_pixels):
    image, alpha = load_image_and_alpha(source, max_pixels=max_pixels)
    if alpha is not None and not alpha.any():
        raise InputError(f"{name} is transparent everywhere: there is nothing to see")
    return image, alpha


def _at_most(image, alpha, size):
    """Both at ``size``, or at their own where that is smaller."""
    return resize_straight(image, alpha, size) if size[0] * size[1] < image[0, 0].numel() else (image, alpha)


def _check_side(name, size, least):
    if min(size) < least:
        raise InputError(
            f"{name} would be {size[1]} x {size[0]} pixels at the coarsest level; the layers chosen need at least "
            f"{least} on each side: use a larger size, fewer levels, a less narrow picture or shallower layers"
        )
