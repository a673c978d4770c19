"""The processes that torchrun starts, connected by torch.distributed: gloo adds up on CPUs, nccl on GPUs."""

import contextlib
import datetime
import os
import time

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


def processes_here():
    """How many processes torchrun started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def first_to_ask(key):
    """Whether no process that torchrun started has asked for ``key`` before: what all notice is said by one of them."""
    return _counted(key, 1) == 1


def wait_for_all(key):
    """Return once every process that torchrun started has called this, or torchrun is gone.

    torchrun stops all of them as soon as one has ended with an error: they end together, when each has done its work.
    """
    count = int(os.environ.get("WORLD_SIZE", 1))
    arrived = _counted(key, 1)
    while arrived is not None and arrived < count:
        time.sleep(0.2)
        arrived = _counted(key, 0)


def _counted(key, more):
    """``key``'s number in torchrun's store, which outlives the processes, after ``more`` is added; None without one."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or "MASTER_ADDR" not in os.environ:
        return more or None
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        return dist.TCPStore(address, port, timeout=datetime.timedelta(seconds=5)).add(key, more)
    except RuntimeError:  # torchrun is gone
        return more or None
