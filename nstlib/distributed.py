"""The processes that torchrun starts, connected by torch.distributed: gloo adds up on CPUs, nccl on GPUs."""

import contextlib
import datetime
import os

import torch
import torch.distributed as dist

#: After so long a rank that says nothing is given up. One that dies is noticed at once.
TIMEOUT = datetime.timedelta(minutes=10)


@contextlib.contextmanager
def process_group():
    """Context in which torch.distributed connects the processes that torchrun started; gives their number."""
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield count
        return
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    # What is said about errors goes through gloo in any case: it needs no GPU, and notices at once that a rank is gone.
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=TIMEOUT)
    try:
        yield count
    finally:
        dist.destroy_process_group()


def rank():
    """The number of this process among those that are connected, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def first_to_ask(key):
    """Whether no process that torchrun started has asked for ``key`` before: what all notice is said by one of them.

    They need not be connected any more: the store is torchrun's own, which outlives the processes.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return True
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        return dist.TCPStore(address, port, timeout=datetime.timedelta(seconds=5)).add(key, 1) == 1
    except RuntimeError:  # torchrun is gone too: better twice than never
        return True
