"""Persons and objects in a photograph, found by a network for semantic segmentation."""

import http.client
from pathlib import Path

import torch

from ..ambient import own_random, plain_torch
from ..errors import InputError
from ..features.weight_files import fitted, read_weights
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
        InputError: no picture, weights that are damaged or cannot be downloaded, or nothing that the network knows.

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
    return {**dict(zip((names[index] for index in found), masks, strict=True)), BACKGROUND: (1 - masks.sum(0)).clip(0)}


def _network():
    """``(network, weights)``: ready for use, and torchvision's description of its weights."""
    # Only here: torchvision takes a second to import.
    from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights, lraspp_mobilenet_v3_large

    weights = LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1
    file = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    if not file.exists():
        _download(weights.url, file)
    with own_random():  # initialisation must not advance the caller's random numbers
        network = lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=len(weights.meta["categories"]))
    expected = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    # What is no float only counts the batches of the training.
    network.load_state_dict(fitted(read_weights(file), expected, file), strict=False)
    return network.eval().requires_grad_(False), weights


def _download(url, file):
    """Fetch the weights into torch hub's cache; the file's name carries the hash to check."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix=file.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise InputError(
            f"the network that finds objects could not be downloaded from {url} ({error}): put that file into "
            f"{file.parent}, or use nstlib.regions.segments or scribbles, which need no download"
        ) from None
