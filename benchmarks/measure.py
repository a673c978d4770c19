"""What the benchmarks share: processes for their cases, peaks of memory, networks, losses of a picture, tables."""

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from nstlib import Backbone, StyleTransfer, load_backbone
from nstlib.features import ARCHITECTURES


def in_own_process(case, *arguments):
    """``case(*arguments)`` in a new process: neither memory nor compiled kernels are left from the case before.

    Args:
        case: function of a module, or of the script that is run.
        *arguments: what can be pickled.

    Raises:
        BrokenProcessPool: the process was killed, on Linux because memory ran out.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(case, *arguments).result()


def network(name):
    """``compact`` as it ships, or another with random weights: speed and memory do not depend on them."""
    if name == "compact":
        return load_backbone("compact")
    return Backbone.random(ARCHITECTURES[name], deepest="relu5_1", padding="replicate")


def losses(picture, content, style, backbone, size):
    """``(content loss, style loss)`` of a finished picture, measured with the features of a network.

    Args:
        picture: whatever :func:`nstlib.load_image` takes.
        content, style: what it was painted from.
        backbone: :class:`nstlib.Backbone`.
        size: longer side of the picture, in pixels.
    """
    options = {"backbone": backbone, "size": size, "levels": 1, "iterations": 1, "precision": "float32"}
    options["margin"] = 0
    # A step reports the losses of the picture that it begins with.
    step = next(StyleTransfer(content, style, init=picture, **options))
    return step.losses["content"], step.losses["style"]


def synchronize(device):
    """Wait until a GPU has done what it was given; a CPU has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


class Peak:
    """Context manager that measures time and memory.

    Args:
        device: on a GPU torch's own counter is read, on the CPU the kernel's high-water mark.

    Attributes:
        bytes: peak above what was held at the start.
        seconds: from start to end.
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


def markdown(header, rows):
    """A Markdown table as text."""
    rows = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def table(header, rows):
    """Print a Markdown table."""
    print(markdown(header, rows), flush=True)
