"""Backbones with trained weights: finding the file, recognising its network, downloading what is missing."""

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
from .weight_files import existing_file, fitted, read_weights

COMPACT_WEIGHTS = Path(__file__).parents[1] / "weights" / "compact.safetensors"
#: Bytes of torchvision's files.
FILE_SIZES = {"vgg19": 574_673_361, "vgg16": 553_433_881}


def load_backbone(name="auto", *, deepest="relu5_1", weights=None, pooling="max", padding="replicate"):
    """A backbone with trained weights, frozen and ready for use.

    Args:
        name: ``"vgg19"`` or ``"vgg16"`` (the reference networks; torchvision's weights are downloaded once, with
            their hash checked, unless there is a local file), ``"compact"`` (the distilled VGG-19 in this package),
            or ``"auto"``: the network that ``weights`` belong to; without ``weights``, VGG-19 if its file is on this
            machine, else compact with a warning.
        deepest: last layer to build.
        weights: path of a weights file (``.pth``, ``.pt`` or ``.safetensors`` with torchvision's names, or one that
            :mod:`nstlib.training.distill` made). By default the file named by the environment variable
            ``NSTLIB_VGG19`` or ``NSTLIB_VGG16``, else the one in torch hub's cache.
        pooling: see :class:`~nstlib.features.Backbone`.
        padding: of all convolutions.

    Returns:
        :class:`~nstlib.features.Backbone` in evaluation mode, float32, on the CPU.

    Raises:
        InputError: unknown name or layer, unreadable or incomplete file, weights of another network, or a failed
            download.
    """
    check_choice("backbone", name, BACKBONES)
    if name == "auto" and weights is None:
        name, notice = _best_available()
        if notice:
            warnings.warn(notice, stacklevel=2)
    if weights is None:
        weights = COMPACT_WEIGHTS if name == "compact" else _local_file(name) or _download(name)
    with plain_torch(), own_random():  # initialisation must not advance the caller's random numbers
        # In weights of torchvision's ``.features`` alone, names begin with a number.
        state = {re.sub(r"^(?=\d)", "features.", key): value for key, value in read_weights(weights).items()}
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


def _best_available():
    """``(name, notice)``: VGG-19 if its weights are on this machine, else compact and a notice for the user."""
    hint = "backbone='vgg19' downloads the reference (548 MB) once; backbone='compact' silences this notice."
    try:
        if _local_file("vgg19") is not None:
            return "vgg19", None
    except InputError as error:
        return "compact", f"{error}. Until then the embedded compact network is used. {hint}"
    return "compact", f"The VGG-19 weights are not on this machine: using the embedded compact network. {hint}"


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
    """Path of the weights of a torchvision network on this machine, or None; an incomplete download is refused."""
    if path := os.environ.get(f"NSTLIB_{name.upper()}"):
        return Path(path)
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

    return {"vgg19": VGG19_Weights, "vgg16": VGG16_Weights}[name].IMAGENET1K_V1.url


def _download(name):
    """Fetch torchvision's weights into torch hub's cache; the file name carries the hash to check."""
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
