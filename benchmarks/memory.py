"""Estimated against measured memory and time.

    python benchmarks/memory.py [--device cuda] [--precision bfloat16] [--cases 0 1 ...]
    python benchmarks/memory.py --plans 720 960 [--network vgg19]

Each case runs in a process of its own.

With ``--plans``, every plan is timed at one size; and for each budget that is just enough for one of them, the plan
that ``memory=BUDGET`` picks is compared with the fastest that fits.
"""

import argparse
import sys

import numpy as np
from measure import Peak, in_own_process, network, table

from nstlib import StyleTransfer
from nstlib.features import FULL, Plan
from nstlib.transfer.estimate import estimate
from nstlib.transfer.memory import LARGE_TILES, PLANS, peak_memory, plan_for

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


def time_plans(name, size, device, precision, rounds=3):
    """``[(plan, bytes that it is said to need, seconds, plan picked with so many bytes)]``; the plans take turns.

    The seconds are those of the fastest iteration.
    """
    content = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    options = {"backbone": network(name), "device": device, "levels": 1, "optimizer": "Adam", "precision": precision}
    plans = [*PLANS, *LARGE_TILES]
    transfers = [StyleTransfer(content, content, size=max(size), plan=plan, **options) for plan in plans]
    seconds = [[] for _ in plans]
    for step in range(1 + rounds):
        for transfer, own in zip(transfers, seconds, strict=True):
            with Peak(device) as iteration:
                next(transfer)
            own += [iteration.seconds] * (step > 0)
    backbone, known = transfers[0].backbone, {"optimizer": "Adam", "kept": transfers[0].floats_per_pixel}
    needs = [peak_memory(backbone, size, plan, **known) for plan in plans]
    picked = [plan_for(backbone, size, need, **known) for need in needs]
    return list(zip(plans, needs, map(min, seconds), picked, strict=True))


def print_plans(*case):
    """The table of --plans."""
    found, rows = in_own_process(time_plans, *case), []
    cost = {plan: seconds for plan, _, seconds, _ in found}
    for plan, need, seconds, picked in sorted(found, key=lambda row: -row[1]):
        best = min((other for other, least, *_ in found if least <= need), key=cost.get)
        rows.append([plan, f"{need / 2**30:.2f}", f"{seconds:.2f}", picked, best, f"{cost[picked] / cost[best]:.2f}"])
    table(["plan", "GB", "s/iteration", "picked with that much memory", "fastest that fits", "ratio"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--cases", type=int, nargs="+", default=range(len(CASES)), help="numbers of the cases, from 0")
    parser.add_argument("--plans", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="all plans at this size")
    parser.add_argument("--network", default="vgg19", help="of --plans")
    options = parser.parse_args()
    if options.plans:
        return print_plans(options.network, tuple(options.plans), options.device, options.precision)
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
