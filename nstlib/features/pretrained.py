"""Backbones with trained weights: finding the file, recognising its network, downloading what is missing."""

import functools
import http.client
import os
import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..ambient import own_random, plain_torch
from ..errors import InputError, check_choice
from .backbone import ARCHITECTURES, BACKBONES, Backbone, layer_names
from .original import FILE, packaged_file, read_original
from .weight_files import existing_file, fitted, read_weights

COMPACT_WEIGHTS = Path(__file__).parents[1] / "weights" / "compact.safetensors"
#: Bytes of torchvision's files.
FILE_SIZES = {"vgg19_torchvision": 574_673_361, "vgg16": 553_433_881}
INSTALL = 'pip install "nstlib[vgg19] @ git+https://github.com/nstlib/nstlib"'


def load_backbone(name="auto", *, deepest="relu5_1", weights=None, pooling="max", padding="replicate"):
    """A backbone with trained weights, frozen and ready for use.

    Args:
        name: ``"vgg19"`` (the original network, from the data package of ``nstlib[vgg19]``), ``"vgg19_torchvision"``
            or ``"vgg16"`` (torchvision's weights, downloaded once with their hash checked), ``"compact"`` (the
            distilled VGG-19 in this package), or ``"auto"``: the network that ``weights`` belong to; without
            ``weights``, compact with a notice, as for a transfer on a CPU (see :func:`choose_backbone`).
        deepest: last layer to build.
        weights: path of a weights file (``.pth``, ``.pt`` or ``.safetensors`` with torchvision's names, the data
            package's own, or one that :mod:`nstlib.training.distill` made). By default the file named by the
            environment variable ``NSTLIB_VGG19``, ``NSTLIB_VGG19_TORCHVISION`` or ``NSTLIB_VGG16``, else the one in
            the data package or in torch hub's cache.
        pooling: see :class:`~nstlib.features.Backbone`.
        padding: of all convolutions.

    Returns:
        :class:`~nstlib.features.Backbone` in evaluation mode, float32, on the CPU.

    Raises:
        InputError: unknown name or layer, missing weights, unreadable or incomplete file, weights of another network,
            or a failed download.
    """
    check_choice("backbone", name, BACKBONES)
    if name == "auto" and weights is None:
        name = choose_backbone("cpu")
    if weights is None:
        weights = _local_file(name) or _download(name)
    with plain_torch(), own_random():  # initialisation must not advance the caller's random numbers
        # In weights of torchvision's ``.features`` alone, names begin with a number.
        state = read_original(weights) if Path(weights).name == FILE else read_weights(weights)
        state = {re.sub(r"^(?=\d)", "features.", key): value for key, value in state.items()}
        name = _recognised(state, name, weights)
        backbone = Backbone(ARCHITECTURES[name], deepest=deepest, pooling=pooling, border=padding, padding=padding)
        state = {_names_in_files(name).get(key, key): value for key, value in state.items()}
        expected = backbone.convs.state_dict()
        for key in expected:
            if key not in state:
                raise InputError(
                    f"the weights for {name} in {weights} lack {key.partition('.')[0]}, which {deepest} needs; "
                    "choose shallower layers or a complete weights file"
                )
        backbone.convs.load_state_dict(fitted(state, expected, weights))
        _add_embeddings(backbone, state, weights)
    return backbone.eval().requires_grad_(False)


def choose_backbone(device_type):
    """What :func:`name_of_auto` says; compact comes with a notice, once per process."""
    name = name_of_auto(device_type)
    if name == "compact":
        _notify(_local_file("vgg19") is not None)
    return name


def name_of_auto(device_type):
    """Name of the network that ``"auto"`` stands for: VGG-19 on a GPU if its weights are on this machine, else compact.

    Nothing is downloaded.

    Args:
        device_type: ``"cpu"``, ``"cuda"`` or another of torch's.
    """
    return "vgg19" if device_type != "cpu" and _local_file("vgg19") is not None else "compact"


@functools.cache
def _notify(at_hand):
    """Warn that compact stands in for VGG-19, once per process and per remedy."""
    where = "on a CPU" if at_hand else "where the weights of VGG-19 are missing"
    remedy = "use backbone='vgg19'" if at_hand else f"run {INSTALL} (18 MB) and use backbone='vgg19'"
    warnings.warn(
        f"backbone='auto' is the embedded compact network {where}. For the final quality {remedy}, "
        "which takes about ten times as long: some 10 minutes at 512 pixels on two CPU cores. "
        "backbone='compact' silences this notice.",
        stacklevel=4,
    )


def metadata(path=COMPACT_WEIGHTS):
    """Metadata of a safetensors weights file: what made it, from which teachers, under which licence.

    Raises:
        InputError: no such file, or one of another format.
    """
    path = existing_file(path)
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from None


def _recognised(state, name, source):
    """The network that these weights belong to: ``name``, or for ``"auto"`` the first whose layers they name."""
    named = {key for key in state if re.match(r"features\.\d+\.|conv\d_\d\.", key)}
    found = [other for other in ARCHITECTURES if named and named <= set(_names_in_files(other))]
    if name in found or (name == "auto" and found):
        return name if name in found else found[0]
    if found:
        raise InputError(f"{source} holds weights of {found[0]}, not of {name}: use backbone={found[0]!r}")
    expected = ", ".join(ARCHITECTURES) if name == "auto" else name
    names = sorted(named or state)
    raise InputError(
        f"the weights in {source} are not those of {expected}; they are named {', '.join(names[:3])}"
        + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    )


def _names_in_files(name):
    """``{name in a weights file: name here}`` of all weights of a network."""
    return {
        (f"{layer}.{kind}" if name == "compact" else f"features.{index}.{kind}"): f"{layer}.{kind}"
        for index, layer in enumerate(layer_names(ARCHITECTURES[name]))
        for kind in ("weight", "bias")
        if layer.startswith("conv")
    }


def _add_embeddings(backbone, state, source):
    """Add the embeddings in the teacher's features that the weights file of a distilled network has."""
    for layer in backbone.layers:
        key = f"{layer}.map"
        if key in state:
            channels = backbone.channels(layer)
            # As many rows as the teacher had channels, but never more than the layer has.
            rows = min(state[key].shape[0], channels) if state[key].dim() else channels
            value = fitted(state, {key: torch.empty(rows, channels)}, source)[key]
            backbone.embeddings[layer] = nn.Parameter(value[:, :, None, None])


def _local_file(name):
    """Path of the weights of a network on this machine, or None; an incomplete download is refused."""
    if name == "compact":
        return COMPACT_WEIGHTS
    if path := os.environ.get(f"NSTLIB_{name.upper()}"):
        return Path(path)
    if name == "vgg19":
        return packaged_file()
    path = _cache_file(name)
    if not path.is_file():
        return None
    if (size := path.stat().st_size) != FILE_SIZES[name]:
        raise InputError(f"{path} is incomplete ({size:,} of {FILE_SIZES[name]:,} bytes): delete it")
    return path


def _cache_file(name):
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_url(name)).name


def _url(name):
    from torchvision.models import VGG16_Weights, VGG19_Weights

    return {"vgg19_torchvision": VGG19_Weights, "vgg16": VGG16_Weights}[name].IMAGENET1K_V1.url


def _download(name):
    """Fetch torchvision's weights into torch hub's cache; the file name carries the hash to check."""
    if name == "vgg19":
        raise InputError(
            f"the weights of vgg19 are not on this machine: run {INSTALL} (18 MB), or name a file of them with "
            "weights= or NSTLIB_VGG19; backbone='vgg19_torchvision' downloads retrained ones (548 MB), "
            "backbone='compact' needs no download"
        )
    url, path = _url(name), _cache_file(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2])
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise InputError(
            f"could not download the {name} weights from {url} ({error}); give a local copy with weights= "
            f"or NSTLIB_{name.upper()}, or use backbone='compact', which needs no download"
        ) from None
    return path
