"""What a transfer will need before it starts: memory and time."""

import time
from dataclasses import dataclass

import torch

from ..ambient import own_random, plain_torch
from ..features.tiling import Plan, feature_sums
from ..images import fit_size
from ..losses import total_variation
from ..moments import Moments
from .margin import outer
from .memory import PLANS, peak_memory, target_memory
from .optimizers import make_optimizer

#: Work of the timing probe in multiply-adds: 768 x 768 pixels with VGG-19, more with smaller networks.
PROBE_WORK = 2.1e11
#: Longest side of the timing probe in pixels. Untiled, large pictures take more time per pixel.
PROBE = 2048


@dataclass(frozen=True)
class Estimate:
    """What a transfer will need.

    Attributes:
        size: (height, width) of the result.
        precision: number format of the network.
        plan: :class:`~nstlib.features.Plan` of the finest level.
        memory: peak in bytes, above what the process holds once the network is loaded.
        seconds: of all iterations together.
    """

    size: tuple
    precision: str
    plan: Plan
    memory: int
    seconds: float

    def __str__(self):
        height, width = self.size
        cost = f"{self.memory / 2**30:.2f} GB, {duration(self.seconds)}"
        return f"{width} x {height} pixels, {self.precision}, {self.plan}: {cost}"


def needs(transfer):
    """Peak memory in bytes of a :class:`~nstlib.transfer.StyleTransfer`, in the iterations or in taking its targets."""
    size = transfer.sizes[-1]
    options = {"optimizer": transfer.settings.optimizer, "kept": transfer.floats_per_pixel}
    painted = transfer._scene.outer(size)
    options |= {"reductions": transfer._scene.passes(size), "part": transfer.plans.part_at(painted)}
    iteration = peak_memory(transfer.backbone, painted, transfer.plan_at(size), **options)
    styles = (
        target_memory(transfer.backbone, style, transfer.plans.for_targets(style))
        for style in map(transfer._scene.direction.largest, transfer._scene.style_sizes(size))
    )
    return max(iteration, *styles)


@plain_torch()
def estimate(transfer):
    """Memory and time that a :class:`~nstlib.transfer.StyleTransfer` will need, without running it.

    Time is extrapolated from a few iterations on a picture of at most :data:`PROBE` pixels a side on this device; the
    estimate is as good as the machine is quiet.
    """
    backbone, size = transfer.backbone, transfer.sizes[-1]
    seconds, speeds = 0.0, {}
    longest = min(PROBE, round((PROBE_WORK / backbone.macs_per_pixel) ** 0.5))
    for count, level in zip(transfer.counts, transfer.sizes, strict=True):
        part = transfer.plans.part_at(transfer._scene.outer(level))
        probe = transfer.plan_at(level), tuple(min(side, longest) for side in part)
        if probe not in speeds:
            speeds[probe] = seconds_per_pixel(backbone, *probe, transfer.settings.optimizer)
        passes = 1 + sum(1 / n**2 for n in transfer._scene.passes(level))
        seconds += count * part[0] * part[1] * passes * speeds[probe]
    return Estimate(size, transfer.precision, transfer.plan_at(size), needs(transfer), seconds)


def largest_size(backbone, aspect, budget, *, optimizer="Adam", kept=0.0, margin=0):
    """Longer side in pixels of the largest picture that fits in ``budget`` bytes with the most frugal plan.

    Args:
        aspect: height / width.
        optimizer, kept: as for :func:`~nstlib.transfer.memory.peak_memory`.
        margin: pixels around the picture that are painted too.
    """
    low, high = 16, 2**16
    while high - low > 16:
        middle = (low + high) // 2
        size = fit_size(aspect, 1, middle)
        size = outer(size, margin)
        fits = peak_memory(backbone, size, PLANS[-1], optimizer=optimizer, kept=kept) <= budget
        low, high = (middle, high) if fits else (low, middle)
    return low


def seconds_per_pixel(backbone, plan, size, optimizer):
    """Seconds per pixel of an iteration, timed on a picture of this size."""
    device = backbone.mean.device
    layers = [name for name in backbone.layers if name.startswith("relu") and name.endswith("_1")]
    layers = layers or backbone.layers[-1:]
    taps = [(layer, lambda f, rows, columns: Moments.of(f).tensors) for layer in layers]
    with own_random():
        image = torch.rand(1, 3, *size, dtype=torch.float32).to(device).requires_grad_()
    network = []
    for _ in range(2):
        started = time.perf_counter()
        image.grad = None
        sums = feature_sums(backbone, image, taps, plan)
        loss = sum((second / count).square().sum() for count, _, second in sums) + total_variation(image)
        loss.backward()
        network.append(_elapsed(started, device))
    # L-BFGS is slow only once its history is full. The gradient of a parabola will do to fill it.
    stepper, update = make_optimizer(optimizer, [image]), 0.0
    for _ in range(12):
        image.grad = image.detach().clone()
        started = time.perf_counter()
        stepper.step(lambda: loss.detach())
        update = _elapsed(started, device)
    return (min(network) + update) / (size[0] * size[1])


def _elapsed(started, device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
