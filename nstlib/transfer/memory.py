"""Memory: what a plan needs, what is free, and the fastest plan that fits."""

from functools import partial
from pathlib import Path

import psutil
import torch

from ..distributed import processes_here
from ..features.backbone import block_of
from ..features.ranks import ALONE
from ..features.rectangles import check_count, rectangle_of, window_of
from ..features.tiling import FULL, SEGMENTS, Plan, multiply_adds, tile_side
from .optimizers import OPTIMIZERS

#: Plans from the fastest to the most frugal.
PLANS = (FULL, Plan(2, 256), Plan(3, 256), Plan(5, 256), Plan(5, 128))
#: Plans between them: larger tiles have less of a rim.
LARGE_TILES = (Plan(2, 512), Plan(3, 512), Plan(5, 512))
#: Share of the free memory that ``memory="auto"`` uses.
SAFE_SHARE = 0.8
#: Where Linux says what a container may use, and in which folder and files version 2 and version 1 do.
CGROUPS = Path("/sys/fs/cgroup")
CGROUP_FILES = (
    (".", "memory.max", "memory.current"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def peak_memory(backbone, size, plan, *, optimizer="Adam", kept=0.0, part=None, reductions=()):
    """Peak memory in bytes of an iteration at ``size`` (height, width), above the network itself.

    Counts the maps that are alive at the same time: the image's own, the targets, what each segment stores
    between forward and backward pass, and the working space of the segment at work. It is compared with
    measurements in ``benchmarks/memory.py``.

    Args:
        kept: values of the network's type per pixel that the terms keep; see
            :attr:`nstlib.StyleTransfer.floats_per_pixel`.
        part: (height, width) of what this process computes of the picture, if not all.
        reductions: how much the picture is reduced for further passes, if there are any.
    """
    pixels = size[0] * size[1]
    width = torch.finfo(backbone.dtype).bits // 8
    # Image, gradient, mean, last good one, temporaries, content and style; the optimizer's.
    image_maps = (7.5 + OPTIMIZERS[optimizer].copies) * 3 * 4 * pixels
    size = part or size
    kept *= size[0] * size[1] * width
    _, peak = _stored_and_peak(backbone, size, plan)
    kept += sum(_stored_and_peak(backbone, [-(-side // n) for side in size], plan)[0] for n in reductions)
    return int(image_maps + kept + peak + SCRATCH)


def _stored_and_peak(backbone, size, plan):
    """Bytes that a forward pass leaves for the backward pass, and the peak of both."""
    pixels, stored, peak = size[0] * size[1], 0.0, 0.0
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
    return stored, peak


def kept_by(terms, backbone):
    """How many values of the network's type ``terms`` keep per pixel of the picture."""
    return sum(getattr(term, "floats_per_pixel", lambda backbone: 0)(backbone) for term in terms)


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
    """Bytes that are free on a device: the GPU's, or the machine's, as far as a container's limit lets us.

    Processes that torchrun started on one machine get a share of its memory each.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return (
            torch.cuda.mem_get_info(device)[0]
            + torch.cuda.memory_reserved(device)
            - torch.cuda.memory_allocated(device)
        )
    return min(psutil.virtual_memory().available, _left_in_container()) // processes_here()


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
    """The plan that fits with the fewest multiply-adds.

    Args:
        backbone: :class:`~nstlib.features.Backbone`.
        size: (height, width) of the picture.
        memory: ``"auto"`` (fits in the free memory), ``"full"``, ``"tiled"``, a number of bytes, or the plan itself.
        device: whose free memory counts.
        need: :func:`peak_memory` or :func:`target_memory`; ``options`` go to it.

    Returns:
        :class:`~nstlib.features.Plan`; the most frugal one where none fits.
    """
    if isinstance(memory, Plan):
        return memory
    if memory in ("full", "tiled"):
        return FULL if memory == "full" else PLANS[3]
    budget = free_memory(device) * SAFE_SHARE if memory == "auto" else memory
    fitting = [plan for plan in (*PLANS, *LARGE_TILES) if need(backbone, size, plan, **options) <= budget]
    computed = options.get("part") or size
    return min(fitting, key=partial(multiply_adds, backbone, computed), default=PLANS[-1])


class Plans:
    """The plans of a transfer, as its settings or the free memory decide.

    Args:
        backbone: :class:`~nstlib.features.Backbone`.
        device: whose free memory counts.
        memory: as for :func:`plan_for`.
        plan: the only one, if one is given.
        ranks: :class:`~nstlib.features.Ranks` that share every iteration.

    Raises:
        TypeError: ``plan`` is not a :class:`~nstlib.features.Plan`.
    """

    def __init__(self, backbone, device, memory, plan=None, ranks=ALONE):
        if plan is not None and not isinstance(plan, Plan):
            raise TypeError(f"plan must be a Plan or None, received {plan!r}; memory= takes words and bytes")
        self._backbone, self.ranks = backbone, ranks
        self._options = {"memory": plan or memory, "device": device}

    def for_iteration(self, size, optimizer, kept, reductions=()):
        """The :class:`~nstlib.features.Plan` for an iteration at ``size``; see :func:`peak_memory`."""
        options = {"optimizer": optimizer, "kept": kept, "reductions": reductions, "part": self.part_at(size)}
        return plan_for(self._backbone, size, **self._options, **options)

    def part_at(self, size):
        """(height, width) of what this process computes of a picture of ``size``: all, or its rectangle and a rim.

        Raises:
            InputError: there is no rectangle for each rank.
        """
        if self.ranks.count == 1:
            return size
        check_count(self.ranks, size, self._backbone)
        top, left, bottom, right = window_of(rectangle_of(self.ranks, size, self._backbone), size, self._backbone)
        return bottom - top, right - left

    def for_targets(self, size):
        """The plan for one forward pass at ``size``, which for a style may be larger than the result's."""
        return plan_for(self._backbone, size, **self._options, need=target_memory)


def tighten(plan):
    """The next more frugal plan, or None if there is none."""
    return next((other for other in PLANS if _frugality(other) > _frugality(plan)), None)


def more_frugal(plan, other):
    """The one of two plans that needs less memory."""
    return max(plan, other, key=_frugality)


def _frugality(plan):
    return plan.tiled_blocks, -plan.tile if plan.tiled_blocks else 0
