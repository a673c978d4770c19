"""What the benchmark scripts share: memory peaks, random-weight networks, tables."""

import resource
import sys
import time

import torch

from nstlib.features import ARCHITECTURES, Backbone
from nstlib.features.pretrained import load_backbone


def network(name):
    """``compact`` as it ships, or VGG-19 with random weights: speed and memory do not depend on them."""
    if name == "compact":
        return load_backbone("compact")
    torch.manual_seed(0)
    return Backbone(ARCHITECTURES[name], deepest="relu5_1", padding="replicate").requires_grad_(False)


class Peak:
    """Context that measures the peak of memory in bytes above what was held at its start, and the seconds.

    On a GPU torch's own counter, on Linux the kernel's high-water mark.
    """

    def __init__(self, device="cpu"):
        self.cuda = torch.device(device).type == "cuda"

    def __enter__(self):
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.base = torch.cuda.memory_allocated()
        else:
            self.base = self._reset()
        self.started = time.perf_counter()
        return self

    def __exit__(self, *exception):
        if self.cuda:
            torch.cuda.synchronize()
            self.bytes = torch.cuda.max_memory_allocated() - self.base
        else:
            self.bytes = self._high_water() - self.base
        self.seconds = time.perf_counter() - self.started

    @staticmethod
    def _reset():
        if sys.platform != "linux":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return Peak._high_water()

    @staticmethod
    def _high_water():
        if sys.platform != "linux":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with open("/proc/self/status") as file:
            return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) * 1024


def table(header, rows):
    """Print a Markdown table."""
    rows = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    for number, row in enumerate(rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |", flush=True)
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
