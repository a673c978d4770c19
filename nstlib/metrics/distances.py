"""How far a picture is from the style and from the content in the features of a network.

A judge should not be the network that painted the picture: an optimiser pleases its own network before all others.
"""

import torch
import torch.nn.functional as F

from ..errors import InputError, check_choice
from ..features import FULL, STYLE_LAYERS
from ..images import fit_size, resize
from ..losses import STYLE_LOSSES, content_loss, wasserstein_loss
from ..sums import at_least_float32
from ..terms.measures import feature_maps, layer_weights, product, style_moments

#: Divisor of the cosines in :func:`structural_distance`: a row then weighs its most similar locations most.
TEMPERATURE = 0.1
#: Rows of the similarity matrix that are held at a time.
_ROWS = 512


def style_distance(image, style, backbone, kind="gram", plan=FULL, *, mask=None, style_mask=None):
    """Distance of feature statistics, the mean over ``relu1_1`` … ``relu5_1``.

    Args:
        image, style: RGB in [0, 1], shape (1, 3, H, W), of any sizes. Strokes are compared as large as they are in
            pixels: give the style at the size at which it was painted from.
        backbone: :class:`~nstlib.features.Backbone` that reaches ``relu5_1``.
        kind: ``"gram"``, ``"mean_std"`` or ``"wasserstein"``; see :data:`~nstlib.losses.STYLE_LOSSES`.
        plan: :class:`~nstlib.features.Plan`; the result does not depend on it beyond rounding.
        mask, style_mask: how much each pixel of image and style counts, in [0, 1], shape (1, 1, H, W), or None.

    Returns:
        A float without unit: 0 for equal statistics, about 1 for a picture that shares none.

    Raises:
        InputError: an unknown kind, a layer that the network lacks, or a picture too small for it.

    Reference: Gatys et al., *Image Style Transfer Using Convolutional Neural Networks*, CVPR 2016, eq. 3-5.
    """
    check_choice("kind of style distance", kind, STYLE_LOSSES)
    pairs = (image, mask), (style, style_mask)
    found, target = (_moments(picture, backbone, STYLE_LAYERS, plan, weights) for picture, weights in pairs)
    return sum(STYLE_LOSSES[kind](found[layer], target[layer]).item() for layer in STYLE_LAYERS) / len(STYLE_LAYERS)


def content_distance(image, content, backbone, layer="relu4_2", plan=FULL, *, mask=None):
    """Squared distance of feature maps over the square of the content's; see :func:`~nstlib.losses.content_loss`.

    Args:
        image, content: RGB in [0, 1], both of the same shape (1, 3, H, W).
        backbone: :class:`~nstlib.features.Backbone` that reaches the layer.
        layer: name of a layer.
        plan: :class:`~nstlib.features.Plan`; the result does not depend on it beyond rounding.
        mask: how much each pixel counts, in [0, 1], shape (1, 1, H, W), or None.

    Returns:
        A float without unit: 0 for equal maps, about 1 for a picture without features; two different photographs
        are between 1 and 2 apart.

    Raises:
        InputError: different sizes, a layer that the network lacks, or a picture too small for it.

    Reference: Gatys et al., CVPR 2016, eq. 1; relative here, so that it has no unit.
    """
    if image.shape != content.shape:
        raise InputError(
            f"expected the content at the size of the image, {tuple(image.shape)}, received {tuple(content.shape)}: "
            "resize it with nstlib.images.resize"
        )
    found, target = (_map(picture, backbone, layer, plan) for picture in (image, content))
    _check_mask(mask, image)
    weights = layer_weights(backbone, layer, mask)
    error, size = (product(x.square(), weights).sum((1, 2, 3)) for x in (found - target, target))
    return content_loss(error, size).item()


def frechet_distance(image, reference, backbone, layer="relu3_1", plan=FULL):
    """Fréchet distance of the Gaussians fitted to the feature vectors at all locations of two pictures.

    ``|m - m*|^2 + tr(S + S* - 2 (S S*)^1/2)``, over ``|m*|^2 + tr(S*)``. This is the form of SIFID, the FID of a
    single picture (Shaham et al., *SinGAN*, ICCV 2019), but its values cannot be compared with published ones: SIFID
    takes the 192 channels after the second pooling of an Inception network, and is absolute, in the unit of its
    features. Here it is any layer of any VGG, and relative to the reference. Covariances have the small ridge of
    :func:`~nstlib.losses.wasserstein_loss`.

    Args:
        image, reference: RGB in [0, 1], shape (1, 3, H, W), of any sizes.
        backbone: :class:`~nstlib.features.Backbone` that reaches the layer.
        layer: name of a layer.
        plan: :class:`~nstlib.features.Plan`; the result does not depend on it beyond rounding.

    Returns:
        A float without unit: 0 for equal statistics, about 1 for a picture that shares none.

    Raises:
        InputError: a layer that the network lacks, or a picture too small for it.
    """
    found, target = (_moments(picture, backbone, [layer], plan)[layer] for picture in (image, reference))
    return wasserstein_loss(found, target).item()


def structural_distance(image, content, backbone, layer="relu3_1", side=256):
    """Whether the same places of both pictures resemble each other: the divergence of their self-similarities.

    For every location the cosines of its feature vector with those of all locations, divided by 0.1, go through a
    softmax; the result is the mean over locations of the Kullback-Leibler divergence of the image's distribution from
    the content's. Colours and textures may change freely as long as what was alike stays alike.

    This is the idea of the content feature structural distance (Chung et al., *Style Injection in Diffusion*, CVPR
    2024), which compares dot products and sums over locations; so its values depend on the scale of the features and
    on the size of the picture. Cosines, as Kolkin et al. use them (*Style Transfer by Relaxed Optimal Transport and
    Self-Similarity*, CVPR 2019), the mean and a fixed size remove both. Published values cannot be compared with these.

    Args:
        image, content: RGB in [0, 1], shape (1, 3, H, W). Both are resized to the content's proportions.
        backbone: :class:`~nstlib.features.Backbone` that reaches the layer.
        layer: name of a layer.
        side: longer side in pixels to which both are resized; values of different sides cannot be compared.

    Returns:
        A float in nats, from 0 for equal self-similarities up. It has no natural scale: show it beside that of another
        photograph. With VGG-19, the sample coffee had 0.1 from itself in a third of its resolution, 1.0 from a painting
        of it, 1.6 from noise and 1.8 from the astronaut.

    Raises:
        InputError: a layer that the network lacks, or a side too small for it.
    """
    size = fit_size(*content.shape[2:], side)
    found, target = (
        F.normalize(_map(resize(picture, size), backbone, layer, FULL).flatten(2)[0], dim=0).T
        for picture in (image, content)
    )
    divergence = sum(
        F.kl_div(_log_similarities(rows, found), _log_similarities(goal, target), reduction="sum", log_target=True)
        for rows, goal in zip(found.split(_ROWS), target.split(_ROWS), strict=True)
    )
    return divergence.item() / len(target)


def _log_similarities(rows, vectors):
    """Log-probabilities over all ``vectors`` (P, C) for some of them, ``rows`` (R, C); shape (R, P)."""
    return F.log_softmax(rows @ vectors.T / TEMPERATURE, dim=1)


def _moments(image, backbone, layers, plan, mask=None):
    _check(image, backbone, layers)
    _check_mask(mask, image)
    return style_moments(backbone, image, layers, plan, mask)


def _check_mask(mask, image):
    expected = (1, 1, *image.shape[2:])
    if mask is not None and (tuple(mask.shape) != expected or not mask.any()):
        raise InputError(
            f"a mask must have the shape {expected} and be above 0 somewhere, received {tuple(mask.shape)}"
        )


def _map(image, backbone, layer, plan):
    _check(image, backbone, [layer])
    with torch.no_grad():
        return at_least_float32(feature_maps(backbone, image, [layer], lambda size: plan)[layer])


def _check(image, backbone, layers):
    for layer in layers:
        check_choice("layer", layer, backbone.layers)
    least = max(backbone.least_side(layer) for layer in layers)
    if image.dim() != 4 or tuple(image.shape[:2]) != (1, 3) or min(image.shape[2:]) < least:
        raise InputError(
            f"{layers[-1]} needs a picture of shape (1, 3, H, W) of at least {least} pixels a side, "
            f"received {tuple(image.shape)}"
        )
