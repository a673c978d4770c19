"""Persons and objects in a photograph, found by a network for semantic segmentation."""

import http.client
import pickle
from pathlib import Path

import torch

from ..ambient import own_random, plain_torch
from ..errors import InputError
from ..images import load_image, resize

#: What covers less of the picture is not reported.
LEAST_SHARE = 0.005
BACKGROUND = "background"


@plain_torch()
def objects(photo):
    """Masks of the persons and objects in a photograph, by name.

    The network, 12 MB, is downloaded once into torch hub's cache. It knows the 20 classes of Pascal VOC: person, cat,
    dog, horse, bird, car, boat, chair, bottle, potted plant and the like; all persons are one mask.

    Args:
        photo: whatever :func:`~nstlib.load_image` takes.

    Returns:
        ``{name: mask}``, the largest first, and ``"background"``, what they leave, last.

    Raises:
        InputError: no picture, no weights and no way to download them, or nothing that the network knows.

    Reference: Howard et al., *Searching for MobileNetV3*, ICCV 2019 (Lite R-ASPP), with torchvision's weights
    ``COCO_WITH_VOC_LABELS_V1``.
    """
    picture = load_image(photo)
    size = tuple(picture.shape[2:])
    network, weights = _network()
    with torch.no_grad():
        shares = network(weights.transforms()(picture))["out"].softmax(1)
    counts = torch.bincount(shares.argmax(1).flatten(), minlength=shares.shape[1]) / shares[0, 0].numel()
    found = [index for index in counts.argsort(descending=True).tolist() if index and counts[index] >= LEAST_SHARE]
    names = weights.meta["categories"]
    if not found:
        raise InputError(
            f"there is nothing in the photograph that the network knows ({', '.join(names[1:])}): use "
            "nstlib.regions.segments or scribbles"
        )
    masks = resize(shares[:, found], size)[0].numpy()
    masks = masks / masks.sum(0).clip(1)
    return {**dict(zip((names[index] for index in found), masks, strict=True)), BACKGROUND: 1 - masks.sum(0)}


def _network():
    """``(network, weights)``: ready for use, and torchvision's description of its weights."""
    # Only here: torchvision takes a second to import.
    from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights, lraspp_mobilenet_v3_large

    weights = LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1
    file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    with own_random():  # initialisation must not advance the caller's random numbers
        network = lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=len(weights.meta["categories"]))
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, http.client.HTTPException, pickle.UnpicklingError, EOFError) as error:
        if file.exists():
            raise InputError(f"{file} is incomplete or another file ({error}): delete it") from None
        raise InputError(
            f"the network that finds objects could not be downloaded from {weights.url} ({error}): put that file into "
            f"{file.parent}, or use nstlib.regions.segments or scribbles, which need no download"
        ) from None
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise InputError(f"{file} does not hold the weights of the network that finds objects: delete it") from None
    return network.eval().requires_grad_(False), weights
