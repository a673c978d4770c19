"""Gradients of style and content losses with respect to a picture: what teacher and student are compared by."""

import torch
import torch.nn.functional as F

from ..ambient import ordinary, plain_torch
from ..features.backbone import STYLE_LAYERS
from ..losses import gram_distance

#: The losses whose gradients are compared, as (kind, layer).
TERMS = (*(("style", layer) for layer in STYLE_LAYERS), ("content", "relu4_2"))
#: Weight of a difference in length against one in direction.
LENGTH_WEIGHT = 0.1


@plain_torch()
def image_gradients(network, image, targets, groups, create_graph=False):
    """Gradients with respect to ``image`` of its distances to ``targets``.

    Args:
        network: :class:`~nstlib.training.teacher.Teacher` or :class:`~nstlib.training.student.Student`.
        image: RGB in [0, 1], shape (N, 3, H, W).
        targets: ``{term: tensor}`` as the network's ``describe`` gives it; the i-th picture is compared with the i-th
            of each. With ``create_graph``, they are differentiated as well if they depend on the weights.
        groups: ``{name: terms}``; the gradient of the mean over the terms is taken.
        create_graph: let the gradients be differentiated with respect to the weights of the network.

    Returns:
        ``{name: gradient}``, each of the shape of ``image``, of the unitless losses of :mod:`nstlib.losses`.
    """
    image = ordinary(image).detach().requires_grad_()
    targets = {term: ordinary(target) for term, target in targets.items()}
    found = network.describe(image, list(targets))
    # Relative squared distance: of Gram matrices it is the Gram loss, of feature maps the content loss.
    losses = {term: gram_distance(found[term].flatten(2), target.flatten(2)).sum() for term, target in targets.items()}
    return {
        name: torch.autograd.grad(
            sum(losses[term] for term in terms) / len(terms), image, create_graph=create_graph, retain_graph=True
        )[0]
        for name, terms in groups.items()
    }


def gradient_distance(gradient, goal):
    """One minus the cosine of two gradients, plus a little for a difference of their lengths; shape (N,).

    Args:
        gradient, goal: shape (N, 3, H, W).
    """
    gradient, goal = gradient.flatten(1), goal.flatten(1)
    lengths = (gradient.norm(dim=1) + 1e-12).log() - (goal.norm(dim=1) + 1e-12).log()
    # Beyond a factor of e the length counts linearly, so that a few odd pictures do not outweigh all others.
    lengths = F.smooth_l1_loss(lengths, torch.zeros_like(lengths), reduction="none")
    return 1 - F.cosine_similarity(gradient, goal) + LENGTH_WEIGHT * lengths
