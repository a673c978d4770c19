"""Weights files: read without running code in them, unwrapped, and checked against what a network expects."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..errors import InputError

#: Keys under which checkpoints keep the weights beside other things, in order of preference.
WRAPPERS = ("state_dict", "model_state_dict", "params_ema", "params", "model")
#: What ``DataParallel`` and ``torch.compile`` add to the names of the modules they wrap.
_WRAPPED = re.compile(r"(^|\.)(?:module|_orig_mod)(?=\.)")


def existing_file(path):
    """``path`` with ``~`` expanded.

    Raises:
        InputError: there is no such file, or it is a folder.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise InputError(f"cannot read weights from {path}: it is a folder; name a file in it")
    if not path.is_file():
        raise InputError(f"weights file not found: {path}")
    return path


def read_weights(path):
    """The tensors of a ``.safetensors``, ``.pth`` or ``.pt`` file by name. The content decides, not the suffix.

    Wrappers are removed: ``{"state_dict": ...}`` and the like, and the ``module.`` of ``DataParallel``.

    Args:
        path: ``~`` is expanded.

    Returns:
        ``{name: tensor}`` on the CPU, types as in the file; large files are memory-mapped.

    Raises:
        InputError: no such file, or a file without weights.
    """
    path = existing_file(path)
    with open(path, "rb") as file:
        start = file.read(9)
    pickled = start[:2] == b"PK" or start[:1] == b"\x80"
    try:
        if start[8:] == b"{":  # after the length of a safetensors header
            content = load_file(path)
        else:
            # Memory-mapped: of VGG's 548 MB, only the convolutions in use are ever read.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except SafetensorError as error:
        raise InputError(f"cannot read weights from {path}: incomplete or damaged ({error})") from None
    except Exception as error:  # a broken pickle can raise anything
        if not pickled:
            why = "it is neither a safetensors file nor one of torch"
        elif "Unsupported global" in str(error):
            why = "it holds Python objects besides weights, which are not run; save the network's state_dict() instead"
        else:
            why = f"incomplete or damaged ({str(error).partition(chr(10))[0]})"
        raise InputError(f"cannot read weights from {path}: {why}") from None
    return _tensors(content, path)


def fitted(state, expected, source):
    """The weights that a network expects, selected from those in a file.

    Args:
        state: ``{name: tensor}`` from :func:`read_weights`; unexpected names are ignored.
        expected: the network's own ``state_dict``, for its names and shapes.
        source: the file, for messages.

    Returns:
        ``{name: tensor}`` in float32.

    Raises:
        InputError: a missing name, a wrong shape, values that are no floats, NaN or infinite.
    """
    result = {}
    for name, place in expected.items():
        if name not in state:
            raise InputError(f"the weights in {source} do not fit: {name} is missing; found {_some(state)}")
        value = state[name]
        if value.shape != place.shape:
            raise InputError(
                f"the weights in {source} do not fit: {name} must have the shape {tuple(place.shape)}, "
                f"found {tuple(value.shape)}"
            )
        if not value.is_floating_point() or value.layout != torch.strided or value.is_meta:
            raise InputError(f"the weights in {source} do not fit: {name} must hold plain floats, found {_kind(value)}")
        result[name] = value = value.float()
        if not value.isfinite().all():
            raise InputError(f"the weights in {source} are damaged: {name} has values that are NaN or infinite")
    return result


def _tensors(content, path):
    """The mapping of names to tensors in the content of a file."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise InputError(
            f"cannot read weights from {path}: expected tensors by name (a state_dict), found {_kind(content)}"
        )
    tensors = {
        _WRAPPED.sub("", name).lstrip("."): value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise InputError(f"cannot read weights from {path}: it holds no tensors; found {_some(content)}")
    return tensors


def _kind(value):
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return f"{value.dtype}, {value.layout}, on {value.device}"


def _some(names):
    """The first few names, for a message."""
    names = list(map(str, names))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"
