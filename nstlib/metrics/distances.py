"""How far a picture is from the painting and from the photograph, in the features of a network."""

import torch
import torch.nn.functional as F

from ..checks import whole
from ..errors import InputError, check_choice
from ..features.backbone import STYLE_LAYERS
from ..features.tiling import FULL, feature_sums
from ..images import fit_size, resize
from ..losses import STYLE_LOSSES, content_loss
from ..moments import at_least_float32
from ..terms.standard import feature_maps, squared_error, style_moments

#: Softmax temperature of the structural distance: cosines of features lie in [0, 1], most of them close together.
TEMPERATURE = 0.1
#: Rows of the similarity matrix that are held at a time.
_ROWS = 512


def style_distance(image, style, backbone, kind="gram", layers=STYLE_LAYERS, plan=FULL):
    """Mean over layers of a style loss: how unlike the statistics of the features are.

    Args:
        image, style: RGB in [0, 1], shape (1, 3, H, W); the sizes may differ.
        backbone: :class:`~nstlib.features.Backbone`.
        kind: of the distance, a key of :data:`~nstlib.losses.STYLE_LOSSES`: ``"gram"`` (Gatys et al., CVPR 2016),
            ``"mean_std"`` (Huang & Belongie, ICCV 2017) or ``"wasserstein"`` (Vacher et al., NeurIPS 2020).
        layers: names of layers.
        plan: :class:`~nstlib.features.Plan`, for large pictures.

    Returns:
        A float from 0, equal statistics, up; relative to the style, so 1 is as far as a picture without features.

    Raises:
        InputError: an unknown kind.
    """
    check_choice("style distance", kind, STYLE_LOSSES)
    found, goal = (style_moments(backbone, picture, layers, plan) for picture in (image, style))
    return torch.cat([STYLE_LOSSES[kind](found[layer], goal[layer]) for layer in layers]).mean().item()


def content_distance(image, content, backbone, layer="relu4_2", plan=FULL):
    """Squared distance of feature maps, relative to the content's; see :func:`~nstlib.losses.content_loss`.

    Args:
        image, content: RGB in [0, 1], shape (1, 3, H, W), of one size.
        backbone: :class:`~nstlib.features.Backbone`.
        layer: name of a layer.
        plan: :class:`~nstlib.features.Plan`, for large pictures.

    Returns:
        A float from 0, equal maps, up; about 2 for pictures that have nothing to do with each other.

    Raises:
        InputError: pictures of different sizes.

    Reference: Gatys et al., *Image Style Transfer Using Convolutional Neural Networks*, CVPR 2016, eq. 1.
    """
    _check_sizes(image, content)
    goal = feature_maps(backbone, content, [layer], lambda size: plan)[layer]
    with torch.no_grad():
        ((error,),) = feature_sums(backbone, image, [(layer, squared_error(goal))], plan)
    return content_loss(error, at_least_float32(goal).square().sum((1, 2, 3))).item()


def frechet_distance(image, reference, backbone, layer="relu3_1", plan=FULL):
    """Fréchet distance of the features at all places of two pictures, taken as normally distributed.

    ``|m - m*|^2 + tr(S + S* - 2 (S S*)^1/2)`` as in the single-image FID of Shaham et al. (*SinGAN*, ICCV 2019), whose
    features are an Inception network's. Here it is divided by ``|m*|^2 + tr(S*)``, as its unit is otherwise that of
    the network. It is the :func:`~nstlib.losses.wasserstein_loss` of one layer.

    Args, returns and errors: as :func:`style_distance`.
    """
    return style_distance(image, reference, backbone, "wasserstein", (layer,), plan)


def structural_distance(image, content, backbone, layer="relu3_1", side=256):
    """How much the similarities between the places of a picture differ: its layout, whatever its colours and strokes.

    For every place, its cosine similarities to all places, divided by :data:`TEMPERATURE`, become a distribution by
    softmax; the distance is the mean over the places of the Kullback-Leibler divergence ``KL(content | image)``.

    Args:
        image, content: RGB in [0, 1], shape (1, 3, H, W), of one size.
        backbone: :class:`~nstlib.features.Backbone`.
        layer: name of a layer.
        side: longer side in pixels to which both are resized, as the divergence depends on the number of places.

    Returns:
        A float from 0, the same layout, up.

    Raises:
        InputError: pictures of different sizes.

    References: Kolkin et al., *Style Transfer by Relaxed Optimal Transport and Self-Similarity*, CVPR 2019, for the
    similarities; Chung et al., *Style Injection in Diffusion*, CVPR 2024, for the divergence (CFSD). Differs from the
    latter: cosines instead of products, which saturate the softmax; the mean over the places instead of the sum.
    """
    _check_sizes(image, content)
    size = fit_size(*image.shape[2:], whole("side", side))
    found, goal = (
        F.normalize(at_least_float32(backbone(resize(picture, size), [layer])[layer]).flatten(2)[0].T)
        for picture in (image, content)
    )
    total = 0
    for rows in torch.arange(len(goal)).split(_ROWS):
        logs = ((x[rows] @ x.T / TEMPERATURE).log_softmax(1) for x in (found, goal))
        total += F.kl_div(*logs, reduction="sum", log_target=True).item()
    return total / len(goal)


def _check_sizes(image, content):
    if image.shape != content.shape:
        raise InputError(
            f"expected two pictures of one size, received {tuple(image.shape)} and {tuple(content.shape)}: "
            "resize the photograph to the painting's size"
        )
