"""The transfer: descents from coarse to fine, one step at a time, saved and resumed."""

import functools
import hashlib
from functools import partial

import torch

from ..ambient import choose_device, plain_torch
from ..checkpoints import read_state, write_state
from ..errors import InputError
from ..features.tiling import Plan
from ..images import MAX_PIXELS, save_image, to_pil
from ..terms.objective import Objective, style_moments
from .descent import Descent, uninterrupted
from .memory import more_frugal, plan_for, target_memory
from .network import prepare_backbone
from .scene import Scene, pyramid
from .settings import FIELDS, INITS, make_settings


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

        They are those of the picture before this iteration moved it.
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
        preset: name in :data:`~nstlib.transfer.settings.PRESETS`.
        plan: :class:`~nstlib.features.Plan` for every size, instead of the one that ``memory`` decides.
        max_pixels: larger input pictures are refused.
        **options: fields of :class:`~nstlib.Settings`.

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

    def __init__(self, content, style, *, preset="default", plan=None, max_pixels=MAX_PIXELS, **options):
        with plain_torch():
            self.settings = settings = make_settings(preset, **options)
            self.device = choose_device(settings.device)
            self.backbone = prepare_backbone(settings, self.device)
            least = self.backbone.smallest_side
            self._scene = Scene(content, style, settings, least=least, max_pixels=max_pixels)
            self.sizes, self.counts = pyramid(self._scene.size, settings, least)
            if plan is not None and not isinstance(plan, Plan):
                raise TypeError(f"plan must be a Plan or None, received {plan!r}; memory= takes words and bytes")
            self._plan = plan
            self._level = 0
            image = self._scene.start(self.size).to(self.device, self._arithmetic)
            self._descent = Descent(image, settings, *self._task(self.size))
            settings.fix()

    def __len__(self):
        return sum(self.counts)

    def __iter__(self):
        return self

    def __next__(self):
        done = self._descent.iterations == self.counts[self._level]
        if done and self._level + 1 == len(self.sizes):
            raise StopIteration
        with plain_torch():
            if done:
                size = self.sizes[self._level + 1]
                larger = self._descent.enlarged(size, *self._task(size))
                with uninterrupted():
                    self._descent, self._level = larger, self._level + 1
            return Step(self, self._descent.step())

    @property
    def iteration(self):
        """How many iterations were made, over all levels."""
        return sum(self.counts[: self._level]) + self._descent.iterations

    @property
    def size(self):
        """(height, width) of the level at work."""
        return self.sizes[self._level]

    @property
    def plan(self):
        """The :class:`~nstlib.features.Plan` of the level at work."""
        return self._descent.plan

    @property
    def image(self):
        """The picture so far, float32 in [0, 1], straight colours, shape (1, 3, H, W), on the transfer's device."""
        with plain_torch():
            image = self._descent.average.to(torch.float32, copy=True)
            return image if self.settings.color == "style" else self._scene.finish(image)

    @property
    def transparency(self):
        """The content's transparency at the size of the picture, shape (1, 1, H, W), or None."""
        return self._scene.transparency(self.size)

    @property
    def picture(self):
        """The picture so far as a PIL image, with the content's transparency."""
        return to_pil(self.image, self.transparency)

    def save(self, path):
        """Write the picture so far, with the settings in its metadata; see :func:`~nstlib.images.save_image`."""
        save_image(self.image, path, alpha=self.transparency, settings=self.as_dict())

    def as_dict(self):
        """The settings as :func:`~nstlib.images.save_image` stores them, with what the network is in fact."""
        own = {"pooling": self.backbone.pooling, "padding": self.backbone.padding, "network": self._network}
        return {**self.settings.as_dict(), **own}

    @property
    def work(self):
        """Pixels to be optimised in all, summed over the iterations: what the time is proportional to."""
        return sum(n * h * w for n, (h, w) in zip(self.counts, self.sizes, strict=True))

    @property
    def work_done(self):
        """The part of :attr:`work` that is done."""
        done = [*self.counts[: self._level], self._descent.iterations]
        return sum(n * h * w for n, (h, w) in zip(done, self.sizes, strict=False))

    def style_sizes(self, size):
        """(height, width) of every style picture beside a result of this size."""
        return self._scene.style_sizes(size)

    def plan_at(self, size):
        """The :class:`~nstlib.features.Plan` for an iteration at ``size`` (height, width), by the free memory."""
        s = self.settings
        options = {"optimizer": s.optimizer, "content_layers": s.content_layers, "device": self.device}
        return self._plan or plan_for(self.backbone, size, s.memory, **options)

    def plan_for_style(self, size):
        """The plan for taking the moments of a style picture of this size, which may be larger than the result."""
        options = {"need": target_memory, "device": self.device}
        return self._plan or plan_for(self.backbone, size, self.settings.memory, **options)

    @property
    def _arithmetic(self):
        return torch.float64 if self.backbone.dtype == torch.float64 else torch.float32

    def _task(self, size):
        """Plan and objective of a level; the latter as a function, for it takes time and memory."""
        plans = [self.plan_for_style(style) for style in self.style_sizes(size)]
        aim = partial(_aim, self.backbone, self._scene, self.settings, size, self.device, self._arithmetic, plans)
        return self.plan_at(size), aim

    # Checkpoints

    def save_checkpoint(self, path):
        """Write the whole state to a file, which appears whole or not at all.

        Raises:
            InputError: the file cannot be written there.
            OSError: the disk is full, or fails.
        """
        write_state({"inputs": self._fingerprint, "level": self._level, **self._descent.state()}, path)

    def load_checkpoint(self, path):
        """Go on where :meth:`save_checkpoint` stood; the result is that of an uninterrupted run.

        Raises:
            InputError: no checkpoint, or one of other pictures, settings or another network.
        """
        state = read_state(path)
        if not isinstance(state, dict) or state.get("inputs") != self._fingerprint:
            raise InputError(
                f"{path} is the checkpoint of other pictures or settings, or of another network; give the same or "
                "delete it"
            )
        if not (state["image"].isfinite().all() and state["average"].isfinite().all()):
            raise InputError(f"{path} holds a picture that is not finite: it is of no use, delete it")
        with plain_torch():
            size = self.sizes[state["level"]]
            descent = Descent(state["image"].to(self.device, self._arithmetic), self.settings, *self._task(size))
            descent.load(state)
            with uninterrupted():
                self._descent, self._level = descent, state["level"]

    @functools.cached_property
    def _network(self):
        return self.backbone.fingerprint

    @functools.cached_property
    def _fingerprint(self):
        """Hash of everything the result depends on and that may not change between checkpoint and resumption."""
        s = self.settings
        fixed = [(n, getattr(s, n)) for n, f in FIELDS.items() if not (f.metadata["live"] or f.metadata["free"])]
        fixed += [tuple(s.content_layers), tuple(s.style_layers), self._network]
        fixed += [s.init if isinstance(s.init, str) and s.init in INITS else "given", self._scene.fingerprint]
        return hashlib.sha256(repr(fixed).encode()).hexdigest()


def _aim(backbone, scene, settings, size, device, kind, plans, plan):
    """The objective of a level. It knows nothing of the transfer, so that nothing keeps a transfer alive."""

    def here(x):
        return None if x is None else x.to(device, kind)

    styles = [
        style_moments(backbone, here(style), settings, more_frugal(plan, own), here(weights))
        for (style, weights), own in zip(scene.styles(size), plans, strict=True)
    ]
    content, alpha = here(scene.content(size)), here(scene.transparency(size))
    return Objective(backbone, content, styles, settings, plan, alpha=alpha)
