"""Half precision against single.

    python benchmarks/half_precision.py pictures [--precision bfloat16] [--size 256] [--output FOLDER]
    python benchmarks/half_precision.py grid [--precision float16] [--size 256]

``pictures`` paints four pairs with both networks and all style losses, one of them also in tiles and one from coarse to
fine. The final losses of both pictures are measured by the float32 network: that of half precision may be
2 % higher on average, and 5 % in any one.

``grid`` goes over weights, styles, losses and optimizers. In float16 gradients overflow at 65504, so the loss is scaled
down where they would. The final losses should differ by no more than rounding.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from measure import network, table

from nstlib import Diverged, StyleTransfer, load_backbone, load_image, save_image
from nstlib.features import Plan
from nstlib.losses import STYLE_LOSSES
from nstlib.samples import CONTENTS, PAINTINGS

MEAN_BAR, BAR = 1.02, 1.05
WEIGHTS = (1, 20, 1000, 10_000)


def styles(painting):
    """The painting itself, very dark, very bright, and a constant colour, as arrays (H, W, 3) in [0, 1]."""
    usual = load_image(painting)[0].permute(1, 2, 0).numpy()
    return {"usual": usual, "dark": usual / 12, "bright": 1 - usual / 12, "constant": np.full_like(usual, 0.35)}


def final_loss(content, style, **options):
    try:
        *_, last = StyleTransfer(content, style, levels=1, **options)
        return last.losses["total"]
    except Diverged:
        return float("nan")


def grid(options):
    """Table of the final losses in both formats, each measured in its own."""
    net, rows = network(options.networks[0]), []
    cases = itertools.product(("Adam", "LBFGS"), STYLE_LOSSES, styles(options.style).items(), WEIGHTS)
    for optimizer, loss, (kind, style), weight in cases:
        common = {"size": options.size, "iterations": options.iterations, "device": options.device, "backbone": net}
        common |= {"optimizer": optimizer, "style_loss": loss, "style_weight": weight}
        formats = "float32", options.precision
        single, half = (final_loss(options.content, style, precision=p, **common) for p in formats)
        rows.append((optimizer, loss, kind, weight, f"{single:.5g}", f"{half:.5g}", f"{half / single - 1:+.2%}"))
        print(*rows[-1], sep="\t", flush=True)
    table(("optimizer", "style loss", "style", "weight", "float32", options.precision, "difference"), rows)


def pictures(options):
    """Table of the final losses of pictures painted in both formats, measured in float32."""
    pairs = list(zip(CONTENTS, itertools.cycle(PAINTINGS)))[: options.pairs]
    ways = [(pair, f"style_loss={loss}", {"style_loss": loss}) for pair in pairs for loss in STYLE_LOSSES]
    ways += [(pairs[0], "tiled", {"plan": Plan(5, 64)}), (pairs[-1], "two levels", {"levels": 2})]
    rows, ratios = [], []
    for name, ((content, painting), way, changed) in itertools.product(options.networks, ways):
        common = {"size": options.size, "device": options.device, "backbone": load_backbone(name)}
        common |= {"levels": 1, "memory": "full", **changed}
        losses = []
        for precision in ("float32", options.precision):
            inputs = f"sample:{content}", f"sample:{painting}"
            transfer = StyleTransfer(*inputs, iterations=options.iterations, precision=precision, **common)
            for _ in transfer:
                pass
            words = content, painting, name, way.partition("=")[2] or way, precision
            save_image(transfer.image, options.output / f"{'_'.join(words).replace(' ', '_')}.png")
            start = {"init": transfer.image, "levels": 1, "iterations": 1, "margin": 0, "precision": "float32"}
            losses.append(next(StyleTransfer(*inputs, **common | start)).losses["total"])
        ratios.append(losses[1] / losses[0])
        rows.append((f"{content} x {painting}", name, way, *(f"{loss:.5g}" for loss in losses), f"{ratios[-1]:.4f}"))
        print(*rows[-1], sep="\t", flush=True)
    table(("pair", "network", "way", "float32", options.precision, "ratio"), rows)
    mean, most = np.mean(ratios), max(ratios)
    print(f"mean {mean:.4f} (bar {MEAN_BAR}), largest {most:.4f} (bar {BAR})")
    print("within both bars" if mean <= MEAN_BAR and most <= BAR else "NOT within both bars")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    for command, precision, networks, iterations in (
        (pictures, "bfloat16", ["vgg19", "compact"], 250),
        (grid, "float16", ["compact"], 30),
    ):
        sub = commands.add_parser(command.__name__)
        sub.set_defaults(command=command)
        sub.add_argument("--precision", default=precision, choices=("bfloat16", "float16"))
        sub.add_argument("--networks", nargs="+", default=networks)
        sub.add_argument("--size", type=int, default=256)
        sub.add_argument("--iterations", type=int, default=iterations)
        sub.add_argument("--device", default="cpu")
    commands.choices["pictures"].add_argument("--pairs", type=int, default=4)
    commands.choices["pictures"].add_argument("--output", type=Path, default=Path(), help="folder for the pictures")
    commands.choices["grid"].add_argument("--content", default="sample:chelsea")
    commands.choices["grid"].add_argument("--style", default="sample:swirls")
    options = parser.parse_args()
    options.command(options)


if __name__ == "__main__":
    main()
