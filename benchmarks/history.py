"""How many pairs L-BFGS should keep: its history is most of the memory of a 4K picture.

    python benchmarks/history.py [--pairs 3 5 10 20] [--size 256] [--backbone compact]

Final losses of the twelve pairs of the samples with the default settings and other lengths of the history, over that
of the longest, in float32. A pair is two floats per value of the picture: 24 bytes per pixel.
"""

import argparse
import itertools

import numpy as np
from measure import table

from nstlib import StyleTransfer, load_backbone
from nstlib.samples import CONTENTS, PAINTINGS
from nstlib.transfer import optimizers


def final_loss(content, style, pairs, **options):
    """Total loss of the last iterate."""
    optimizers.HISTORY = pairs
    *_, last = StyleTransfer(f"sample:{content}", f"sample:{style}", precision="float32", **options)
    return last.losses["total"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[3, 5, 10, 20])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=250)
    parser.add_argument("--backbone", default="compact")
    options = parser.parse_args()
    common = {"backbone": load_backbone(options.backbone), "size": options.size, "iterations": options.iterations}
    rows, ratios = [], []
    for content, style in itertools.product(CONTENTS, PAINTINGS):
        losses = [final_loss(content, style, pairs, **common) for pairs in options.pairs]
        ratios.append([loss / losses[-1] for loss in losses])
        rows.append((f"{content} x {style}", *(f"{ratio:.4f}" for ratio in ratios[-1])))
        print(*rows[-1], sep="\t", flush=True)
    rows.append(("mean", *(f"{ratio:.4f}" for ratio in np.mean(ratios, 0))))
    rows.append(("largest", *(f"{ratio:.4f}" for ratio in np.max(ratios, 0))))
    table(("pictures", *(f"{pairs} pairs" for pairs in options.pairs)), rows)


if __name__ == "__main__":
    main()
