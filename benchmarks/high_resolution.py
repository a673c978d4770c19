"""Three roads to a large picture, compared: time, memory, seams, and what they make of content and style.

    python benchmarks/high_resolution.py CONTENT STYLE --size 3840 [--backbone compact] [--iterations 120]
        [--vgg19 FILE --distilled FILE] [--output FOLDER]

- ``exact``: tiled gradients through the whole pyramid; ``untiled`` is the same without tiles, if it is asked for.
- ``upscale``: a picture of half (a quarter of) the size, enlarged by super-resolution.
- ``split``: a picture of a quarter of the size, enlarged, painted tile by tile and stitched; with the moments shared
  between the tiles, and without.

Each road runs in a process of its own. The seam ratio is :func:`nstlib.metrics.seam_ratio` at the borders of the road's
own tiles, divided by that of the untiled picture (of the photograph, if ``untiled`` is not asked for) at the same
lines, as edges of the picture itself lie there too. Beside it stand mean and standard deviation of the same number at
other lines, where nothing was cut. The losses are those of the finished picture at its full size in the eyes of a
reference: VGG-19, or, with the two files, the teachers of the compact network.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from distillation import goals_of, losses, teachers
from measure import Peak, table

from nstlib import load_image, save_image, stylize
from nstlib.images import fit_size, resize
from nstlib.metrics import seam_ratio, seams
from nstlib.networks.upscale import load_upscaler, upscale_tensor
from nstlib.training.teacher import Teacher
from nstlib.transfer.memory import PLANS
from nstlib.transfer.split import Grid, stylize_tiles

ROADS = {
    "untiled": "untiled",
    "exact": "exact, all blocks tiled",
    "upscale2": "painted at half the size, upscaled x2",
    "upscale4": "painted at a quarter of the size, upscaled x4",
    "split": "split and stitched, moments shared",
    "alone": "split and stitched, every tile alone",
}
TILE, OVERLAP, ROUNDS = 512, 64, 2
EXACT_PLAN = PLANS[3]


def paint(road, content, style, options):
    """The picture that a road makes."""
    common = {"backbone": options.backbone, "style_weight": options.style_weight, "precision": options.precision}
    whole = {**common, "iterations": options.iterations}
    size = options.size
    if road in ("untiled", "exact"):
        return stylize(content, style, size=size, memory="full" if road == "untiled" else "tiled", **whole)
    if road.startswith("upscale"):
        scale = int(road[-1])
        return stylize(content, style, size=size // scale, upscale=scale, **whole)
    start = stylize(content, style, size=size // 4, **whole)
    return stylize_tiles(
        content, style, size=size, init=start, tile=TILE, overlap=OVERLAP, rounds=ROUNDS,
        iterations=options.tile_iterations, share_moments=road == "split", **common,
    )  # fmt: skip


def borders(road, height, width):
    """``(rows, columns)`` at which the tiles of a road begin."""
    if road in ("split", "alone"):
        return Grid(height, width, TILE, OVERLAP).seams
    return seams(EXACT_PLAN, height, width)


def relative_seams(image, plain, lines):
    """Seam ratio over that of ``plain``, as text: at the lines, and at others beside them."""

    def at(shift):
        moved = [[place + shift for place in axis] for axis in lines]
        return seam_ratio(image, moved) / seam_ratio(plain, moved)

    others = torch.tensor([at(shift) for shift in range(-60, 61, 5) if shift])
    return f"{at(0):.3f}", f"{others.mean():.2f} ± {others.std():.2f}"


def load_content(options):
    """The photograph, enlarged by super-resolution if it is less than half as large, cut to the aspect ratio."""
    content = load_image(options.content)
    if max(content.shape[2:]) * 2 < options.size:
        content = upscale_tensor(content, load_upscaler(4))
    across, down = map(int, options.aspect.split(":"))
    height, width = content.shape[2:]
    rows, columns = min(height, width * down // across), min(width, height * across // down)
    top, left = (height - rows) // 2, (width - columns) // 2
    return content[..., top : top + rows, left : left + columns]


def run_one(road, options):
    """Paint, write the picture, print seconds and peak memory."""
    content, style = load_content(options), load_image(options.style)
    with Peak("cuda" if torch.cuda.is_available() else "cpu") as peak:
        painted = paint(road, content, style, options)
    save_image(painted, Path(options.output) / f"{road}_{options.size}.png")
    print(json.dumps([peak.seconds, peak.bytes]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--size", type=int, default=1920)
    parser.add_argument("--aspect", default="16:9", help="the photograph is cut to this (default: %(default)s)")
    parser.add_argument("--backbone", default="compact")
    parser.add_argument("--precision", default="auto", help="float64 shows tiles without what rounding makes of them")
    parser.add_argument("--style-weight", type=float, default=20.0)
    parser.add_argument("--iterations", type=int, default=120)
    parser.add_argument("--tile-iterations", type=int, default=24)
    parser.add_argument("--roads", nargs="+", choices=ROADS, default=[road for road in ROADS if road != "untiled"])
    parser.add_argument("--vgg19")
    parser.add_argument("--distilled")
    parser.add_argument("--output", default=".")
    parser.add_argument("--one", choices=ROADS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, options)
        return
    reference = teachers(options.vgg19, options.distilled) if options.distilled else Teacher.vgg19()
    reference = reference.to(memory_format=torch.channels_last)
    content, style = load_content(options), load_image(options.style)
    size = fit_size(*content.shape[2:], options.size)
    content = resize(content, size)
    own = style.shape[2:]
    style = resize(style, fit_size(*own, min(max(size), max(own))))
    goals = goals_of(reference, content, style)
    rows, plain = [], content
    for road in ("photograph", *(road for road in ROADS if road in options.roads)):
        cost, image = ["", ""], content
        if road in ROADS:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", road]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if done.returncode:
                sys.exit(f"{road} failed")
            seconds, peak = json.loads(done.stdout.splitlines()[-1])
            cost = [f"{seconds:.0f}", f"{peak / 2**30:.2f}"]
            image = load_image(Path(options.output) / f"{road}_{options.size}.png")
        if road == "untiled":
            plain = image
        seam = ("", "") if image is plain else relative_seams(image, plain, borders(road, *size))
        with torch.no_grad():
            content_part, style_part = (loss.item() for loss in losses(reference, image, goals))
        name = ROADS.get(road, "the photograph")
        rows.append([name, *cost, *seam, f"{content_part:.3f}", f"{style_part:.4f}"])
        print(*rows[-1], sep="\t", file=sys.stderr, flush=True)
    print(f"{size[1]} x {size[0]}")
    table(["road", "seconds", "peak GB", "seam ratio", "at other lines", "content loss", "style loss"], rows)


if __name__ == "__main__":
    main()
