"""Half precision against single: the final loss over a grid of weights, styles, losses and optimizers.

    python benchmarks/half_precision.py [--size 256] [--device cpu]

In float16 gradients overflow at 65504, so the loss is scaled down where they would. The final losses should differ by
no more than rounding.
"""

import argparse
import itertools

import numpy as np
from measure import network, table

from nstlib import Diverged, StyleTransfer, load_image

WEIGHTS = (1, 20, 1000, 10_000)
LOSSES = ("gram", "mean_std", "wasserstein")


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--content", default="sample:chelsea")
    parser.add_argument("--style", default="sample:swirls")
    parser.add_argument("--network", default="compact")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    content, net, rows = options.content, network(options.network), []
    grid = itertools.product(("Adam", "LBFGS"), LOSSES, styles(options.style).items(), WEIGHTS)
    for optimizer, loss, (kind, style), weight in grid:
        common = {"size": options.size, "iterations": options.iterations, "device": options.device, "backbone": net}
        common |= {"optimizer": optimizer, "style_loss": loss, "style_weight": weight}
        single, half = (final_loss(content, style, precision=p, **common) for p in ("float32", "float16"))
        rows.append((optimizer, loss, kind, weight, f"{single:.5g}", f"{half:.5g}", f"{half / single - 1:+.2%}"))
        print(*rows[-1], sep="\t", flush=True)
    table(("optimizer", "style loss", "style", "weight", "float32", "float16", "difference"), rows)


if __name__ == "__main__":
    main()
