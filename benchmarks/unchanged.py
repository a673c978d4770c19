"""Whether a change of the package changes what it paints: ten small paintings, compared with those of another version.

``python benchmarks/unchanged.py paint FILE.pt`` paints them with the package that Python finds (set ``PYTHONPATH``
to choose a checkout) and keeps pictures and losses; ``python benchmarks/unchanged.py compare BEFORE.pt AFTER.pt``
prints a table of the largest differences. Where the arithmetic is untouched they are 0; where sums are taken in another
order, 30 iterations of Adam stay within 1e-9 in float64, and those of L-BFGS, which amplifies rounding, within 1e-6. In
half precision only the final loss can be compared.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from skimage import data

from nstlib import Style, StyleTransfer, samples
from nstlib.images import load_image

CASES = {
    "Adam": {"optimizer": "Adam"},
    "L-BFGS": {"optimizer": "LBFGS"},
    "L-BFGS, pyramid": {"optimizer": "LBFGS", "levels": 2},
    "Adam, tiled": {"optimizer": "Adam", "memory": "tiled"},
    "Adam, two styles": {"optimizer": "Adam"},
    "Adam, Wasserstein, luminance": {"optimizer": "Adam", "style_loss": "wasserstein", "color": "luminance"},
    "Adam, mean/std, transparency": {"optimizer": "Adam", "style_loss": "mean_std"},
    "SGD, the 2016 paper": {"optimizer": "SGD", "preset": "gatys2016", "levels": 1},
    "L-BFGS, resumed": {"optimizer": "LBFGS"},
    "L-BFGS, float16": {"optimizer": "LBFGS", "precision": "float16"},
}
SMALL = {"size": 96, "iterations": 30, "backbone": "compact", "device": "cpu", "precision": "float64"}


def paint(case):
    """``(picture, loss of the last step)`` of one of the :data:`CASES`."""
    content = load_image(data.chelsea())[0].permute(1, 2, 0).numpy()
    styles = [samples.style("swirls"), Style(samples.style("embers"), weight=2)][: 2 if "two" in case else 1]
    if "transparency" in case:
        fade = torch.linspace(0, 1, content.shape[1]).expand(content.shape[:2])[..., None].numpy()
        content = torch.cat([torch.from_numpy(content), torch.from_numpy(fade.copy())], 2).numpy()
    options = {**SMALL, **CASES[case]}
    transfer = StyleTransfer(content, styles, **options)
    if "resumed" in case:
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(11):
                next(transfer)
            transfer.save_checkpoint(Path(folder, "state.pt"))
            transfer = StyleTransfer(content, styles, **options)
            transfer.load_checkpoint(Path(folder, "state.pt"))
    *_, last = transfer
    return transfer.image.cpu(), last.losses["total"]


def compare(before, after):
    """Print the largest difference of the pictures and that of the final losses, case by case."""
    print(f"{'case':30} {'picture':>10} {'final loss':>11}")
    for case in CASES:
        (picture, loss), (other, other_loss) = before[case], after[case]
        difference = (picture - other).abs().max().item()
        print(f"{case:30} {difference:10.1e} {abs(other_loss / loss - 1):11.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("paint").add_argument("file")
    comparison = commands.add_parser("compare")
    comparison.add_argument("before")
    comparison.add_argument("after")
    options = parser.parse_args()
    if options.command == "paint":
        torch.save({case: paint(case) for case in CASES}, options.file)
    else:
        compare(torch.load(options.before), torch.load(options.after))


if __name__ == "__main__":
    main()
