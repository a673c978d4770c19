"""The processes that torchrun starts, as ranks of one picture."""

import contextlib

import torch.distributed as dist

from ..distributed import process_group
from ..features.ranks import ALONE, RankLost, Ranks
from .interruption import noted_interruption


@contextlib.contextmanager
def joined():
    """Context that gives the :class:`~nstlib.features.Ranks` of the processes that torchrun started.

    All of them make the same :class:`~nstlib.StyleTransfer` with it. Meanwhile Ctrl-C stops all of them together. A
    process of its own is the only rank.

    Example, a script for ``torchrun --nproc-per-node 2 script.py``:
        >>> import nstlib
        >>> from nstlib import samples
        >>> with joined() as ranks:
        ...     options = {"size": 64, "iterations": 3, "backbone": "compact", "progress": False}
        ...     picture = nstlib.stylize(samples.content(), samples.style(), ranks=ranks, **options)
        ...     if ranks.index == 0:
        ...         picture.size
        (64, 43)
    """
    with process_group() as count:
        if count == 1:
            yield ALONE
            return
        ranks = Ranks(dist.get_rank(), count, _add)
        with noted_interruption(ranks):
            yield ranks


def _add(tensor):
    total = tensor.contiguous()
    try:
        dist.all_reduce(total)
    except RuntimeError as error:
        raise RankLost("another process of this picture ended or can no longer be reached") from error
    if total is not tensor:
        tensor.copy_(total)
