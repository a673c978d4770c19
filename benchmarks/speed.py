"""Seconds per iteration and peak memory: the plain loop of the tutorials against nstlib's plans.

    python benchmarks/speed.py [--device cuda] [--sizes 512 1080p 4K] [--network vgg19|compact] [--precision auto]
    python benchmarks/speed.py --profile [--sizes 512] [--precision bfloat16]
    python benchmarks/speed.py --peer CHECKOUT [--device cuda] [--sizes 1024x576 1080p]

The plain loop is that of PyTorch's own style-transfer tutorial: the whole picture, float32, NCHW, every
feature map kept, one forward and one backward pass with five Gram losses and one content loss. Each case runs
in a process of its own. ``--profile`` shows where the time of an untiled iteration goes, beside that of the network's
convolutions alone, which no loop around them can go below. ``--peer`` is for a checkout of
crowsonkb/style-transfer-pytorch; see ``peer.py``.
"""

import argparse
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from measure import Peak, in_own_process, network, synchronize, table
from peer import compare
from profiling import bound, shares

from nstlib import StyleTransfer
from nstlib.features import FULL, STYLE_LAYERS, Plan

SIZES = {
    "256": (256, 256),
    "512": (512, 512),
    "1024x576": (576, 1024),
    "1080p": (1080, 1920),
    "4K": (2160, 3840),
    "8K": (4320, 7680),
}
PLANS = {"auto": None, "untiled": FULL, "blocks 1-2 tiled": Plan(2, 256), "all blocks tiled": Plan(5, 256)}


def plain(net, size, device, iterations):
    """Yield after every iteration of the textbook loop (Adam, to compare like with like)."""
    net = net.to(device)
    content = torch.rand(1, 3, *size, device=device)

    def losses(x, targets):
        x, loss = (x - net.mean) / net.std, 0
        for name in net.layers:
            if name.startswith("conv"):
                x = F.conv2d(x, net.convs[name].weight, net.convs[name].bias, padding=1)
            elif name.startswith("relu"):
                x = F.relu(x)
            else:
                x = F.max_pool2d(x, 2)
            if name in STYLE_LAYERS:
                f = x.view(x.shape[1], -1)
                gram = f @ f.T / f.numel()
                loss = loss + F.mse_loss(gram, targets.setdefault(name, gram.detach()))
            if name == "relu4_2":
                loss = loss + F.mse_loss(x, targets.setdefault(name, x.detach()))
        return loss

    targets = {}
    with torch.no_grad():
        losses(content, targets)
    image = torch.rand_like(content).requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.03)
    for _ in range(iterations):
        optimizer.zero_grad()
        losses(image, targets).backward()
        optimizer.step()
        yield


def ours(net, size, device, iterations, plan, precision):
    content = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    options = {"size": max(size), "levels": 1, "iterations": iterations, "optimizer": "Adam", "plan": plan, "margin": 0}
    return StyleTransfer(content, content, backbone=net, device=device, precision=precision, **options)


def measure(size, method, name, device, iterations, precision="float32"):
    """``(seconds per iteration, peak of memory in bytes)``; the first iteration does not count if there are more."""
    net, times = network(name), []
    with Peak(device) as peak:
        if method == "plain":
            run = plain(net, size, device, iterations)
        else:
            run = ours(net, size, device, iterations, PLANS[method], precision)
        started = time.perf_counter()
        for _ in run:
            synchronize(device)
            times.append(time.perf_counter() - started)
            started = time.perf_counter()
    times = times[1:] or times
    return sum(times) / len(times), peak.bytes


def profiled(size, name, device, iterations, precision):
    """``(seconds per iteration, {part: seconds of it}, seconds of the convolutions alone)``."""
    transfer = ours(network(name), size, device, 2 * iterations + 2, FULL, precision)
    for _ in range(2):
        next(transfer)
    started = time.perf_counter()
    for _ in range(iterations):
        next(transfer)
    synchronize(device)
    # The profiler's own time is left out: its shares are of an iteration without it.
    seconds = (time.perf_counter() - started) / iterations
    found = shares(lambda: next(transfer), iterations, torch.device(device).type == "cuda")
    return seconds, found, bound(transfer.backbone, size)


def print_profile(options):
    """The table of --profile, one row per size."""
    rows = []
    for name in options.sizes or ["512"]:
        case = SIZES[name], options.network, options.device, options.iterations, options.precision
        seconds, found, alone = in_own_process(profiled, *case)
        parts = [f"{100 * part / sum(found.values()):.0f} %" for part in found.values()]
        rows.append([name, f"{seconds:.3f}", *parts, f"{alone:.3f}", f"{seconds / alone:.2f}"])
    table(["size", "s/iteration", *found, "convolutions alone, s", "ratio"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--network", default="vgg19", choices=("vgg19", "compact"))
    parser.add_argument("--sizes", nargs="+", choices=SIZES)
    methods = ["plain", *PLANS]
    parser.add_argument("--methods", nargs="+", choices=methods, default=[m for m in methods if m != "auto"])
    parser.add_argument("--precision", default="float32", help="of nstlib's network; the plain loop is in float32")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="where the time of an iteration goes")
    parser.add_argument("--peer", metavar="CHECKOUT", help="of crowsonkb/style-transfer-pytorch, to compare with it")
    parser.add_argument("--content", default="sample:coffee", help="the picture for --peer (default: %(default)s)")
    parser.add_argument("--style", default="sample:starry_night", help="and the painting (default: %(default)s)")
    options = parser.parse_args()
    if options.peer:
        sizes = {name: SIZES[name] for name in options.sizes or ("1024x576", "1080p")}
        return compare(options.peer, options.content, options.style, sizes, options.device, options.iterations)
    if options.profile:
        return print_profile(options)
    rows = []
    for size in options.sizes or ("512", "1080p", "4K"):
        base = None
        for method in options.methods:
            case = SIZES[size], method, options.network, options.device, options.iterations, options.precision
            try:
                seconds, peak = in_own_process(measure, *case)
            except (RuntimeError, MemoryError) as error:  # the next case may fit
                rows.append([size, method, "-", "-", "out of memory" if "memory" in str(error) else "failed"])
                print(error, file=sys.stderr, flush=True)
                continue
            base = base or (seconds, peak)
            ratio = f"{seconds / base[0]:.2f} / {peak / base[1]:.2f}"
            rows.append([size, method, f"{seconds:.2f}", f"{peak / 2**30:.2f}", ratio])
            print(*rows[-1], sep="\t", file=sys.stderr, flush=True)
    table(["size", "method", "s/iteration", "peak GB", "time / memory of the first row"], rows)


if __name__ == "__main__":
    main()
