"""Several devices of one process that paint one picture: the ranks are threads, and add up in the memory they share."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from ..ambient import plain_torch
from ..errors import InputError
from ..features.ranks import Elsewhere, MemoryElsewhere, RankLost, Ranks
from .interruption import noted_interruption


class Crew:
    """The devices of a transfer. The first one has the transfer itself, the others copies that take its steps too.

    Args:
        devices: of ``torch.device``.
        ranks: :class:`~nstlib.features.Ranks` of the processes, where there are several.

    Attributes:
        ranks: one for each device.

    Raises:
        InputError: several devices in one of several processes.
    """

    def __init__(self, devices, ranks):
        if len(devices) > 1 and ranks.count > 1:
            raise InputError("each process has one device: leave device to 'auto' under torchrun")
        count = len(devices)
        self._devices, self._parts, self._copies = devices, [None] * count, []
        self._barrier = threading.Barrier(count)
        self.ranks = [Ranks(n, count, partial(self._add, n)) for n in range(count)] if count > 1 else [ranks]

    def follow(self, transfer):
        """Make a copy of ``transfer`` for each of the other devices. All read the same settings, terms and pictures."""
        for device, ranks in zip(self._devices[1:], self.ranks[1:], strict=True):
            other = copy.copy(transfer)
            other.device, other._sharing, other._crew = device, ranks, None
            other._use_network(transfer.precision)
            other._descent = other._begin(other.size)
            self._copies.append(other)

    def do(self, transfer, action):
        """``action(transfer)``, and at the same time ``action`` of every copy, each in a thread."""
        if not self._copies:
            return action(transfer)
        with ThreadPoolExecutor(len(self._copies)) as pool, noted_interruption(self.ranks[0]):
            others = [pool.submit(self._guarded, action, other) for other in self._copies]
            result = error = None
            try:
                result = self._guarded(action, transfer)
            except BaseException as caught:
                error = caught
            errors = [one for one in (error, *(other.exception() for other in others)) if one is not None]
            self._barrier.reset()
        if errors:  # one of them is the cause, the others are where it was heard of
            heard = RankLost, Elsewhere, MemoryElsewhere
            raise next((one for one in errors if not isinstance(one, heard)), errors[0])
        return result

    def _guarded(self, action, transfer):
        try:
            # One thread of autograd's for each GPU would have to wait for itself, where two ranks share a GPU.
            with plain_torch(), torch.autograd.set_multithreading_enabled(False):
                return action(transfer)
        except BaseException as error:
            if not getattr(error, "agreed", False):
                self._barrier.abort()  # nobody is to wait for this one
            raise

    def _add(self, index, tensor):
        """Replace ``tensor`` by the sum over all ranks, in their order: the same bits on each."""
        try:
            if tensor.is_cuda:
                torch.cuda.current_stream(tensor.device).synchronize()  # another thread's stream will read it
            self._parts[index] = tensor
            self._barrier.wait()
            total = self._parts[0].to(tensor.device, copy=True)
            for part in self._parts[1:]:
                total += part.to(tensor.device)
            if tensor.is_cuda:
                torch.cuda.current_stream(tensor.device).synchronize()
            self._barrier.wait()
        except threading.BrokenBarrierError:
            raise RankLost("another device failed") from None
        tensor.copy_(total)
