"""Torch as the library needs it, whatever the caller has set for the rest of the program."""

import contextlib

import torch

from .errors import InputError


@contextlib.contextmanager
def plain_torch():
    """Ordinary float32 tensors on the CPU with gradients recorded, whatever modes and defaults the caller has set.

    The default type is the process's: other threads that count on another one see float32 for as long.
    Generators must not hold it across a ``yield``: the caller's code would run in it.

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
    """Torch's random numbers on the CPU begin with ``seed`` and end with the context; the caller's then go on.

    Example:
        >>> with own_random(1):
        ...     a = torch.rand(1)
        >>> with own_random(1):
        ...     torch.equal(a, torch.rand(1))
        True
    """
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which seeds every GPU besides, for good.
        torch.default_generator.manual_seed(seed)
        yield


def ordinary(tensor):
    """``tensor``, or a copy of it if it was made in inference mode: such a one takes part in no gradient."""
    return tensor.clone() if tensor.is_inference() else tensor


def usable_device(name):
    """``torch.device`` of this name.

    Raises:
        InputError: there is none on this machine.
    """
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise InputError(f"cannot use device {name!r}: {str(error).partition(chr(10))[0]}") from None


def choose_device(name):
    """``torch.device`` of this name; for ``"auto"`` the fastest there is.

    Raises:
        InputError: the machine has no such device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[name.partition(":")[0]]:
        raise InputError(f"device {name} is not available on this machine; use device='auto' or 'cpu'")
    return usable_device(name)
