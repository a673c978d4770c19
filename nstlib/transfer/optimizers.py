"""The optimizers, by name, and what happens to them when the picture grows."""

from functools import partial

import torch
import torch.nn.functional as F

from ..errors import check_choice

#: Mean change of a pixel value in the first step of L-BFGS.
FIRST_STEP = 0.003


class LBFGS(torch.optim.LBFGS):
    """L-BFGS with one evaluation of the loss per step; no tolerance stops it, that is the iteration count's work.

    torch makes the first step so short that in half precision the two gradients differ by rounding alone, and the
    curvature taken from them is noise. This one moves every pixel by :data:`FIRST_STEP` on average.
    """

    def __init__(self, parameters, lr=1.0):
        super().__init__(parameters, lr=lr, max_iter=1, history_size=10, tolerance_grad=0, tolerance_change=0)

    def step(self, closure):
        group = self.param_groups[0]
        (image,) = group["params"]
        rate = group["lr"]
        if not self.state[image]:
            group["lr"] = rate * FIRST_STEP * image.numel()  # torch divides by the gradient's sum
        try:
            return super().step(closure)
        finally:
            group["lr"] = rate


#: name -> (constructor, default learning rate). Image values lie in [0, 1]; gradients are those of the loss
#: times the number of pixels, so these rates hold at every size.
OPTIMIZERS = {
    "Adam": (partial(torch.optim.Adam, betas=(0.9, 0.99)), 0.03),
    "AdamW": (partial(torch.optim.AdamW, betas=(0.9, 0.99), weight_decay=1e-3), 0.03),
    "NAdam": (partial(torch.optim.NAdam, betas=(0.9, 0.99)), 0.03),
    "RMSprop": (partial(torch.optim.RMSprop, alpha=0.99), 0.01),
    "SGD": (partial(torch.optim.SGD, momentum=0.9, nesterov=True), 1e-4),
    "LBFGS": (LBFGS, 1.0),
}


def make_optimizer(name, image, learning_rate=None):
    """An optimizer of ``image``.

    Args:
        name: key of :data:`OPTIMIZERS`.
        image: leaf tensor to optimise.
        learning_rate: None for the optimizer's default.

    Raises:
        InputError: unknown name.
    """
    check_choice("optimizer", name, OPTIMIZERS)
    constructor, default = OPTIMIZERS[name]
    return constructor([image], lr=learning_rate or default)


def warm_start(optimizer, image, previous, previous_image):
    """Carry the state of the optimizer of the ``previous_image`` over to the next, larger one, if both are of a kind.

    Momenta and squared gradients are maps of the picture's shape and are enlarged with it. L-BFGS starts its
    history anew: its curvature pairs do not survive interpolation.
    """
    if type(previous) is not type(optimizer) or isinstance(previous, LBFGS):
        return
    for key, value in previous.state[previous_image].items():
        if torch.is_tensor(value) and value.shape == previous_image.shape:
            # Bilinear weights are non-negative, so second moments stay so.
            value = F.interpolate(value, size=image.shape[2:], mode="bilinear", align_corners=False)
        optimizer.state[image][key] = value.clone() if torch.is_tensor(value) else value
