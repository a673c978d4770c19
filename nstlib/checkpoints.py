"""State on disk: nested Python values with tensors in them, written whole or not at all."""

from pathlib import Path

import torch

from .errors import InputError
from .files import check_destination, written_whole


def write_state(state, path):
    """Write nested dicts, lists and tuples of tensors, numbers, strings and None.

    The file is written beside ``path`` and then put in its place: what was there is lost only to a whole new one.
    Tensors go to disk one after the other, as at 4K a second copy of them would be gigabytes.

    Raises:
        InputError: a place where no file can be written.
        OSError: the disk is full, or fails; what was there before is still there.

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
        except RuntimeError as error:  # what torch makes of a write that failed
            raise OSError(f"cannot write {path}: {error}") from error


def read_state(path):
    """What :func:`write_state` wrote, on the CPU. No code in the file is run.

    Raises:
        InputError: no such file, or another one.
    """
    try:
        return torch.load(Path(path).expanduser(), map_location="cpu", weights_only=True)
    except Exception as error:  # of whatever kind the file provokes
        raise InputError(f"{path} is not a checkpoint: {error}") from None
