"""Gradients of style and content losses with respect to a picture: what teacher and student are compared by."""

import torch

from ..ambient import ordinary, plain_torch
from ..features.backbone import STYLE_LAYERS
from ..losses import gram_distance

#: The losses whose gradients are compared, as (kind, layer).
TERMS = (*(("style", layer) for layer in STYLE_LAYERS), ("content", "relu4_1"), ("content", "relu4_2"))


@plain_torch()
def image_gradients(network, image, targets, create_graph=False):
    """Gradients with respect to ``image`` of its distances to ``targets``, one per target.

    Args:
        network: :class:`~nstlib.training.teacher.Teacher` or :class:`~nstlib.training.student.Student`.
        image: RGB in [0, 1], shape (N, 3, H, W).
        targets: ``{term: tensor}`` as the network's ``describe`` gives it; the i-th picture is compared with the i-th
            of each.
        create_graph: let the gradients be differentiated with respect to the weights of the network.

    Returns:
        ``{term: gradient}``, each of the shape of ``image``, of the unitless losses of :mod:`nstlib.losses`.
    """
    image = ordinary(image).detach().requires_grad_()
    targets = {term: ordinary(target) for term, target in targets.items()}
    found = network.describe(image, list(targets))
    # Relative squared distance: of Gram matrices it is the Gram loss, of feature maps the content loss.
    losses = {term: gram_distance(found[term].flatten(2), target.flatten(2)).sum() for term, target in targets.items()}
    return {
        term: torch.autograd.grad(loss, image, create_graph=create_graph, retain_graph=True)[0]
        for term, loss in losses.items()
    }
