"""The optimizers, by name, and what happens to them when the picture grows."""

from functools import partial

import torch
import torch.nn.functional as F

from .features import check_choice

#: name -> (constructor, default learning rate). Image values lie in [0, 1]; gradients are those of the loss
#: times the number of pixels, so these rates hold at every size.
OPTIMIZERS = {
    "Adam": (partial(torch.optim.Adam, betas=(0.9, 0.99)), 0.03),
    "AdamW": (partial(torch.optim.AdamW, betas=(0.9, 0.99), weight_decay=1e-3), 0.03),
    "NAdam": (partial(torch.optim.NAdam, betas=(0.9, 0.99)), 0.03),
    "RMSprop": (partial(torch.optim.RMSprop, alpha=0.99), 0.01),
    "SGD": (partial(torch.optim.SGD, momentum=0.9, nesterov=True), 1e-4),
    # One evaluation of the loss per step; no tolerance stops it, that is the iteration count's work.
    "LBFGS": (partial(torch.optim.LBFGS, max_iter=1, history_size=10, tolerance_grad=0, tolerance_change=0), 1.0),
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


def warm_start(optimizer, previous, old_image, new_image):
    """Carry the state of an optimizer over to the next, larger picture.

    Momenta and squared gradients are maps of the picture's shape and are enlarged with it. L-BFGS starts its
    history anew: its curvature pairs do not survive interpolation.

    Args:
        optimizer: new optimizer of ``new_image``, same kind as ``previous``.
        previous: optimizer of ``old_image``.
    """
    if isinstance(previous, torch.optim.LBFGS):
        return
    size = new_image.shape[2:]
    for key, value in previous.state[old_image].items():
        if torch.is_tensor(value) and value.shape == old_image.shape:
            # Bilinear weights are non-negative, so second moments stay so.
            value = F.interpolate(value, size=size, mode="bilinear", align_corners=False)
        optimizer.state[new_image][key] = value.clone() if torch.is_tensor(value) else value
