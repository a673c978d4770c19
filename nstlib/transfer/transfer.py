"""The transfer: descents from coarse to fine, one step at a time, saved and resumed."""

import hashlib
from copy import deepcopy
from dataclasses import replace
from functools import partial

from ..ambient import choose_devices, plain_torch
from ..checkpoints import read_state, write_state
from ..errors import InputError
from ..features.ranks import ALONE
from ..images import MAX_PIXELS, save_image, to_pil
from ..terms import standard_terms
from .canvas import CANVASES
from .crew import Crew
from .descent import Descent
from .given import targets_of_terms, terms_by_name
from .interruption import uninterrupted
from .memory import Plans, kept_by
from .network import prepare_backbone
from .presets import make_settings
from .scene import Scene, pyramid
from .step import Step

#: Version of the states in checkpoints; those of another cannot be resumed.
STATES = 2


class StyleTransfer:
    """Paint ``content`` in the manner of ``style``: an iterator with one :class:`Step` per iteration.

    Minimises ``alpha * L_content + beta * L_style + gamma * L_image`` and what further terms add, from coarse to fine.
    Between two steps everything may be looked at, and the live settings and the weights of terms changed.

    Args:
        content: picture; whatever :func:`~nstlib.images.load_image` takes.
        style: picture or :class:`~nstlib.Style`, or a list of them, for regions of the picture or to blend.
        protect: mask of what is to stay much as it is, such as a face; see :func:`~nstlib.masks.load_mask`.
        preset: name in :data:`~nstlib.transfer.presets.PRESETS`.
        terms: further terms of the loss; see :class:`~nstlib.terms.Objective`.
        targets: ``{name: {size: targets}}`` from another transfer's :attr:`targets`, reused instead of computed again:
            ``{"style": other.targets["style"]}`` for another content in the same style. Other sizes compute theirs.
        plan: :class:`~nstlib.features.Plan` for every size, instead of the one that ``memory`` decides.
        ranks: of the processes that paint it together, each with its transfer; see :mod:`nstlib.transfer.processes`.
        max_pixels: larger input pictures are refused.
        **options: fields of :class:`~nstlib.Settings`, or its ``style_strength``, ``grain`` and ``motif``.

    Raises:
        InputError: a picture or a setting that cannot be used; before any work is done.
        Diverged: on the way, when the loss is no longer a finite number.

    Example:
        >>> transfer = StyleTransfer("sample:chelsea", "sample:scream", size=64, iterations=3, backbone="compact")
        >>> for step in transfer:
        ...     if step.iteration == 2:
        ...         transfer.settings.style_weight *= 2
    """

    def __init__(
        self, content, style, *, protect=None, preset="default", terms=(), targets=None, plan=None, ranks=ALONE,
        max_pixels=MAX_PIXELS, **options,
    ):  # fmt: skip
        with plain_torch():
            self.settings = settings = make_settings(preset, **options)
            self.terms = terms_by_name(standard_terms(settings), terms)
            devices = choose_devices(settings.device)
            self._crew = Crew(devices, ranks)
            self.device, self._plan, self.ranks, self._sharing = devices[0], plan, ranks, self._crew.ranks[0]
            self._use_network(settings.precision)
            least = self.backbone.smallest_side
            self._scene = Scene(content, style, settings, protect=protect, least=least, max_pixels=max_pixels)
            self.sizes, self.counts = pyramid(self._scene.size, settings, least)
            self._known, self._level = targets_of_terms(targets or {}, self.terms), 0
            self._descent = self._begin(self.size)
            self._crew.follow(self)
            settings.fix()

    def __len__(self):
        return sum(self.counts)

    def __iter__(self):
        return self

    def __next__(self):
        if self.iteration == len(self):
            raise StopIteration
        with plain_torch():
            losses = self._crew.do(self, StyleTransfer._step)
            return Step(self.iteration, self.size, losses, self._descent.image, self._scene)

    def _step(self):
        if self._descent.iterations == self.counts[self._level]:
            larger = self._descent.enlarged(*self._task(self.sizes[self._level + 1]))
            with uninterrupted():
                self._descent, self._level = larger, self._level + 1
        return self._descent.step()

    @property
    def iteration(self):
        """How many iterations were made, over all levels."""
        return sum(self.counts[: self._level]) + self._descent.iterations

    @property
    def size(self):
        """(height, width) of the level at work."""
        return self.sizes[self._level]

    @property
    def precision(self):
        """The number format of the network, which is what ``precision="auto"`` stands for here."""
        return str(self.backbone.dtype).removeprefix("torch.")

    @property
    def plan(self):
        """The :class:`~nstlib.features.Plan` of the level at work."""
        return self._descent.plan

    @property
    def image(self):
        """The picture so far, float32 in [0, 1], straight colours, shape (1, 3, H, W), on the transfer's device."""
        with plain_torch():
            return self._scene.finish(self._descent.image, self.size)

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
        own = {name: getattr(self.backbone, name) for name in ("pooling", "padding")}
        return {**self.settings.as_dict(), **own, "network": self._network, "precision": self.precision}

    @property
    def work(self):
        """Pixels to be optimised in all, summed over the iterations: what the time is proportional to."""
        return sum(n * h * w for n, (h, w) in zip(self.counts, self.sizes, strict=True))

    @property
    def work_done(self):
        """The part of :attr:`work` that is done."""
        done = [*self.counts[: self._level], self._descent.iterations]
        return sum(n * h * w for n, (h, w) in zip(done, self.sizes, strict=False))

    @property
    def targets(self):
        """``{name: {size: targets}}`` of the current level, for other transfers; empty before its first step."""
        return {name: {self.size: targets} for name, targets in self._descent.targets.items()}

    @property
    def floats_per_pixel(self):
        """How many values of the network's type the terms and the masks keep per pixel of the picture."""
        return self._scene.floats_per_pixel + kept_by(self.terms.values(), self.backbone)

    def plan_at(self, size):
        """The :class:`~nstlib.features.Plan` for an iteration at ``size`` (height, width) and the margin."""
        asked = self.settings.optimizer, self.floats_per_pixel, self._scene.passes(size)
        return self.plans.for_iteration(self._scene.outer(size), *asked)

    def _use_network(self, precision):
        self.backbone, self._network = prepare_backbone(replace(self.settings, precision=precision), self.device)
        self.plans = Plans(self.backbone, self.device, self.settings.memory, self._plan, self._sharing)

    def _begin(self, size):
        """A descent at ``size`` from the picture to start with."""
        start, *task = self._task(size)
        return Descent(CANVASES[self.settings.canvas](*start), self.terms, self.settings, *task, ranks=self._sharing)

    def _task(self, size):
        """Of a level: start and margin, plan, function that gives its view without a transfer alive, known targets."""
        start = self._scene.start(size).to(self.device, self.backbone.arithmetic)
        known = {name: targets[size] for name, targets in self._known.items() if size in targets}
        view = partial(self._scene.view, size, self.backbone, self.plans)
        return (start, self._scene.margin(size)), self.plan_at(size), view, known

    def save_checkpoint(self, path):
        """Write the state to a file, whole or not at all; raises as :func:`~nstlib.checkpoints.write_state` does."""
        own = {"inputs": fingerprint(self), "precision": self.precision, "level": self._level}
        write_state({**own, **self._descent.state()}, path)

    def load_checkpoint(self, path):
        """Go on where :meth:`save_checkpoint` stood, as if uninterrupted. Precision "auto" is the checkpoint's.

        Raises:
            InputError: no checkpoint, or one of other pictures, settings or another network.
        """
        state = read_state(path)
        _check_state(state, fingerprint(self), path)
        with plain_torch():
            # Optimizers go on with the very tensors of the state: each device needs its own.
            self._crew.do(self, lambda transfer: transfer._load(state if transfer is self else deepcopy(state)))

    def _load(self, state):
        if self.settings.precision == "auto" and state["precision"] != self.precision:
            self._use_network(state["precision"])
        descent = self._begin(self.sizes[state["level"]])
        descent.load(state)
        with uninterrupted():
            self._descent, self._level = descent, state["level"]


def fingerprint(transfer):
    """Hash of everything the result depends on and that may not change between checkpoint and resumption."""
    fixed = transfer.settings.fixed, tuple(transfer.terms), transfer._network, transfer._scene.fingerprint
    return hashlib.sha256(repr((STATES, fixed)).encode()).hexdigest()


def _check_state(state, fingerprint, path):
    """Raise :class:`InputError` for a checkpoint that this transfer cannot go on from."""
    if not isinstance(state, dict) or state.get("inputs") != fingerprint:
        raise InputError(
            f"{path} is the checkpoint of other pictures or settings, of another network or an earlier nstlib; "
            "give the same or delete it"
        )
    if not all(x.isfinite().all() for kind in ("canvas", "average") for x in state[kind].values()):
        raise InputError(f"{path} holds a picture that is not finite: it is of no use, delete it")
