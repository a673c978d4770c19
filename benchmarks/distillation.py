"""How well the compact network stands in for VGG-19 at equal content distance, on the pairs of evaluation.py.

    python benchmarks/distillation.py [PHOTOGRAPHS PAINTINGS] [--size 256] [--iterations 250] [--sheet sheet.png]

Every photograph is painted in every style with VGG-19, with the compact network, and with a network of the compact
one's shape and random weights. The style weights of the last two are searched so that their pictures have the content
distance of VGG-19's own picture; what is left to compare is the style distance. Both are measured with VGG-19.
"""

import argparse
import math
import sys

from evaluation import TWELVE, addresses, pairs_of, random_network
from measure import table

from nstlib import StyleTransfer, load_backbone, metrics
from nstlib.sheet import contact_sheet


def paint(network, pair, style_weight, options):
    """The picture that a network makes at one size, shape (1, 3, H, W)."""
    common = {"size": options.size, "iterations": options.iterations, "levels": 1, "precision": "float32"}
    transfer = StyleTransfer(pair.photograph, pair.painting, backbone=network, style_weight=style_weight, **common)
    for _ in transfer:
        pass
    return transfer.image.cpu()


def matched(paint, measure, target, rounds):
    """The picture whose content distance is closest to ``target``, by bisection on the logarithm of the style weight.

    Args:
        paint: function of a style weight that gives a picture.
        measure: function of a picture that gives ``(content distance, style distance)``.
        target: content distance.
        rounds: number of pictures to paint.

    Returns:
        ``(picture, (content distance, style distance))``.
    """
    low, high, best = math.log(0.01), math.log(10_000.0), None
    for _ in range(rounds):
        middle = (low + high) / 2
        image = paint(math.exp(middle))
        found = measure(image)
        if best is None or abs(math.log(found[0] / target)) < abs(math.log(best[1][0] / target)):
            best = image, found
        low, high = (middle, high) if found[0] < target else (low, middle)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="?", type=addresses, default=TWELVE[0])
    parser.add_argument("paintings", nargs="?", type=addresses, default=TWELVE[1])
    parser.add_argument("--student", help="weights of the compact network (default: the package's)")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=6, help="of the search for equal content distance")
    parser.add_argument("--style-weight", type=float, default=20.0, help="of VGG-19's picture")
    parser.add_argument("--sheet", help="file for a contact sheet")
    options = parser.parse_args()
    vgg19 = load_backbone("vgg19")
    networks = {"compact": load_backbone("compact", weights=options.student), "random": random_network()}
    rows, sheet, totals = [], [], {name: [] for name in networks}
    for pair in pairs_of(options.photographs, options.paintings, options.size):

        def measure(image, pair=pair):
            return (
                metrics.content_distance(image, pair.content, vgg19),
                metrics.style_distance(image, pair.style, vgg19),
            )

        pictures = {"photograph": pair.content, "vgg19": paint(vgg19, pair, options.style_weight, options)}
        results = {name: measure(image) for name, image in pictures.items()}
        for name, network in networks.items():

            def paint_with(weight, pair=pair, network=network):
                return paint(network, pair, weight, options)

            pictures[name], results[name] = matched(paint_with, measure, results["vgg19"][0], options.rounds)
        start, best = results["photograph"][1], results["vgg19"][1]
        for name, (content, style) in results.items():
            closed = (start - style) / (start - best)
            totals.setdefault(name, []).append(closed)
            rows.append([pair.name, name, f"{content:.4f}", f"{style:.4f}", f"{100 * closed:.0f} %"])
            print(*rows[-1], sep="\t", file=sys.stderr, flush=True)
        sheet.append([pair.content, pair.style, *(pictures[name] for name in ("vgg19", *networks))])
    for name in networks:
        rows.append(["mean", name, "", "", f"{100 * sum(totals[name]) / len(totals[name]):.0f} %"])
    table(["pair", "painted with", "content distance", "style distance", "distance closed"], rows)
    if options.sheet:
        contact_sheet(sheet, ["photograph", "painting", "vgg19", *networks], side=options.size).save(options.sheet)


if __name__ == "__main__":
    main()
