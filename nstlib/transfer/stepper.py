"""Optimizer steps, with the optimizer replaced while it runs if the settings ask for it."""

import warnings

import torch
import torch.nn.functional as F

from ..ambient import is_out_of_memory
from ..features.ranks import ALONE
from .interruption import uninterrupted
from .optimizers import LBFGS, OPTIMIZERS, make_optimizer

#: Pairs of L-BFGS's history below which it is not cut when memory runs out.
SHORTEST_HISTORY = 2


class Stepper:
    """Steps parameters with the optimizer that the settings name, and resets it when its state no longer applies.

    Args:
        parameters: leaf tensors.
        settings: :class:`~nstlib.Settings`; ``optimizer`` and ``learning_rate`` are read in every step.
        loss_weights: all weights that the loss depends on; L-BFGS's history is only valid for these.
        history: pairs of L-BFGS's history, if fewer than usual.
        ranks: :class:`~nstlib.features.Ranks` that take every step together.

    Attributes:
        history: the same; it shrinks when memory runs out.
    """

    def __init__(self, parameters, settings, loss_weights, history=None, ranks=ALONE):
        self._parameters, self._settings, self.history, self._ranks = [*parameters], settings, history, ranks
        self.start(loss_weights)

    @property
    def jitters(self):
        """Whether its iterates fluctuate, so that their mean is a better picture than the last one."""
        return not isinstance(self._optimizer, LBFGS)

    def start(self, loss_weights, name=None):
        """Reset: a new optimizer without state, the one that the settings name or the one named here."""
        name = name or self._settings.optimizer
        optimizer = make_optimizer(name, self._parameters, self._settings.learning_rate)
        if self.history is not None and isinstance(optimizer, LBFGS):
            optimizer.param_groups[0]["history_size"] = self.history
        with uninterrupted():
            self._optimizer, self._name, self._loss_weights = optimizer, name, loss_weights

    def follow_settings(self, loss_weights):
        """Reset if the settings name another optimizer, or if L-BFGS's history belongs to another loss."""
        stale = not self.jitters and loss_weights != self._loss_weights
        if self._settings.optimizer != self._name or stale:
            self.start(loss_weights)

    def move(self, loss):
        """Take one step; if memory runs out for L-BFGS, retry with a shorter history."""
        while True:
            rate = self._settings.learning_rate or OPTIMIZERS[self._name].learning_rate
            self._optimizer.param_groups[0]["lr"] = rate
            try:
                with self._ranks.together(interruptible=False):
                    self._optimizer.step(lambda: loss)
                return
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.jitters:
                    raise
                pairs = self._optimizer.param_groups[0]["history_size"] // 2
                if pairs < SHORTEST_HISTORY:
                    raise
            # Outside the handler, so that the old vectors are gone. The first step without them is a steepest descent.
            warnings.warn(f"out of memory: L-BFGS goes on with {pairs} pairs of its history", stacklevel=2)
            self.history = pairs
            self.start(self._loss_weights)
            if self._ranks.count > 1:  # some have moved, others have not
                self._ranks.follow_first(self._parameters)

    def take_over(self, other):
        """Carry over the state of a smaller canvas's stepper, if both use the same optimizer.

        Momenta and squared gradients have their parameter's shape and are enlarged with it. L-BFGS starts its history
        anew: its curvature pairs do not survive interpolation.
        """
        if type(other._optimizer) is not type(self._optimizer) or not self.jitters:
            return
        for small, large in zip(other._parameters, self._parameters, strict=True):
            for key, value in other._optimizer.state[small].items():
                if torch.is_tensor(value) and value.shape == small.shape != large.shape:
                    # Linear weights are non-negative, so second moments stay so.
                    mode = {3: "linear", 4: "bilinear", 5: "trilinear"}[value.dim()]
                    value = F.interpolate(value, size=large.shape[2:], mode=mode, align_corners=False)
                self._optimizer.state[large][key] = value.clone() if torch.is_tensor(value) else value

    def state(self):
        """All that :meth:`load` needs to go on from here."""
        return {
            "name": self._name,
            "loss_weights": self._loss_weights,
            "history": self.history,
            "optimizer": self._optimizer.state_dict()["state"],
        }

    def load(self, state):
        """Go on from a :meth:`state`."""
        self.history = state["history"]
        self.start(state["loss_weights"], state["name"])
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state["optimizer"]})
