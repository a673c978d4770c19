"""The processes that torchrun starts, as ranks of one picture: gloo adds up on CPUs, nccl on GPUs."""

import contextlib
import datetime
import os

import torch
import torch.distributed as dist

from ..features.ranks import ALONE, RankLost, Ranks
from .interruption import noted_interruption

#: After so long a rank that says nothing is given up. One that dies is noticed at once.
TIMEOUT = datetime.timedelta(minutes=10)


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
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield ALONE
        return
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    # What is said about errors goes through gloo in any case: it needs no GPU, and notices at once that a rank is gone.
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=TIMEOUT)
    ranks = Ranks(dist.get_rank(), count, _add)
    try:
        with noted_interruption(ranks):
            yield ranks
    finally:
        dist.destroy_process_group()


def _add(tensor):
    total = tensor.contiguous()
    try:
        dist.all_reduce(total)
    except RuntimeError as error:
        raise RankLost("another process of this picture ended or can no longer be reached") from error
    if total is not tensor:
        tensor.copy_(total)
