"""Estimated against measured memory and time, each case in a process of its own.

python benchmarks/memory.py [--device cuda]
"""

import argparse
import json
import subprocess
import sys

import numpy as np
from measure import Peak, network, table

from nstlib import StyleTransfer
from nstlib.features.tiling import Plan
from nstlib.transfer.memory import FULL, estimate

CASES = [
    ("vgg19", 360, 640, FULL), ("vgg19", 720, 960, FULL),
    ("vgg19", 720, 960, Plan(2, 256)), ("vgg19", 720, 960, Plan(5, 256)),
    ("vgg19", 1080, 1920, Plan(2, 256)), ("vgg19", 1080, 1920, Plan(5, 256)),
    ("compact", 512, 512, FULL), ("compact", 1080, 1920, FULL), ("compact", 1080, 1920, Plan(2, 256)),
    ("compact", 2160, 3840, Plan(5, 256)),
]  # fmt: skip


def measure(name, height, width, blocks, tile, device):
    plan = Plan(blocks, tile)
    content = np.random.default_rng(0).random((height, width, 3), dtype=np.float32)
    net = network(name)
    options = {"backbone": net, "device": device, "levels": 1, "iterations": 3, "optimizer": "Adam"}
    for _ in StyleTransfer(content[:64, :64], content[:64, :64], size=64, **options):
        pass
    with Peak(device) as peak:
        transfer = StyleTransfer(content, content, size=max(height, width), plan=plan, **options)
        next(transfer)
    with Peak(device) as step:
        next(transfer)
    needs = estimate(transfer)
    print(json.dumps([peak.bytes, needs.memory, step.seconds, needs.seconds / 3]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--case", nargs=5)
    options = parser.parse_args()
    if options.case:
        name, *numbers = options.case
        measure(name, *map(int, numbers), options.device)
        return
    rows = []
    for name, height, width, plan in CASES:
        case = [name, *map(str, (height, width, plan.tiled_blocks, plan.tile))]
        done = subprocess.run(
            [sys.executable, __file__, "--device", options.device, "--case", *case],
            capture_output=True,
            text=True,
            check=True,
        )
        measured, expected, seconds, guess = json.loads(done.stdout.splitlines()[-1])
        rows.append(
            [
                name,
                f"{width}x{height}",
                plan,
                f"{measured / 2**30:.2f}",
                f"{expected / 2**30:.2f}",
                f"{expected / measured:.2f}",
                f"{seconds:.2f}",
                f"{guess:.2f}",
                f"{guess / seconds:.2f}",
            ]
        )
        print(rows[-1], file=sys.stderr)
    table(["network", "size", "plan", "peak GB", "estimate", "ratio", "s/iteration", "estimate", "ratio"], rows)


if __name__ == "__main__":
    main()
