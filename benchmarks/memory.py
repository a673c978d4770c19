"""Estimated against measured memory and time.

    python benchmarks/memory.py [--device cuda] [--precision bfloat16] [--cases 0 1 ...]

Each case runs in a process of its own.
"""

import argparse
import sys

import numpy as np
from measure import Peak, in_own_process, network, table

from nstlib import StyleTransfer
from nstlib.features import FULL, Plan
from nstlib.transfer.estimate import estimate

CASES = [
    ("vgg19", (360, 640), FULL),
    ("vgg19", (720, 960), FULL),
    ("vgg19", (720, 960), Plan(2, 256)),
    ("vgg19", (720, 960), Plan(5, 256)),
    ("vgg19", (1080, 1920), Plan(2, 256)),
    ("vgg19", (1080, 1920), Plan(5, 256)),
    ("compact", (512, 512), FULL),
    ("compact", (1080, 1920), FULL),
    ("compact", (1080, 1920), Plan(2, 256)),
    ("compact", (2160, 3840), Plan(5, 256)),
]


def measure(name, size, plan, device, precision):
    """Peak memory in bytes and seconds per iteration: ``(measured, estimated, measured, estimated)``."""
    content = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    options = {"backbone": network(name), "device": device, "levels": 1, "iterations": 3, "optimizer": "Adam"}
    options["precision"] = precision
    for _ in StyleTransfer(content[:64, :64], content[:64, :64], size=64, **options):
        pass  # what is loaded or compiled once is not counted
    with Peak(device) as first:
        transfer = StyleTransfer(content, content, size=max(size), plan=plan, **options)
        next(transfer)
    with Peak(device) as second:
        next(transfer)
    expected = estimate(transfer)
    return first.bytes, expected.memory, second.seconds, expected.seconds / 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--cases", type=int, nargs="+", default=range(len(CASES)), help="numbers of the cases, from 0")
    options = parser.parse_args()
    rows, machine = [], (options.device, options.precision)
    for name, (height, width), plan in (CASES[number] for number in options.cases):
        peak, memory, seconds, guess = in_own_process(measure, name, (height, width), plan, *machine)
        row = [name, f"{width}x{height}", plan]
        row += [f"{peak / 2**30:.2f}", f"{memory / 2**30:.2f}", f"{memory / peak:.2f}"]
        row += [f"{seconds:.2f}", f"{guess:.2f}", f"{guess / seconds:.2f}"]
        rows.append(row)
        print(*row, sep="\t", file=sys.stderr)
    table(["network", "size", "plan", "peak GB", "estimate", "ratio", "s/iteration", "estimate", "ratio"], rows)


if __name__ == "__main__":
    main()
