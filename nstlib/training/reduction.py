"""A VGG with fewer channels to start a training from: the most telling ones, with the responses they had."""

import torch
import torch.nn.functional as F

#: Share of the mean diagonal that is added to the normal equations, against channels that hardly ever respond.
RIDGE = 1e-4


@torch.no_grad()
def reduce_channels(teacher, student, images):
    """Give ``student`` the weights with which its convolutions respond as chosen ones of the teacher's.

    Layer by layer, the channels are kept from which all others are predicted best, and the convolution is fitted, by
    least squares, to their responses *for the reduced input*, so that errors are made good by the next layer instead
    of adding up. Every layer is divided by the size of its responses: features have a root mean square of about 1.

    Args:
        teacher, student: :class:`~nstlib.features.Backbone` of the same layers; the student's weights are replaced.
        images: RGB in [0, 1], shape (N, 3, H, W), to look at; with too few, deep layers are fitted badly.

    References: Zhang et al., *Accelerating Very Deep Convolutional Networks*, PAMI 2016, for fitting the responses to
    the reduced input; He et al., *Channel Pruning for Accelerating Very Deep Neural Networks*, ICCV 2017.
    """
    theirs = own = images
    for name in student.layers:
        theirs = teacher.step(name, theirs)
        if name in student.convs:
            conv = student.convs[name]
            chosen = telling_channels(F.relu(theirs), conv.out_channels)
            goal = theirs[:, chosen]
            goal = goal / F.relu(goal).square().mean().sqrt()
            x = (own - student.mean) / student.std if name == "conv1_1" else own
            weight = _fit(F.pad(x, (1, 1, 1, 1), mode="replicate"), goal)
            conv.weight.copy_(weight[:, :-1].view_as(conv.weight))
            conv.bias.copy_(weight[:, -1])
        own = student.step(name, own)


def telling_channels(features, count):
    """Indices of the ``count`` channels of which linear combinations come closest to all others, greedily.

    Args:
        features: shape (N, C, H, W), with at least ``count`` channels.
        count: number of channels to choose.

    The greedy choice is that of a Cholesky decomposition with pivoting: in every step the channel is taken of which
    the channels so far leave most unexplained.

    Example:
        >>> x = torch.rand(1, 1, 8, 8)
        >>> telling_channels(torch.cat([x, 3 * x, 0.1 * torch.rand(1, 1, 8, 8)], 1), 2).tolist()
        [1, 2]
    """
    rest, chosen = _product(features, features), []
    for _ in range(count):
        unexplained = rest.diagonal().clone()
        unexplained[chosen] = -torch.inf
        best = int(unexplained.argmax())
        chosen.append(best)
        column = rest[:, best] / rest[best, best].clamp_min(1e-30).sqrt()
        rest = rest - torch.outer(column, column)
    return torch.tensor(chosen, device=features.device)


def linear_map(features, goal):
    """Matrix ``A`` with the least mean of ``|A f - g|^2``, shape (C', C), for maps (N, C, H, W) and (N, C', H, W)."""
    return _solve(_product(features, features), _product(features, goal))


def _fit(padded, goal):
    """Weights of a 3x3 convolution, flat with the bias last, that come closest to ``goal``."""
    square = product = 0
    for image, wanted in zip(padded, goal, strict=True):  # one at a time: patches take nine times the memory
        patches = F.unfold(image[None], 3)[0].double()
        patches = torch.cat([patches, torch.ones_like(patches[:1])])
        square = square + patches @ patches.mT
        product = product + patches @ wanted.double().flatten(1).mT
    return _solve(square, product)


def _product(a, b):
    """Sum over all pixels of ``a b^T``, in double precision; one picture at a time, as copies take memory."""
    return sum(x.double().flatten(1) @ y.double().flatten(1).mT for x, y in zip(a, b, strict=True))


def _solve(square, product):
    ridge = RIDGE * square.diagonal().mean()
    return torch.linalg.solve(square + ridge * torch.eye(len(square)).to(square), product).mT.float()
