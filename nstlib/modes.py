"""The modes that PyTorch may be in when the library is called, and that must not change what it computes."""

import contextlib

import torch


@contextlib.contextmanager
def ordinary_torch():
    """Autograd, default device and default type as torch starts with them; the caller's come back at the end.

    Example:
        >>> with torch.inference_mode(), ordinary_torch():
        ...     torch.ones(2, requires_grad=True).sum().backward()
    """
    kind = torch.get_default_dtype()
    if kind != torch.float32:
        torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
            yield
    finally:
        if kind != torch.float32:
            torch.set_default_dtype(kind)
