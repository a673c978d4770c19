"""State on disk: nested Python values with tensors in them, written whole or not at all."""

from pathlib import Path

import torch

from .errors import InputError


def write_state(state, path):
    """Write nested dicts, lists and tuples of tensors, numbers, strings and None.

    The file is written beside ``path`` and then put in its place: what was there is lost only to a whole new one.
    Tensors go to disk one after the other, as at 4K a second copy of them would be gigabytes.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/state.pt"
        >>> write_state({"step": 3, "momenta": [torch.zeros(2)]}, path)
        >>> read_state(path)
        {'step': 3, 'momenta': [tensor([0., 0.])]}
    """
    part = Path(f"{path}.part")
    torch.save(state, part)
    part.replace(path)


def read_state(path):
    """What :func:`write_state` wrote, on the CPU. No code in the file is run.

    Raises:
        InputError: no such file, or another one.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of whatever kind the file provokes
        raise InputError(f"{path} is not a checkpoint: {error}") from None
