"""The transfer: a pyramid of sizes, an optimizer on the picture's pixels, one step at a time."""

import copy
import functools
import hashlib
import math
import warnings

import torch

from . import color
from .checkpoints import read_state, write_state
from .errors import Diverged, InputError
from .features import Backbone, deepest_of
from .images import MAX_PIXELS, composite, fit_size, load_image, load_image_and_alpha, resize, save_image, to_pil
from .memory import is_out_of_memory, plan_for, tighten
from .objective import Objective, style_moments
from .optimizers import OPTIMIZERS, make_optimizer, warm_start
from .pretrained import load_backbone
from .settings import INITS, make_settings

COARSEST = 256  # pixels of the longer side
#: Each finer level of the pyramid gets this share of the iterations of the level below it.
FINER_SHARE = 0.85
#: Decay of the running mean of the iterates that is shown and returned; it removes the optimizer's jitter.
AVERAGING = 0.9


class Step:
    """What one iteration did.

    Attributes:
        iteration: 1, 2, ... over all levels.
        size: (height, width) of this level.
    """

    def __init__(self, transfer, losses):
        self.iteration, self.size = transfer.iteration, transfer.size
        self._transfer, self._losses = transfer, losses

    @property
    def losses(self):
        """``{"content", "style", "image", "total"}``: the losses before their weights, and their weighted sum.

        Reading them waits for the device; a loop that does not look is not slowed down.
        """
        return dict(zip(("content", "style", "image", "total"), self._losses.tolist(), strict=True))

    @property
    def image(self):
        """The picture as it is now, a PIL image."""
        return self._transfer.picture

    def __repr__(self):
        losses = ", ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        return f"Step {self.iteration} at {self.size[1]}x{self.size[0]}: {losses}"


class StyleTransfer:
    """Paint ``content`` in the manner of ``style``: an iterator with one :class:`Step` per iteration.

    Minimises ``alpha * L_content + beta * L_style + gamma * L_image`` over the pixels of a picture, from coarse
    to fine. Between two steps everything may be looked at, and the live settings changed.

    Args:
        content: picture; whatever :func:`~nstlib.images.load_image` takes.
        style: picture, or a list of pictures to blend.
        preset: name in :data:`~nstlib.settings.PRESETS`.
        backbone: a name, or a ready :class:`~nstlib.features.Backbone`.
        max_pixels: larger input pictures are refused.
        **options: fields of :class:`~nstlib.settings.Settings`.

    Raises:
        InputError: a picture or a setting that cannot be used; before any work is done.
        Diverged: on the way, when the loss is no longer a finite number.

    Example:
        >>> from nstlib import samples
        >>> transfer = StyleTransfer(samples.content(), samples.style(), size=64, iterations=3, backbone="compact")
        >>> for step in transfer:
        ...     if step.iteration == 2:
        ...         transfer.settings.style_weight *= 2
        >>> transfer.picture.size
        (64, 43)
    """

    def __init__(self, content, style, *, preset="default", backbone=None, max_pixels=MAX_PIXELS, **options):
        if isinstance(backbone, str):
            options["backbone"], backbone = backbone, None
        self.settings = settings = make_settings(preset, **options)
        styles = style if isinstance(style, (list, tuple)) else [style]
        if not styles:
            raise InputError("at least one style picture is needed")
        if settings.style_blend is not None and len(settings.style_blend) != len(styles):
            raise InputError(
                f"{len(styles)} style pictures need as many blend weights, received {len(settings.style_blend)}"
            )
        straight, self._alpha = load_image_and_alpha(content, max_pixels=max_pixels)
        self._content = composite(straight, self._alpha)
        self._styles = [load_image(picture, max_pixels=max_pixels) for picture in styles]
        self._colors = self._content
        self._content, self._styles = color.prepare(
            self._content, self._styles, settings.color, settings.color_strength
        )
        given = not isinstance(settings.init, str) or settings.init not in INITS
        self._init = load_image(settings.init, max_pixels=max_pixels) if given else settings.init
        self.device = choose_device(settings.device)
        self.backbone = prepare_backbone(settings, self.device, backbone)
        self.sizes, self.counts = self._pyramid()
        self._check_sizes()
        self.iteration = 0
        self._level = -1
        self._in_level = 0
        self._last_good = None
        #: False in the short moments in which an interruption would find the state half changed.
        self._whole = True
        self._next_level()

    def __len__(self):
        return sum(self.counts)

    def __iter__(self):
        return self

    def __next__(self):
        if self._in_level == self.counts[self._level]:
            if self._level + 1 == len(self.sizes):
                raise StopIteration
            self._whole = False
            self._next_level()
            self._whole = True
        if self._objective is None:
            self._aim()
        losses = self._update()
        if self._in_level + 1 == self.counts[self._level]:
            # Nothing of this size comes after it that would notice.
            self._check_finite(self._average.sum())
        self.iteration += 1
        self._in_level += 1
        self._whole = True
        return Step(self, losses)

    @property
    def size(self):
        """(height, width) of the level at work."""
        return self.sizes[self._level]

    @property
    def image(self):
        """The picture so far, float32 in [0, 1], shape (1, 3, H, W), on the transfer's device."""
        s = self.settings
        if s.color == "style":
            return self._average.clone()
        return color.finish(self._average, resize(self._colors, self.size), s.color, s.color_strength)

    @property
    def alpha(self):
        """The content's transparency at the size of the picture, shape (1, 1, H, W), or None."""
        return None if self._alpha is None else resize(self._alpha, self.size)

    @property
    def picture(self):
        """The picture so far as a PIL image, with the content's transparency."""
        return to_pil(self.image, self.alpha)

    def save(self, path):
        """Write the picture so far, with the settings in its metadata; see :func:`~nstlib.images.save_image`."""
        save_image(self.image, path, alpha=self.alpha, settings=self.settings.as_dict())

    @property
    def work(self):
        """Pixels to be optimised in all, summed over the iterations: what the time is proportional to."""
        return sum(n * h * w for n, (h, w) in zip(self.counts, self.sizes, strict=True))

    @property
    def work_done(self):
        """The part of :attr:`work` that is done."""
        done = [*self.counts[: self._level], self._in_level]
        return sum(n * h * w for n, (h, w) in zip(done, self.sizes, strict=False))

    # Levels

    def _pyramid(self):
        """Sizes of the levels and the number of iterations at each."""
        height, width = self._content.shape[2:]
        longest = self.settings.size or max(height, width)
        count = self.settings.levels or 1 + max(0, int(math.log2(longest / COARSEST)))
        count = min(count, self.settings.iterations)
        sizes = [fit_size(height, width, max(1, round(longest / 2**i))) for i in reversed(range(count))]
        shares = [FINER_SHARE**i for i in range(count)]
        counts = [max(1, round(self.settings.iterations * share / sum(shares))) for share in shares]
        counts[0] += self.settings.iterations - sum(counts)
        return sizes, counts

    def _check_sizes(self):
        least = self.backbone.smallest_side
        sizes = [("the content", self.sizes[0])]
        sizes += [
            ("a style picture", style_size(style, self.sizes[0], self.settings.style_scale)) for style in self._styles
        ]
        for name, (height, width) in sizes:
            if min(height, width) < least:
                raise InputError(
                    f"{name} would be {width} x {height} pixels at the coarsest level; the layers chosen need at least "
                    f"{least} on each side: use a larger size, fewer levels, a less narrow picture or shallower layers"
                )

    def _next_level(self):
        first = self._level < 0
        previous = () if first else (self._optimizer, self._image)
        self._level += 1
        self._in_level = 0
        size = self.sizes[self._level]
        self._set_image(self._first_image(size) if first else resize(self._average, size))
        self._set_optimizer(self.settings.optimizer)
        if not first:
            warm_start(self._optimizer, self._image, *previous)
        self._objective = None

    def _set_optimizer(self, name):
        self._optimizer = make_optimizer(name, self._image, self.settings.learning_rate)
        self._optimizer_name, self._optimizer_weights = name, self.settings.loss_weights

    def _set_image(self, image):
        image = image.to(self.device, torch.float64 if self.backbone.dtype == torch.float64 else torch.float32)
        self._image = image.detach().contiguous().clone().requires_grad_()
        self._average, self._weight = self._image.detach().clone(), 0.0

    def _first_image(self, size):
        if isinstance(self._init, torch.Tensor):
            return resize(self._init, size)
        if self._init == "noise":
            generator = torch.Generator().manual_seed(self.settings.seed)
            return torch.rand(1, 3, *size, generator=generator)
        return resize(self._content if self._init == "content" else self._styles[0], size)

    def _aim(self):
        """Take the targets of this level: moments of the styles, feature maps of the content."""
        s, size = self.settings, self.size
        self.plan = plan_for(
            self.backbone, size, s.memory, optimizer=s.optimizer, content_layers=s.content_layers, device=self.device
        )
        content = resize(self._content, size).to(self._image)
        styles = [resize(style, style_size(style, size, s.style_scale)).to(self._image) for style in self._styles]

        def aim():
            targets = [style_moments(self.backbone, style, s, self.plan) for style in styles]
            return Objective(self.backbone, content, targets, s, self.plan)

        self._objective = self._guarded(aim)
        if self._level + 1 == len(self.sizes):
            # Nobody looks at the originals any more; at 4K they are 200 MB.
            _ = self._fingerprint
            self._content = self._styles = None
            if s.color == "style":
                self._colors = None

    # Iterations

    def _update(self):
        s = self.settings
        # The curvature that L-BFGS has gathered belongs to the loss of before.
        stale = s.optimizer == "LBFGS" and s.loss_weights != self._optimizer_weights
        if s.optimizer != self._optimizer_name or stale:
            self._set_optimizer(s.optimizer)
        rate = s.learning_rate or OPTIMIZERS[s.optimizer][1]
        self._optimizer.param_groups[0]["lr"] = rate
        losses = None

        def evaluate():
            nonlocal losses
            losses = self._guarded(self._losses_and_gradient)
            # Asking a GPU for a value makes it wait; every tenth time is often enough.
            if self.device.type != "cuda" or self._in_level % 10 == 0:
                self._check_finite(losses[3])
                self._keep_last_good()
            self._whole = False
            return losses[3]

        self._optimizer.step(evaluate)
        with torch.no_grad():
            # Left to the end, clipping would cost most of what was gained: L-BFGS likes to leave the range by far.
            self._image.clamp_(0, 1)
            if s.optimizer == "LBFGS":  # no jitter, no averaging
                self._average.copy_(self._image)
            else:
                self._weight = AVERAGING * self._weight + (1 - AVERAGING)
                self._average.lerp_(self._image, (1 - AVERAGING) / self._weight)
        return losses

    def _losses_and_gradient(self):
        """Fill the image's gradient; return content, style and image loss and their weighted sum."""
        self._image.grad = None
        losses = self._objective(self._image, self.plan)
        # A loss without a unit changes by about 1/pixels per pixel. Optimizing its product with the number of pixels
        # makes learning rates mean the same at every size and keeps half-precision gradients in range.
        scale = self._image[0, 0].numel() if self.settings.normalized else 1
        (losses[3] * scale).backward()
        return torch.stack(losses).detach()

    def _guarded(self, compute):
        """Run ``compute``; when memory runs out, tile more and run it again."""
        while True:
            try:
                return compute()
            except (RuntimeError, MemoryError) as error:
                tighter = tighten(self.plan) if is_out_of_memory(error) else None
                if tighter is None:
                    raise
                warnings.warn(f"out of memory with {self.plan}: going on with {tighter}", stacklevel=2)
            # Outside the handler, so that the failed attempt's tensors are gone.
            self.plan = tighter
            self._image.grad = None
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _check_finite(self, value):
        if math.isfinite(value.item()):
            return
        if self._last_good is not None and self._last_good.shape == self._average.shape:
            self._average.copy_(self._last_good)
        raise Diverged(
            f"the loss became {value.item()} at iteration {self.iteration + 1}; the picture is the last good one. A "
            "smaller learning_rate or precision='float32' helps"
        )

    def _keep_last_good(self):
        if self._last_good is None or self._last_good.shape != self._average.shape:
            self._last_good = torch.empty_like(self._average, dtype=torch.float16)
        self._last_good.copy_(self._average)

    # Checkpoints

    def save_checkpoint(self, path):
        """Write the whole state to a file, which appears whole or not at all.

        After an interruption in the very moment of an update there is no whole state; the file of before is kept.
        """
        if not self._whole:
            return
        state = {
            "inputs": self._fingerprint, "level": self._level, "in_level": self._in_level,
            "iteration": self.iteration, "image": self._image, "average": self._average, "weight": self._weight,
            "optimizer": self._optimizer_name, "optimizer_state": self._optimizer.state_dict()["state"].get(0),
        }  # fmt: skip
        write_state(state, path)

    def load_checkpoint(self, path):
        """Go on where :meth:`save_checkpoint` stood; the result is that of an uninterrupted run.

        Raises:
            InputError: no checkpoint, or one of other pictures or settings.
        """
        state = read_state(path)
        if not isinstance(state, dict) or state.get("inputs") != self._fingerprint:
            raise InputError(f"{path} is the checkpoint of other pictures or settings; give the same or delete it")
        if self._content is None and state["level"] != self._level:
            raise InputError("this transfer has already reached its last size; load the checkpoint into a new one")
        if state["level"] != self._level:
            self._objective = None
        self._level, self._in_level, self.iteration = state["level"], state["in_level"], state["iteration"]
        self._set_image(state["image"])
        self._average.copy_(state["average"])
        self._weight = state["weight"]
        self._set_optimizer(state["optimizer"])
        if state["optimizer_state"]:
            self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": {0: state["optimizer_state"]}})

    @functools.cached_property
    def _fingerprint(self):
        """Hash of everything the result depends on and that may not change between checkpoint and resumption.

        Taken once: at 4K the pictures are hundreds of megabytes, and there is a checkpoint every half minute.
        """
        s = self.settings
        fixed = (s.size, s.iterations, s.levels, s.normalized, s.style_loss, s.style_scale, s.style_blend, s.seed,
                 s.color, list(s.content_layers), list(s.style_layers), s.pooling, s.padding, s.backbone)  # fmt: skip
        digest = hashlib.sha256(repr(fixed).encode())
        for picture in (self._content, *self._styles):
            digest.update(picture.numpy().tobytes())
        return digest.hexdigest()


def choose_device(name):
    """``torch.device`` of this name; for ``"auto"`` the fastest there is.

    Raises:
        InputError: the machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    device = torch.device(next(kind for kind, there in available.items() if there) if name == "auto" else name)
    if not available[device.type]:
        raise InputError(f"device {device} is not available on this machine; use device='auto' or 'cpu'")
    return device


def prepare_backbone(settings, device, backbone=None):
    """The network that ``settings`` ask for, or a copy of the one given, on the device and in its precision.

    Raises:
        InputError: the network lacks a layer.
    """
    layers = {**settings.content_layers, **settings.style_layers}
    if backbone is None:
        backbone = load_backbone(
            settings.backbone, deepest=deepest_of(layers, settings.backbone), weights=settings.weights,
            pooling=settings.pooling, padding=settings.padding,
        )  # fmt: skip
    elif not isinstance(backbone, Backbone):
        raise TypeError(f"backbone must be a name or a Backbone, received {type(backbone).__name__}")
    else:
        backbone = copy.deepcopy(backbone)  # the caller's stays as it is
    for layer in layers:
        if layer not in backbone.layers:
            raise InputError(f"unknown layer {layer!r}; choose from {', '.join(backbone.layers)}")
    precision = settings.precision
    if precision == "auto":
        precision = "float16" if device.type == "cuda" else "float32"
    # channels_last is what tensor cores and the CPU's vector units want; the tiles follow the weights.
    backbone = backbone.to(device, getattr(torch, precision), memory_format=torch.channels_last)
    if settings.compile:
        backbone.run = torch.compile(backbone.run, dynamic=True)
    return backbone


def style_size(style, size, scale):
    """(height, width) that a style picture gets beside a picture of this size: never more than its own."""
    return fit_size(*style.shape[2:], min(round(max(size) * scale), max(style.shape[2:])))
