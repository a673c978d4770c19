"""State on disk: nested Python values with tensors in them, as one safetensors file, written atomically."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .errors import InputError


def write_state(state, path):
    """Write nested dicts and lists of tensors, numbers, strings and None; the file appears whole or not at all.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/state.safetensors"
        >>> write_state({"step": 3, "momenta": [torch.zeros(2)]}, path)
        >>> read_state(path)
        {'step': 3, 'momenta': [tensor([0., 0.])]}
    """
    tensors = {}
    skeleton = _flatten(state, "state", tensors)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_whole(path, lambda part: save_file(tensors, part, metadata={"nstlib": json.dumps(skeleton)}))


def write_whole(path, write):
    """Let ``write(part)`` write a file beside ``path``, then put it in its place: it appears whole or not at all."""
    part = Path(f"{path}.part")
    write(part)
    part.replace(path)


def read_state(path):
    """What :func:`write_state` wrote.

    Raises:
        InputError: no such file, or another one.
    """
    try:
        with safe_open(path, "pt") as file:
            skeleton = json.loads(file.metadata()["nstlib"])
            # Copies are aligned in memory as fresh tensors are, so that sums over them round alike.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a checkpoint: {error}") from None
    return _unflatten(skeleton, tensors)


def _flatten(value, name, tensors):
    """JSON-able skeleton of ``value``; its tensors go into ``tensors`` under dotted names."""
    if torch.is_tensor(value):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": {str(key): _flatten(item, f"{name}.{key}", tensors) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"list": [_flatten(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]}
    return {"value": value}


def _unflatten(node, tensors):
    ((kind, value),) = node.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in value.items()}
    if kind == "list":
        return [_unflatten(item, tensors) for item in value]
    return value
