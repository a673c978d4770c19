"""Losses: pure functions of moments, of feature maps and of the image.

A style loss compares the :class:`~nstlib.moments.Moments` of a picture with those of the style and is divided
by the size of the latter. So it has no unit: 0 for equal statistics, about 1 for a picture without any, at
every picture size, for every backbone, layer and loss.
"""

import torch

EPS = 1e-12


def gram_loss(moments, target):
    """Squared distance of Gram matrices, ``|G - G*|_F^2 / |G*|_F^2``.

    Args:
        moments, target: :class:`~nstlib.moments.Moments` of a layer, batch of N.

    Returns:
        Loss, shape (N,).

    Reference: Gatys et al., *Image Style Transfer Using Convolutional Neural Networks*, CVPR 2016, eq. 3-5.
    Differs from the paper: relative to the style's Gram matrix instead of divided by 4 N^2 M^2.
    """
    return gram_distance(moments.gram, target.gram)


def gram_distance(gram, target):
    """:func:`gram_loss` of Gram matrices, shape (N, C, C)."""
    return (gram - target).square().sum((1, 2)) / (target.square().sum((1, 2)) + EPS)


def mean_std_loss(moments, target):
    """Squared distance of channel means and standard deviations, over the sum of their squares.

    Args and returns: as :func:`gram_loss`.

    Reference: Huang & Belongie, *Arbitrary Style Transfer in Real-time with Adaptive Instance
    Normalization*, ICCV 2017, eq. 13; Li et al., *Demystifying Neural Style Transfer*, 2017.
    """
    # The root's slope is infinite at 0; the floor keeps the gradient of a constant picture finite.
    floor = 1e-4 * target.variance.mean((1, 2), keepdim=True) + EPS
    std, goal = (moments.variance + floor).sqrt(), (target.variance + floor).sqrt()
    distance = (moments.mean - target.mean).square().sum((1, 2)) + (std - goal).square().sum((1, 2))
    return distance / (target.mean.square().sum((1, 2)) + goal.square().sum((1, 2)))


def wasserstein_loss(moments, target):
    """Squared 2-Wasserstein distance of Gaussians with these means and covariances, relative to the style's.

    ``W^2 = |m - m*|^2 + tr(S) + tr(S*) - 2 tr((S*^1/2 S S*^1/2)^1/2)``, divided by ``|m*|^2 + tr(S*)``.
    Covariances get 1e-4 of the style's mean variance on the diagonal, so that singular ones (fewer pixels
    than channels, constant or grey pictures) have a finite gradient; equal moments still give exactly 0.

    Args and returns: as :func:`gram_loss`. Matrix roots are taken in float64.

    References: Dowson & Landau 1982 for the distance; Vacher et al., *Texture Interpolation for Probing
    Visual Perception*, NeurIPS 2020, for its use on feature statistics.
    """
    mean, goal_mean = moments.mean, target.mean
    covariance, goal = _float64(moments.covariance), _float64(target.covariance)
    diagonal = goal.diagonal(dim1=1, dim2=2)
    ridge = torch.diag_embed((1e-4 * diagonal.mean(1, keepdim=True) + EPS).expand_as(diagonal))
    # Eigenvalues of what is not a number raise an error; the loss says it instead, as the other losses do.
    finite = covariance.isfinite().all((1, 2), keepdim=True)
    covariance, goal = torch.where(finite, covariance, goal) + ridge, goal + ridge
    root = _matrix_root(goal)
    # Only eigenvalues are differentiated: their gradient is finite even where eigenvectors are not unique.
    cross = torch.linalg.eigvalsh(root @ covariance @ root).clamp_min(ridge[:, 0, 0, None] ** 2 * 1e-2).sqrt()
    spread = _trace(covariance) + _trace(goal) - 2 * cross.sum(1)
    size = goal_mean.square().sum((1, 2)) + _trace(goal).to(mean)
    distance = ((mean - goal_mean).square().sum((1, 2)) + spread.to(mean)) / size
    return torch.where(finite[:, 0, 0].to(distance.device), distance, torch.nan)


def content_loss(squared_error, target_square):
    """Squared feature distance to the content, relative to the content's: ``sum (f - f*)^2 / sum f*^2``.

    Args:
        squared_error: ``sum (f - f*)^2`` over channels and pixels, shape (N,).
        target_square: ``sum f*^2``, shape (N,).

    Returns:
        Loss, shape (N,).

    Reference: Gatys et al. 2016, eq. 1. Differs from the paper: relative, so that it has no unit.
    """
    return squared_error / (target_square + EPS)


def total_variation(image):
    """Sum of the squared differences of neighbouring pixels in both directions, over the number of values.

    Args:
        image: shape (N, C, H, W).

    Returns:
        Loss, shape (N,). 0 for a constant picture.

    Reference: Mahendran & Vedaldi, *Understanding Deep Image Representations by Inverting Them*, CVPR 2015,
    eq. 2 with beta = 2.
    """
    vertical, horizontal = image.diff(dim=2), image.diff(dim=3)
    return (vertical.square().sum((1, 2, 3)) + horizontal.square().sum((1, 2, 3))) / image[0].numel()


#: Style losses by name.
STYLE_LOSSES = {"gram": gram_loss, "mean_std": mean_std_loss, "wasserstein": wasserstein_loss}


def _trace(matrix):
    return matrix.diagonal(dim1=1, dim2=2).sum(1)


def _float64(x):
    """The same in float64, on the CPU where the device has none (Apple's)."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def _matrix_root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt().unsqueeze(1) @ vectors.mT
