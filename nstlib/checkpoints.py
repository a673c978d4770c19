"""State files: nested Python values with tensors in them, written completely or not at all."""

from pathlib import Path

import torch

from .errors import InputError
from .files import check_destination, written_whole


def write_state(state, path):
    """Write nested dicts, lists and tuples of tensors, numbers, strings and None.

    The file is written beside ``path`` and then replaces it: an earlier state is lost only to a complete new one.
    Tensors go to disk one after the other, as a second copy of them would take gigabytes at 4K.

    Raises:
        InputError: no file can be written there.
        OSError: the disk is full or fails; the earlier state is kept.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/state.pt"
        >>> write_state({"step": 3, "momenta": [torch.zeros(2)]}, path)
        >>> read_state(path)
        {'step': 3, 'momenta': [tensor([0., 0.])]}
    """
    with written_whole(check_destination(path)) as part:
        try:
            torch.save(state, part)
        except RuntimeError as error:  # which is what torch raises when a write fails
            raise OSError(f"cannot write {path}: {error}") from error


def read_state(path):
    """What :func:`write_state` wrote, on the CPU. No code in the file is run.

    Raises:
        InputError: no such file, or not a checkpoint.
    """
    try:
        return torch.load(Path(path).expanduser(), map_location="cpu", weights_only=True)
    except Exception as error:  # other files can provoke any
        raise InputError(f"{path} is not a checkpoint: {error}") from None
