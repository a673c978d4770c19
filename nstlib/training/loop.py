"""The training loop: optimizer steps with a learning-rate schedule, clipped gradients and checkpoints."""

import math
import random
import time
from dataclasses import dataclass

import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..ambient import own_random, plain_torch
from ..checkpoints import read_state, write_state
from ..checks import whole
from ..distributed import rank
from ..errors import Diverged, InputError
from ..files import check_destination


@dataclass
class TrainingStep:
    """What one step of a training did.

    Attributes:
        step: 1, 2, ... over the whole training; a resumed one counts on.
        losses: ``{name: float}``, the parts of the loss before the weights were changed.
        seconds: how long the step took.
    """

    step: int
    losses: dict
    seconds: float


class TrainingState:
    """All that changes in a training, so that a checkpoint of it resumes to the bit.

    Args:
        seed: of ``rng``.
        checkpoint: file to save to every ``save_every`` steps and at the end, and to resume from if it exists; or None.
        save_every: in steps.

    Attributes:
        step: number of steps taken.
        rng: :class:`random.Random`; every random choice of the training is made with it.

    Raises:
        InputError: numbers out of range, or a file that cannot be written.
    """

    def __init__(self, seed, checkpoint, save_every):
        self.step, self.seed = 0, whole("seed", seed, 0)
        self.rng = random.Random(self.seed)
        self.save_every = whole("save_every", save_every)
        self.checkpoint = None if checkpoint is None else check_destination(checkpoint, write=not rank())
        if dist.is_initialized():
            dist.barrier()  # what the first process writes for a check is gone before the others look

    def start(self, model, optimizer, *, average=None, **others):
        """Train ``model`` from now on.

        Args:
            model: :class:`torch.nn.Module`.
            optimizer: of its parameters.
            average: :class:`torch.optim.swa_utils.AveragedModel` of it, updated in every step, or None.
            **others: what else belongs into a checkpoint: objects with ``state_dict`` and ``load_state_dict``.
        """
        self.model, self.optimizer, self.average = model, optimizer, average
        self._parts = {"model": model, "optimizer": optimizer, **({"average": average} if average else {}), **others}

    def save(self):
        """Write the checkpoint. Of several processes the first one does; what differs between them is its own."""
        if rank():
            return
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        write_state({"step": self.step, "random": self.rng.getstate(), **parts}, self.checkpoint)

    def resume(self, prepare=lambda saved: None):
        """Load the checkpoint, if there is one.

        Args:
            prepare: called with the saved ``{name: state}`` before it is loaded, for models whose shape depends on it.

        Raises:
            InputError: the file is not a checkpoint of this training.
        """
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        saved = read_state(self.checkpoint)
        try:
            prepare(saved)
            for name, part in self._parts.items():
                part.load_state_dict(saved[name])
            self.step = saved["step"]
            self.rng.setstate(saved["random"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            why = str(error).partition("\n")[0]
            raise InputError(f"{self.checkpoint} is not a checkpoint of this training: {why}") from None


def train(state, losses, *, until, rate, clip):
    """Take optimizer steps, and yield a :class:`TrainingStep` after each.

    Where torch.distributed connects several processes, each takes its own samples, the gradients are averaged, and all
    take the same step (``DistributedDataParallel``); a step reports the losses of its own process.

    Args:
        state: :class:`TrainingState`.
        losses: function without arguments that gives ``{name: scalar tensor}``; their sum is minimised.
        until: number of steps to end at, counted from the beginning of the training.
        rate: function that gives the learning rate after so many steps.
        clip: largest norm of the gradient; longer ones are scaled down to it.

    Raises:
        Diverged: the gradient is not finite. The weights are those of the step before.
    """
    if dist.is_initialized():
        losses = DistributedDataParallel(_Losses(state.model, losses))
        if rank():
            state.rng.seed(f"{state.seed} {state.step} {rank()}")
    while state.step < until:
        # Not around the yield: the caller's code between two steps runs with the caller's modes and random numbers.
        with plain_torch(), own_random():
            step = _advance(state, losses, until, rate(state.step), clip)
        yield step


def warm_up(step, steps):
    """Factor of the learning rate that rises linearly to 1 over the first ``steps`` steps."""
    return min(1, (step + 1) / steps)


def cosine(step, steps):
    """Factor of the learning rate that falls from 1 to 0 over ``steps`` steps, along half a cosine.

    Reference: Loshchilov & Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, ICLR 2017, eq. 5.
    """
    return 0.5 + 0.5 * math.cos(math.pi * step / steps)


class _Losses(nn.Module):
    """Losses as a module, the shape in which DistributedDataParallel knows what the parameters are used for."""

    def __init__(self, model, losses):
        super().__init__()
        self.model, self._losses = model, losses

    def forward(self):
        return self._losses()


def _advance(state, losses, until, rate, clip):
    started = time.monotonic()
    values = losses()
    (group,) = state.optimizer.param_groups
    group["lr"] = rate
    state.optimizer.zero_grad(set_to_none=True)
    sum(values.values()).backward()
    if not nn.utils.clip_grad_norm_(group["params"], clip).isfinite():
        raise Diverged(f"the gradient became NaN or infinite at step {state.step + 1}: lower learning_rate")
    state.optimizer.step()
    if state.average is not None:
        state.average.update_parameters(state.model)
    state.step += 1
    if state.checkpoint and (state.step % state.save_every == 0 or state.step == until):
        state.save()
    return TrainingStep(state.step, {name: value.item() for name, value in values.items()}, time.monotonic() - started)
