"""What only a GPU can show, in one command that takes less than nine minutes.

    python benchmarks/gpu.py [--parts half tiles memory speed picture compile] [--output FOLDER]
    python benchmarks/gpu.py --device cpu --rehearse

- ``half``: final loss of pictures painted in half precision over that of single precision; see ``half_precision.py``.
- ``tiles``: relative difference of the losses with tiles and without, and largest difference of the pictures.
- ``memory``: a transfer that is planned untiled on a card whose memory does not suffice for that.
- ``speed``: seconds per iteration and peak memory, the plain loop of the tutorials beside ``precision="auto"``.
- ``picture``: one of 4K from beginning to end, on cards of 40 GB or more.
- ``compile``: how long ``torch.compile`` takes to start and what it gains.

A part that is not begun in time is left out and named. The rehearsal is the same with small pictures.
"""

import argparse
import gc
import tempfile
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import half_precision
import speed
import torch
from measure import Peak, network, synchronize, table

from nstlib import InputError, StyleTransfer, save_image, stylize
from nstlib.ambient import is_out_of_memory, usable_device
from nstlib.features import FULL, Plan
from nstlib.images import load_image, resize
from nstlib.transfer.memory import peak_memory

#: Seconds after which no further part begins. Compiling, the longest, took two and a half minutes on a CPU.
LATEST = 6 * 60
LARGE_CARD = 40e9
CONTENT, STYLE = "sample:astronaut", "sample:great_wave"


def half(options):
    """The evidence for half precision, on fewer pairs."""
    half_precision.pictures(
        argparse.Namespace(
            networks=options.networks,
            precision="float16" if options.cuda else "bfloat16",
            size=options.side(256),
            iterations=options.count(100),
            device=options.device,
            pairs=1 if options.rehearse else 2,
            output=options.output,
        )
    )


def tiles(options):
    rows = []
    for name in options.networks:
        for precision in ("float32", "auto"):
            common = {"size": options.side(512), "levels": 1, "optimizer": "Adam", "precision": precision}
            common |= {"backbone": network(name), "device": options.device, "iterations": 10}
            whole, tiled = (StyleTransfer(CONTENT, STYLE, plan=plan, **common) for plan in (FULL, Plan(5, 64)))
            differences = []
            for first, second in zip(whole, tiled, strict=True):
                pair = first.losses["total"], second.losses["total"]
                differences.append((abs(pair[1] / pair[0] - 1), (first.image - second.image).abs().max().item()))
            found = (f"{number:.1e}" for number in (*differences[0], *differences[-1]))
            rows.append((name, whole.precision, *found))
    table(("network", "precision", "loss of the start", "pixel after 1", "loss after 9", "pixel after 10"), rows)


def memory(options):
    """Twice the memory of the most frugal plan, where the untiled one needs many times that."""
    name, size = options.networks[0], options.size("1080p")
    net, rows = network(name), []
    common = {"size": max(size), "levels": 1, "optimizer": "Adam", "device": options.device, "plan": FULL}
    content = resize(load_image(CONTENT), size)
    with capped(options, 2 * peak_memory(net, size, Plan(5, 128))), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        transfer = StyleTransfer(content, STYLE, backbone=net, precision="float32", iterations=2, **common)
        for step in transfer:
            rows.append((step.iteration, transfer.plan, f"{step.losses['total']:.4g}"))
    table(("iteration", "plan", "loss"), rows)
    print(*(f"- {warning.message}" for warning in told), sep="\n")


@contextmanager
def capped(options, size):
    """Context in which torch may take so many bytes of the card more than now."""
    if not options.cuda:
        yield print("(the memory of a CPU is not capped)\n")
        return
    clean()
    total = torch.cuda.get_device_properties(options.device).total_memory
    share = min(1.0, (torch.cuda.memory_reserved(options.device) + size) / total)
    torch.cuda.set_per_process_memory_fraction(share, options.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, options.device)


def compiling(options):
    rows, name = [], options.networks[0]
    common = {"size": options.side(512), "levels": 1, "optimizer": "Adam", "device": options.device, "iterations": 12}
    for compiled in (False, True):
        transfer = StyleTransfer(CONTENT, STYLE, backbone=network(name), compile=compiled, **common)
        times = []
        for _ in range(12):
            started = time.perf_counter()
            next(transfer)
            synchronize(options.device)
            times.append(time.perf_counter() - started)
        word = "compiled" if compiled else "eager"
        rows.append((name, word, transfer.precision, f"{times[0]:.1f}", f"{sorted(times[2:])[5]:.4f}"))
    table(("network", "way", "precision", "first iteration, s", "s/iteration"), rows)


def speeds(options):
    rows = []
    for size in ("512", "1080p", "4K", *(["8K"] if options.large else [])):
        for name in options.networks:
            for method, precision in (("plain", "float32"), ("auto", "auto")):
                row = size, name, "plain loop" if method == "plain" else "nstlib", precision
                try:
                    seconds, peak = speed.measure(options.size(size), method, name, options.device, 5, precision)
                    rows.append((*row, f"{seconds:.4f}", f"{peak / 2**30:.2f}"))
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    rows.append((*row, "does not fit", "-"))
                clean()
    table(("size", "network", "method", "precision", "s/iteration", "peak GB"), rows)


def picture(options):
    if not options.large:
        return print("left out: the card has less than 40 GB")
    size, name = options.size("4K"), options.networks[0]
    with Peak(options.device) as peak:
        painted = stylize(
            resize(load_image(CONTENT), size),
            STYLE,
            size=max(size),
            iterations=options.count(250),
            backbone=name,
            device=options.device,
            progress=False,
        )
    save_image(painted, options.output / "4K.jpg")
    table(("picture", "network", "s", "peak GB"), [("4K", name, f"{peak.seconds:.0f}", f"{peak.bytes / 2**30:.2f}")])


PARTS = {"half": half, "tiles": tiles, "memory": memory, "speed": speeds, "picture": picture, "compile": compiling}


class Options(argparse.Namespace):
    """What the parts need: the real sizes and counts, or those of a rehearsal."""

    @property
    def cuda(self):
        return torch.device(self.device).type == "cuda"

    @property
    def large(self):
        return self.rehearse or (self.cuda and torch.cuda.get_device_properties(self.device).total_memory >= LARGE_CARD)

    def size(self, name):
        return tuple(max(32, side // 32) for side in speed.SIZES[name]) if self.rehearse else speed.SIZES[name]

    def side(self, pixels):
        return 64 if self.rehearse else pixels

    def count(self, iterations):
        return 3 if self.rehearse else iterations


def clean():
    """Nothing of the last case stays in the card's memory."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def machine(options):
    if not options.cuda:
        return options.device
    card = torch.cuda.get_device_properties(options.device)
    return f"{card.name}, {card.total_memory / 2**30:.0f} GB"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    # With its index: torch's cap of the memory takes no other.
    parser.add_argument("--device", default="cuda", type=lambda name: str(usable_device(name)))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--networks", nargs="+", default=["vgg19", "compact"])
    parser.add_argument("--output", type=Path, help="folder for the pictures, by default a new one")
    parser.add_argument("--rehearse", action="store_true", help="small pictures and few iterations")
    options = parser.parse_args(arguments, namespace=Options())
    options.output = options.output or Path(tempfile.mkdtemp())
    started = time.monotonic()
    print(machine(options), f"torch {torch.__version__}", f"pictures in {options.output}", sep="; ", flush=True)
    for name in options.parts:
        print(f"\n## {name} (after {time.monotonic() - started:.0f} s)\n", flush=True)
        if time.monotonic() - started > LATEST:
            print("left out: it is late")
            continue
        try:
            PARTS[name](options)
        except InputError as error:  # VGG-19 may not be installed
            print(f"left out: {error}")
        clean()
    print(f"\n{time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
