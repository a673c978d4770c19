"""What a transfer will need, before it starts: the memory of a plan, the plan for a budget, the time."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from ..features.backbone import block_of
from ..features.tiling import FULL, SEGMENTS, Plan, feature_sums, tile_side
from ..images import fit_size
from ..losses import total_variation
from ..moments import Moments
from .optimizers import make_optimizer

#: Plans from the fastest to the most frugal.
PLANS = (FULL, Plan(2, 256), Plan(3, 256), Plan(5, 256), Plan(5, 128))
#: State of the optimizers, in maps of the picture's size; one that is not listed counts as Adam.
OPTIMIZER_COPIES = {"Adam": 2, "AdamW": 2, "NAdam": 2, "RMSprop": 1, "SGD": 1, "LBFGS": 24}
#: Work of the timing probe in multiply-adds: 768 x 768 pixels with VGG-19, more with smaller networks.
PROBE_WORK = 2.1e11
#: Longest side of the timing probe in pixels. Untiled, large pictures take more time per pixel.
PROBE = 2048
#: Share of the free memory that ``memory="auto"`` uses.
SAFE_SHARE = 0.8
#: Where Linux says what a container may use, and in which folder and files version 2 and version 1 do.
CGROUPS = Path("/sys/fs/cgroup")
CGROUP_FILES = (
    (".", "memory.max", "memory.current"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


@dataclass(frozen=True)
class Estimate:
    """What a transfer will need.

    Attributes:
        size: (height, width) of the result.
        plan: :class:`~nstlib.features.Plan` of the finest level.
        memory: peak in bytes, above what the process holds once the network is loaded.
        seconds: of all iterations together.
    """

    size: tuple
    plan: Plan
    memory: int
    seconds: float

    def __str__(self):
        height, width = self.size
        return f"{width} x {height} pixels, {self.plan}: {self.memory / 2**30:.2f} GB, {_duration(self.seconds)}"


def peak_memory(backbone, size, plan, *, optimizer="Adam", content_layers=("relu4_2",)):
    """Peak memory in bytes of an iteration at ``size`` (height, width), above the network itself.

    Counts the maps that are alive at the same time: the image's own, the targets, what each segment stores
    between forward and backward pass, and the working space of the segment at work. It is compared with
    measurements in ``benchmarks/memory.py``.
    """
    pixels = size[0] * size[1]
    width = torch.finfo(backbone.dtype).bits // 8
    # Image, gradient, mean, last good image (in half precision), temporaries, content and style; the optimizer's.
    image_maps = (7 + OPTIMIZER_COPIES.get(optimizer, 2)) * 3 * 4 * pixels
    targets = sum(
        backbone.channels(layer) * pixels * width / 4 ** backbone.downsampling(layer) for layer in content_layers
    )
    stored, peak = 0.0, 0.0
    for segment in _segments(backbone):
        blocks, graph, transient, entry, output = segment
        if blocks[-1] <= plan.tiled_blocks:
            area = _tile_area(plan, blocks[0] - 1, size)
            work = area * (graph + transient) + pixels * (entry + 2 * output)
            stored += pixels * output
            peak = max(peak, stored + work - pixels * output)
        else:
            stored += pixels * graph
            peak = max(peak, stored + pixels * transient)
    return int(image_maps + targets + peak + SCRATCH)


def target_memory(backbone, size, plan):
    """Peak memory in bytes of taking a style's moments at ``size`` (height, width), above the network itself."""
    pixels, peak = size[0] * size[1], 0.0
    for blocks, _, transient, entry, output in _segments(backbone):
        area = _tile_area(plan, blocks[0] - 1, size) if blocks[-1] <= plan.tiled_blocks else pixels
        peak = max(peak, area * transient + pixels * (entry + output))
    return int(2 * 3 * 4 * pixels + peak + SCRATCH)


def _segments(backbone):
    """Of each segment of the network: its blocks, and bytes per pixel of the picture.

    The bytes are those of what autograd keeps, of the working space of its widest layer, of its input and output.
    """
    width = torch.finfo(backbone.dtype).bits // 8
    for blocks in SEGMENTS:
        names = [name for name in backbone.layers if block_of(name) in blocks]
        if not names:
            return
        level = blocks[0] - 1
        maps = [backbone.channels(n) * width / 4 ** backbone.downsampling(n) for n in names if n.startswith("conv")]
        # Besides its values, max pooling stores the place of each, in 8 bytes.
        index = 8 if backbone.pooling == "max" else 0
        pools = [
            backbone.channels(n) * (width + index) / 4 ** backbone.downsampling(n)
            for n in names
            if n.startswith("pool")
        ]
        entry = (backbone.channels(f"pool{level}") * width if level else 3 * width) / 4**level
        # The first block also keeps the image shifted, scaled and padded.
        graph = sum(maps) + sum(pools) + (0 if level else 5 * entry)
        transient = 3 * max(maps)  # gradients of a layer's output and input, and of its moments
        output = pools[-1] * width / (width + index) if names[-1].startswith("pool") else 0
        yield blocks, graph, transient, entry, output


def _tile_area(plan, level, size):
    """Pixels of the picture that a tile of a segment computes, rim included."""
    side = (tile_side(plan, level) + 12) << level
    return min(side, size[0]) * min(side, size[1])


#: Scratch space of the convolutions and slack of the allocator, in bytes; measured.
SCRATCH = 110e6


def free_memory(device):
    """Bytes that are free on a device: the GPU's, or the machine's, as far as a container's limit lets us."""
    device = torch.device(device)
    if device.type == "cuda":
        return (
            torch.cuda.mem_get_info(device)[0]
            + torch.cuda.memory_reserved(device)
            - torch.cuda.memory_allocated(device)
        )
    return min(psutil.virtual_memory().available, _left_in_container())


def _left_in_container():
    for folder, limit, use in CGROUP_FILES:
        folder = CGROUPS / folder
        try:
            lines = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
            # Files that were read lately count as use, but give way.
            reclaimable = sum(int(number) for name, number in lines if name == "inactive_file")
            return max(0, int((folder / limit).read_text()) - int((folder / use).read_text()) + reclaimable)
        except (OSError, ValueError):  # no such file, or the word "max"
            continue
    return 2**63


def plan_for(backbone, size, memory, *, device="cpu", need=peak_memory, **options):
    """The fastest plan that fits.

    Args:
        backbone: :class:`~nstlib.features.Backbone`.
        size: (height, width) of the picture.
        memory: ``"auto"`` (fits in the free memory), ``"full"``, ``"tiled"`` or a number of bytes.
        device: whose free memory counts.
        need: :func:`peak_memory` or :func:`target_memory`; ``options`` go to it.

    Returns:
        :class:`~nstlib.features.Plan`; the most frugal one where none fits.
    """
    if memory in ("full", "tiled"):
        return FULL if memory == "full" else PLANS[3]
    budget = free_memory(device) * SAFE_SHARE if memory == "auto" else memory
    plans = PLANS
    if memory == "auto" and torch.device(device).type == "cpu" and size[0] * size[1] > 512 * 512:
        plans = PLANS[1:]  # tiles fit the caches: faster than untiled
    return next((plan for plan in plans if need(backbone, size, plan, **options) <= budget), PLANS[-1])


def tighten(plan):
    """The next more frugal plan, or None if there is none."""
    return next((other for other in PLANS if _frugality(other) > _frugality(plan)), None)


def more_frugal(plan, other):
    """The one of two plans that needs less memory."""
    return max(plan, other, key=_frugality)


def _frugality(plan):
    return plan.tiled_blocks, -plan.tile if plan.tiled_blocks else 0


def is_out_of_memory(error):
    """Whether an exception means that memory ran out, on a GPU or on the CPU."""
    texts = ("can't allocate memory", "not enough memory", "out of memory", "_STATUS_ALLOC_FAILED")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(text in str(error) for text in texts)


def needs(transfer):
    """Peak memory in bytes of a :class:`~nstlib.transfer.StyleTransfer`, in the iterations or in taking its targets."""
    s, size = transfer.settings, transfer.sizes[-1]
    options = {"optimizer": s.optimizer, "content_layers": s.content_layers}
    iteration = peak_memory(transfer.backbone, size, transfer.plan_at(size), **options)
    styles = (
        target_memory(transfer.backbone, style, transfer.plan_for_style(style)) for style in transfer.style_sizes(size)
    )
    return max(iteration, *styles)


def estimate(transfer):
    """Memory and time that a :class:`~nstlib.transfer.StyleTransfer` will need, without running it.

    Time is extrapolated from a few iterations on a picture of at most :data:`PROBE` pixels a side on this device; the
    estimate is as good as the machine is quiet.
    """
    backbone, size = transfer.backbone, transfer.sizes[-1]
    seconds, speeds = 0.0, {}
    longest = min(PROBE, round((PROBE_WORK / backbone.macs_per_pixel) ** 0.5))
    for count, level in zip(transfer.counts, transfer.sizes, strict=True):
        probe = transfer.plan_at(level), tuple(min(side, longest) for side in level)
        if probe not in speeds:
            speeds[probe] = _seconds_per_pixel(backbone, *probe, transfer.settings.optimizer)
        seconds += count * level[0] * level[1] * speeds[probe]
    return Estimate(size, transfer.plan_at(size), needs(transfer), seconds)


def largest_size(backbone, aspect, budget, *, optimizer="Adam", content_layers=("relu4_2",)):
    """Longer side in pixels of the largest picture that fits in ``budget`` bytes with the most frugal plan.

    Args:
        aspect: height / width.
    """
    low, high = 16, 2**16
    while high - low > 16:
        middle = (low + high) // 2
        size = fit_size(aspect, 1, middle)
        fits = peak_memory(backbone, size, PLANS[-1], optimizer=optimizer, content_layers=content_layers) <= budget
        low, high = (middle, high) if fits else (low, middle)
    return low


def _seconds_per_pixel(backbone, plan, size, optimizer):
    """Seconds per pixel of an iteration, timed on a picture of this size."""
    device = backbone.mean.device
    layers = [name for name in backbone.layers if name.startswith("relu") and name.endswith("_1")]
    taps = [(layer, lambda f, rows, columns: Moments.of(f).tensors) for layer in layers]
    image = torch.rand(1, 3, *size, device=device, dtype=torch.float32, requires_grad=True)
    network = []
    for _ in range(2):
        started = time.perf_counter()
        image.grad = None
        sums = feature_sums(backbone, image, taps, plan)
        loss = sum((second / count).square().sum() for count, _, second in sums) + total_variation(image)
        loss.backward()
        network.append(_elapsed(started, device))
    # L-BFGS is slow only once its history is full. The gradient of a parabola will do to fill it.
    stepper, update = make_optimizer(optimizer, image), 0.0
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


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
