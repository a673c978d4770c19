"""Torch's modes, random numbers and devices as the library needs them, whatever the caller has set."""

import contextlib
import os

import torch

from .errors import InputError


@contextlib.contextmanager
def plain_torch():
    """Context in which new tensors are float32 on the CPU and gradients are recorded, whatever the caller has set.

    The default dtype is global: other threads see float32 too while the context lasts. A generator must not hold it
    across a ``yield``, or the caller's code would run in it.

    Example:
        >>> with torch.inference_mode(), plain_torch():
        ...     x = torch.ones(1, requires_grad=True)
        >>> (2 * x).requires_grad
        True
    """
    kind = torch.get_default_dtype()
    if kind != torch.float32:
        torch.set_default_dtype(torch.float32)
    try:
        with contextlib.ExitStack() as stack:
            for kind_of_device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
                stack.enter_context(torch.autocast(kind_of_device, enabled=False))
            for mode in (torch.inference_mode(False), torch.enable_grad(), torch.device("cpu")):
                stack.enter_context(mode)
            yield
    finally:
        if kind != torch.float32:
            torch.set_default_dtype(kind)


@contextlib.contextmanager
def own_random(seed=0):
    """Context in which torch's CPU random numbers start from ``seed``; afterwards, the caller's continue.

    Example:
        >>> with own_random(1):
        ...     a = torch.rand(1)
        >>> with own_random(1):
        ...     torch.equal(a, torch.rand(1))
        True
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed every GPU, for good.
        torch.default_generator.manual_seed(seed)
        yield


def ordinary(tensor):
    """``tensor``, or a copy of it if it was made in inference mode, whose tensors autograd cannot use."""
    return tensor.clone() if tensor.is_inference() else tensor


def usable_device(name):
    """``torch.device`` of this name.

    Raises:
        InputError: this machine has no such device.
    """
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise InputError(f"cannot use device {name!r}: {str(error).partition(chr(10))[0]}") from None


def choose_device(name):
    """``torch.device`` of this name; for ``"auto"`` the fastest available.

    Raises:
        InputError: this machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name.partition(":")[0]]:
        raise InputError(f"device {name} is not available on this machine; use device='auto' or 'cpu'")
    if name == "cuda":  # each of the processes that torchrun starts on a machine has a GPU of its own
        name = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
    # With its index, as tensors report it: "cuda" and "cuda:0" are not equal.
    return usable_device(name)


def choose_devices(names):
    """The ``torch.device`` of each name in a list such as ``"cuda:0,cuda:1"``; for ``"all"`` every GPU, or the CPU.

    Raises:
        InputError: this machine has no such device.
    """
    if names == "all":
        names = ",".join(f"cuda:{index}" for index in range(torch.cuda.device_count())) or "auto"
    return [choose_device(name) for name in names.split(",")]


def is_out_of_memory(error):
    """Whether an exception means that memory ran out, on a GPU or on the CPU."""
    texts = ("can't allocate memory", "not enough memory", "out of memory", "_STATUS_ALLOC_FAILED")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(text in str(error) for text in texts)
