"""Three ways to a large picture, compared: time, memory, seams, content and style loss.

    python benchmarks/high_resolution.py CONTENT STYLE --size 3840 [--backbone compact] [--iterations 120]
        [--vgg19 FILE] [--output FOLDER]

- ``exact``: tiled gradients through the whole pyramid; ``untiled`` is the same without tiles, if it is asked for.
- ``upscale2`` and ``upscale4``: a picture of half and of a quarter of the size, enlarged by super-resolution.
- ``split`` and ``alone``: a picture of a quarter of the size, enlarged, painted tile by tile and stitched; with the
  moments shared between the tiles, and without.

Each method runs in a process of its own. The seam ratio is :func:`nstlib.metrics.seam_ratio` at the borders of the
method's own tiles, divided by that of the untiled picture (of the photograph, if ``untiled`` is not asked for) at the
same lines, since edges of the picture itself may lie there. Beside it stand mean and standard deviation of the same
number at other lines, where no tiles meet. The losses are those of the finished picture at its full size, measured with
VGG-19.
"""

import argparse
import sys
from pathlib import Path

import torch
from measure import Peak, in_own_process, losses, table

from nstlib import load_backbone, load_image, save_image, stylize, stylize_tiles
from nstlib.features import Plan
from nstlib.images import fit_size, resize
from nstlib.metrics import seam_ratio, seams
from nstlib.networks.upscale import load_upscaler, upscale_tensor
from nstlib.transfer.split import Grid

METHODS = {
    "untiled": "untiled",
    "exact": "exact, all blocks tiled",
    "upscale2": "painted at half the size, upscaled x2",
    "upscale4": "painted at a quarter of the size, upscaled x4",
    "split": "split and stitched, moments shared",
    "alone": "split and stitched, every tile alone",
}
TILE, OVERLAP, ROUNDS = 512, 64, 2
#: What ``memory="tiled"`` means.
EXACT_PLAN = Plan(5, 256)


def paint(method, content, style, options):
    """The picture that a method makes."""
    common = {"backbone": options.backbone, "style_weight": options.style_weight, "precision": options.precision}
    whole = {**common, "iterations": options.iterations}
    size = options.size
    if method in ("untiled", "exact"):
        return stylize(content, style, size=size, memory="full" if method == "untiled" else "tiled", **whole)
    if method.startswith("upscale"):
        scale = int(method[-1])
        return stylize(content, style, size=size // scale, upscale=scale, **whole)
    start = stylize(content, style, size=size // 4, **whole)
    tiles = {"tile": TILE, "overlap": OVERLAP, "rounds": ROUNDS, "iterations": options.tile_iterations}
    return stylize_tiles(content, style, size=size, init=start, share_moments=method == "split", **tiles, **common)


def measure(method, path, options):
    """Paint and write the picture; ``(seconds, peak of memory in bytes)``."""
    content, style = load_content(options), load_image(options.style)
    with Peak("cuda" if torch.cuda.is_available() else "cpu") as peak:
        painted = paint(method, content, style, options)
    save_image(painted, path)
    return peak.seconds, peak.bytes


def borders(method, height, width):
    """``(rows, columns)`` at which the tiles of a method begin."""
    if method in ("split", "alone"):
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("--size", type=int, default=1920)
    parser.add_argument("--aspect", default="16:9", help="the photograph is cut to this (default: %(default)s)")
    parser.add_argument("--backbone", default="compact")
    parser.add_argument("--precision", default="auto", help="float64 shows the tiles alone, without rounding")
    parser.add_argument("--style-weight", type=float, default=20.0)
    parser.add_argument("--iterations", type=int, default=120)
    parser.add_argument("--tile-iterations", type=int, default=24)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[m for m in METHODS if m != "untiled"])
    parser.add_argument("--vgg19", help="VGG-19 weights file, by default that of nstlib[vgg19]")
    parser.add_argument("--output", default=".", help="folder for the pictures")
    options = parser.parse_args()
    reference = load_backbone("vgg19", weights=options.vgg19)
    content, style = load_content(options), load_image(options.style)
    height, width = size = fit_size(*content.shape[2:], options.size)
    plain = image = resize(content, size)
    rows = [["the photograph", "", "", "", ""]]
    rows[0] += [f"{loss:.4f}" for loss in losses(image, content, style, reference, options.size)]
    for method in (method for method in METHODS if method in options.methods):
        path = Path(options.output) / f"{method}_{options.size}.png"
        seconds, peak = in_own_process(measure, method, path, options)
        image = load_image(path)
        if method == "untiled":
            plain = image
        seam = ("", "") if image is plain else relative_seams(image, plain, borders(method, height, width))
        found = [f"{loss:.4f}" for loss in losses(image, content, style, reference, options.size)]
        rows.append([METHODS[method], f"{seconds:.0f}", f"{peak / 2**30:.2f}", *seam, *found])
        print(*rows[-1], sep="\t", file=sys.stderr, flush=True)
    print(f"{width} x {height}")
    table(["method", "seconds", "peak GB", "seam ratio", "at other lines", "content loss", "style loss"], rows)


if __name__ == "__main__":
    main()
