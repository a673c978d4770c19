"""The optimizers, by name."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from ..errors import check_choice

#: Mean change of a pixel value in the first step of L-BFGS.
FIRST_STEP = 0.003
#: Pairs of steps and changes of the gradient that L-BFGS keeps, both of the picture's size. Ten would lower the final
#: loss by 0.5 % and take twice the memory; see ``benchmarks/history.py``.
HISTORY = 5


class LBFGS(torch.optim.LBFGS):
    """L-BFGS with one evaluation of the loss per step. It never stops early; the caller counts iterations.

    torch makes the first step so short that in half precision the two gradients differ by rounding alone, and the
    curvature taken from them is noise. This one moves every parameter by :data:`FIRST_STEP` on average.
    """

    def __init__(self, parameters, lr=1.0):
        super().__init__(parameters, lr=lr, max_iter=1, history_size=HISTORY, tolerance_grad=0, tolerance_change=0)

    def step(self, closure):
        group = self.param_groups[0]
        rate = group["lr"]
        if not self.state[group["params"][0]]:  # where torch keeps the state of all of them
            count = sum(parameter.numel() for parameter in group["params"])
            group["lr"] = rate * FIRST_STEP * count  # torch divides by the sum of the gradient
        try:
            return super().step(closure)
        finally:
            group["lr"] = rate


class Optimizer(NamedTuple):
    """How an optimizer is made.

    Attributes:
        constructor: function of a list of parameters and ``lr``.
        learning_rate: the default. Image values lie in [0, 1], and gradients are those of the loss times the number of
            pixels, so that it suits every size.
        copies: how many tensors of the parameters' size its state holds, for the memory estimate.
    """

    constructor: Callable
    learning_rate: float
    copies: int


#: Optimizers by name.
OPTIMIZERS = {
    "Adam": Optimizer(partial(torch.optim.Adam, betas=(0.9, 0.99)), 0.03, 2),
    "AdamW": Optimizer(partial(torch.optim.AdamW, betas=(0.9, 0.99), weight_decay=1e-3), 0.03, 2),
    "NAdam": Optimizer(partial(torch.optim.NAdam, betas=(0.9, 0.99)), 0.03, 2),
    "RMSprop": Optimizer(partial(torch.optim.RMSprop, alpha=0.99), 0.01, 1),
    "SGD": Optimizer(partial(torch.optim.SGD, momentum=0.9, nesterov=True), 1e-4, 1),
    "LBFGS": Optimizer(LBFGS, 1.0, 2 * HISTORY + 4),
}


def make_optimizer(name, parameters, learning_rate=None):
    """An optimizer of leaf tensors.

    Args:
        name: key of :data:`OPTIMIZERS`.
        parameters: the tensors.
        learning_rate: None for the optimizer's default.

    Raises:
        InputError: unknown name.
    """
    check_choice("optimizer", name, OPTIMIZERS)
    optimizer = OPTIMIZERS[name]
    return optimizer.constructor([*parameters], lr=learning_rate or optimizer.learning_rate)
