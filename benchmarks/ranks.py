"""What ranks send, what memory each needs, and how much faster they are by a model that contains the rim.

    python benchmarks/ranks.py [--size 1080 1920] [--backbone compact] [--ranks 1 2 4 8]
    python benchmarks/ranks.py --cores [--size 1080 1920] [--backbone vgg19]

With ``--cores``, two ranks with a thread each, on two cores of this machine, are compared with one rank and one thread,
and with what the cores allow: two processes that know nothing of each other and paint a rectangle with its rim each.

Without it, one process plays each rank in turn: what it would send is counted instead of sent, so that the sums are
its own alone, but sizes, work and memory are those of a real run. The model takes the time of a pixel as given: it
says what the rim, the messages and the work that every rank repeats cost.
"""

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
import torch.distributed as dist
from measure import Peak, in_own_process, network, table

from nstlib import StyleTransfer
from nstlib.features.ranks import ALONE, Ranks
from nstlib.features.rectangles import divide, window_of
from nstlib.features.tiling import FULL

#: Bytes per second and direction, as vendors state them, at four fifths.
BANDWIDTHS = {"PCIe 3 x16": 0.8 * 15.8e9, "NVLink 3": 0.8 * 300e9, "10 Gb Ethernet": 0.8 * 1.25e9}
#: Operations per second that convolutions reach, and bytes per second of its memory: a T4's tensor cores at 30 %, 65 %.
OPERATIONS, MEMORY = 0.3 * 65e12, 0.65 * 320e9
#: Passes over the network in an iteration in tiles, and over the picture's memory in a step of L-BFGS, clamp and mean.
PASSES, SWEEPS = 3, 40
SIZES = {"4K": (2160, 3840), "8K": (4320, 7680), "16K": (8640, 15360)}


def pictures(size):
    """A content and a style of this size (height, width), of noise: neither speed nor memory depends on them."""
    content = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    return content, content[::-1]


def measure(name, size, count):
    """Bytes that rank 0 of ``count`` hands over in an iteration, and its peak memory in bytes."""
    sent = []
    ranks = Ranks(0, count, lambda tensor: sent.append(tensor.numel() * tensor.element_size()))
    options = {"backbone": network(name), "device": "cpu", "precision": "float32", "levels": 1, "iterations": 3}
    options["margin"] = 0
    with Peak("cpu") as peak:
        transfer = StyleTransfer(*pictures(size), size=max(size), plan=FULL, optimizer="Adam", ranks=ranks, **options)
        next(transfer)
        sent.clear()
        next(transfer)
    return sum(sent), peak.bytes


def iterate(content, style, ranks=ALONE, iterations=3, **options):
    """Seconds per iteration of Adam on one thread, without the first one."""
    torch.set_num_threads(1)
    options |= {"device": "cpu", "precision": "float32", "levels": 1, "iterations": iterations, "optimizer": "Adam"}
    options["margin"] = 0  # a rank alone has a rectangle with its rim
    transfer, times = StyleTransfer(content, style, ranks=ranks, **options), []
    for _ in transfer:
        times.append(time.perf_counter())
    return (times[-1] - times[0]) / (iterations - 1)


def one_of_two(index, name, size, store):
    """Seconds per iteration of a rank of two; without a ``store``, of its rectangle and rim as a picture of its own."""
    net = network(name)
    if store is None:
        top, left, bottom, right = window_of(divide(size, 2)[index], size, net)
        size = bottom - top, right - left
        return iterate(*pictures(size), backbone=net, size=max(size))
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=index, world_size=2)
    return iterate(*pictures(size), Ranks(index, 2, dist.all_reduce), backbone=net, size=max(size))


def side_by_side(name, size, store):
    """Seconds per iteration of two processes at work at the same time."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        return max(pool.map(one_of_two, range(2), [name] * 2, [size] * 2, [store] * 2))


def alone(name, size):
    """Seconds per iteration of one rank."""
    return iterate(*pictures(size), backbone=network(name), size=max(size))


def print_cores(name, size):
    """The table of --cores."""
    one = in_own_process(alone, name, size)
    apart = side_by_side(name, size, None)
    with tempfile.TemporaryDirectory() as folder:
        two = side_by_side(name, size, f"{folder}/store")
    rows = [["one rank", f"{one:.1f}", "1.00", "-"]]
    rows += [["rectangles with rims, apart", f"{apart:.1f}", f"{one / apart:.2f}", "1.00"]]
    rows += [["two ranks", f"{two:.1f}", f"{one / two:.2f}", f"{apart / two:.2f}"]]
    table(["a thread each", "s/iteration", "speed over one rank", "of what the cores allow"], rows)


def efficiency(backbone, size, count, bandwidth):
    """Speed of so many ranks over that of one, divided by their number."""

    def seconds(ranks):
        windows = [window_of(rectangle, size, backbone) for rectangle in divide(size, ranks)]
        pixels = max((bottom - top) * (right - left) for top, left, bottom, right in windows)
        picture = size[0] * size[1] * 3 * 4
        moments = sum(backbone.channels(f"relu{block}_1") ** 2 * 4 for block in range(1, 6))
        messages = 2 * (ranks - 1) / ranks * (picture + moments) / bandwidth
        return pixels * backbone.macs_per_pixel * 2 * PASSES / OPERATIONS + SWEEPS * picture / MEMORY + messages

    return seconds(1) / seconds(count) / count


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, nargs=2, default=(540, 960), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--backbone", default="compact")
    parser.add_argument("--ranks", type=int, nargs="+", default=(1, 2, 4))
    parser.add_argument("--cores", action="store_true", help="two ranks on two cores of this machine")
    options = parser.parse_args()
    if options.cores:
        return print_cores(options.backbone, tuple(options.size))
    rows = []
    for count in options.ranks:
        sent, peak = in_own_process(measure, options.backbone, tuple(options.size), count)
        rows.append([count, f"{sent / 1e6:.1f}", f"{peak / 2**30:.2f}"])
    table(["ranks", "MB handed over per iteration", "peak GB of a rank"], rows)
    backbone = network("vgg19")
    rows = [
        [name, link, *(f"{efficiency(backbone, size, count, speed):.2f}" for count in (2, 4, 8))]
        for name, size in SIZES.items()
        for link, speed in BANDWIDTHS.items()
    ]
    table(["picture", "link", "2 ranks", "4 ranks", "8 ranks"], rows)


if __name__ == "__main__":
    main()
