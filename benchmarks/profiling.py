"""Where the time of an iteration goes, and the bound below which no loop around the same convolutions can come."""

import time

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

#: Parts of an iteration, by what the names of torch's operators contain; the first that fits counts.
PARTS = {
    "convolutions": ("conv",),
    "Gram products": ("mm",),
    "ReLU": ("threshold", "clamp_min", "relu"),
    "additions": ("aten::add",),
    "pooling": ("pool",),
    "padding": ("pad",),
    "copies, fills": ("copy_", "fill_", "zero_", "cat"),
    "sums": ("aten::sum",),
}


def shares(step, iterations, cuda=False):
    """``{part: seconds per iteration}`` of a function that makes one iteration, with ``"rest"`` as the last part."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiled:
        for _ in range(iterations):
            step()
    found = dict.fromkeys([*PARTS, "rest"], 0.0)
    for event in profiled.key_averages():
        name = event.key.lower()
        part = next((part for part, words in PARTS.items() if any(word in name for word in words)), "rest")
        spent = event.self_device_time_total if cuda else event.self_cpu_time_total
        found[part] += spent / 1e6 / iterations
    return found


def bound(backbone, size, repeats=3):
    """Seconds of the network's convolutions alone, forward and backward, each the fastest of ``repeats``.

    Args:
        backbone: :class:`nstlib.Backbone`, in the format and on the device to measure.
        size: (height, width) of the picture.
    """
    total = 0.0
    for layer, conv in backbone.convs.items():
        height, width = (side >> backbone.downsampling(layer) for side in size)
        x = torch.rand(1, conv.in_channels, height, width, device=conv.weight.device).to(conv.weight.dtype)
        x = x.to(memory_format=torch.channels_last).requires_grad_()
        total += min(_seconds(conv, x) for _ in range(repeats))
    return total


def _seconds(conv, x):
    cuda = x.is_cuda
    started = _now(cuda)
    y = F.conv2d(x, conv.weight, conv.bias, padding=1)
    forward = _now(cuda) - started
    slope = torch.ones_like(y)
    started = _now(cuda)
    torch.autograd.grad(y, x, slope)
    return forward + _now(cuda) - started


def _now(cuda):
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter()
