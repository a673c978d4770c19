"""Several processes or devices that work on one picture: how they add up, and how they stay together."""

import contextlib
import hashlib

import torch

from ..ambient import is_out_of_memory
from ..errors import InputError

#: What may end the work of a rank, the worst last.
FINE, MEMORY, INTERRUPTED, INPUT, FAILED = range(5)


class Elsewhere(RuntimeError):
    """Raised where the work ends because another rank failed, which says why; ``kind`` is INPUT or FAILED."""

    def __init__(self, rank, kind):
        super().__init__(f"rank {rank} failed")
        self.kind = kind


class MemoryElsewhere(MemoryError):
    """Raised where memory is left, but has run out on another rank: all repeat what they did."""


class RankLost(RuntimeError):
    """Raised when a rank can no longer be reached: its process ended, or the network is down."""

    agreed = True


class Ranks:
    """One of several ranks that work on the same picture.

    Args:
        index: which one this is, from 0.
        count: how many there are.
        add: function that replaces a tensor by its sum over all ranks, the same bits on each.

    Attributes:
        interrupted: to be set when Ctrl-C is pressed: all ranks stop together at the next chance.
    """

    def __init__(self, index=0, count=1, add=lambda tensor: None):
        self.index, self.count, self.add = index, count, add
        self.interrupted = False

    def sum(self, tensors):
        """The sums of these tensors over all ranks. Every rank's gradient is that of the sum, whose loss all share."""
        return list(_Sum.apply(self, *tensors)) if tensors else []

    def gather(self, number):
        """The whole numbers of all ranks."""
        numbers = torch.zeros(self.count, dtype=torch.int64, device="cpu")
        numbers[self.index] = number
        self.add(numbers)
        return numbers.tolist()

    def differ(self, *tensors):
        """Whether tensors that should be the same on all ranks are not."""
        if self.count == 1:
            return False
        digest = hashlib.blake2b(digest_size=7)
        for tensor in tensors:
            digest.update(tensor.detach().cpu().contiguous().numpy())
        return len(set(self.gather(int.from_bytes(digest.digest(), "big")))) > 1

    def follow_first(self, state):
        """Fill all tensors in nested dicts, lists and tuples with those of rank 0."""
        if isinstance(state, torch.Tensor):
            if self.index:
                state.detach().zero_()
            self.add(state.detach())
        elif isinstance(state, (dict, list, tuple)):
            for value in state.values() if isinstance(state, dict) else state:
                self.follow_first(value)

    @contextlib.contextmanager
    def together(self, interruptible=True):
        """A block that ends well on all ranks or on none; it must come before whatever waits for the others.

        Raises:
            MemoryElsewhere, KeyboardInterrupt, Elsewhere: on the ranks on which nothing happened.
        """
        own = None
        try:
            yield
        except BaseException as error:
            if self.count == 1 or getattr(error, "agreed", False):
                raise  # the others know
            own = error
        if self.count == 1:
            return
        kind = _kind_of(own) or (INTERRUPTED if interruptible and self.interrupted else FINE)
        kinds = self.gather(kind)
        worst = max(kinds)
        if worst == FINE:
            return
        first = kinds.index(worst)
        if own is None or kind != worst or (self.index != first and worst != MEMORY):
            memory = MemoryElsewhere(f"out of memory on rank {first}")
            own = {MEMORY: memory, INTERRUPTED: KeyboardInterrupt()}.get(worst) or Elsewhere(first, worst)
        if worst == INTERRUPTED:
            self.interrupted = False
        own.agreed = True
        raise own


#: A process of its own.
ALONE = Ranks()


def _kind_of(error):
    if error is None:
        return FINE
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return MEMORY if is_out_of_memory(error) else INPUT if isinstance(error, InputError) else FAILED


class _Sum(torch.autograd.Function):
    """Sums over ranks in one message; the gradient passes as it is, as every rank has that of the whole loss."""

    @staticmethod
    def forward(ctx, ranks, *tensors):
        ctx.set_materialize_grads(False)
        with ranks.together():
            total = torch.cat([tensor.reshape(-1) for tensor in tensors])
        ranks.add(total)
        parts = total.split([tensor.numel() for tensor in tensors])
        return tuple(part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True))

    @staticmethod
    def backward(ctx, *gradients):
        return None, *gradients
