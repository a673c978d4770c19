"""How well the compact network stands in for VGG-19, on pictures that it was not trained on.

    python benchmarks/distillation.py --vgg19 FILE --contents FILE ... --styles FILE ...
        [--size 256] [--iterations 250] [--sheet sheet.png]

Every content is painted in every style with VGG-19, with the compact network, and with a network of the compact one's
shape and random weights. Content and style loss of the three pictures and of the unchanged content are then measured
with VGG-19. The style weights of the compact and the random network are searched so that their pictures have the
content loss of VGG-19's own picture; what is left to compare is the style loss.
"""

import argparse
import math
import time
from functools import partial
from pathlib import Path

from measure import losses, table
from PIL import Image

from nstlib import Backbone, StyleTransfer, load_backbone, load_image
from nstlib.features import ARCHITECTURES
from nstlib.images import to_pil


def paint(network, content, style, style_weight, options):
    """The picture that a network makes at one size, shape (1, 3, H, W)."""
    common = {"size": options.size, "iterations": options.iterations, "levels": 1, "precision": "float32"}
    transfer = StyleTransfer(content, style, backbone=network, style_weight=style_weight, **common)
    for _ in transfer:
        pass
    return transfer.image.cpu()


def matched(paint, measure, target, rounds):
    """The picture whose content loss is closest to ``target``, by bisection on the logarithm of the style weight.

    Args:
        paint: function of a style weight that gives a picture.
        measure: function of a picture that gives ``(content loss, style loss)``.
        target: content loss.
        rounds: number of pictures to paint.

    Returns:
        ``(picture, (content loss, style loss))``.
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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vgg19", help="VGG-19 weights file, by default that of nstlib[vgg19]")
    parser.add_argument("--contents", nargs="+", required=True)
    parser.add_argument("--styles", nargs="+", required=True)
    parser.add_argument("--student", help="weights of the compact network (default: the package's)")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=6, help="of the search for equal content loss")
    parser.add_argument("--style-weight", type=float, default=30.0, help="of VGG-19's picture")
    parser.add_argument("--sheet", help="file for a contact sheet: content, style, VGG-19, compact, random")
    options = parser.parse_args()
    vgg19 = load_backbone("vgg19", weights=options.vgg19)
    networks = {
        "compact": load_backbone("compact", weights=options.student),
        "random": Backbone.random(ARCHITECTURES["compact"], deepest="relu5_1", padding="replicate"),
    }
    rows, sheet, totals = [], [], {}
    for content in options.contents:
        for style in options.styles:
            started = time.perf_counter()

            def measure(image, content=content, style=style):
                return losses(image, content, style, vgg19, options.size)

            reference = paint(vgg19, content, style, options.style_weight, options)
            pictures = {"content": load_image(content), "vgg19": reference}
            results = {name: measure(image) for name, image in pictures.items()}
            for name, network in networks.items():
                paint_with = partial(paint, network, content, style, options=options)
                pictures[name], results[name] = matched(paint_with, measure, results["vgg19"][0], options.rounds)
            start, best = results["content"][1], results["vgg19"][1]
            for name, (content_loss, style_loss) in results.items():
                closed = (start - style_loss) / (start - best)
                totals.setdefault(name, []).append(closed)
                pair = f"{Path(content).name} / {Path(style).name}"
                rows.append([pair, name, f"{content_loss:.4f}", f"{style_loss:.4f}", f"{100 * closed:.0f} %"])
                print(*rows[-1], f"{time.perf_counter() - started:.0f} s", sep="\t", flush=True)
            sheet.append([pictures["content"], load_image(style), *(pictures[name] for name in ("vgg19", *networks))])
    for name, values in totals.items():
        rows.append(["mean", name, "", "", f"{100 * sum(values) / len(values):.0f} %"])
    table(["content / style", "painted with", "content loss", "style loss", "distance closed"], rows)
    if options.sheet:
        save_sheet(sheet, options.size, options.sheet)


def save_sheet(rows, size, path):
    """Write pictures as a contact sheet, each as large as ``size`` pixels at most."""
    rows = [[to_pil(image) for image in row] for row in rows]
    for image in (image for row in rows for image in row):
        image.thumbnail((size, size))
    width = max(image.width for row in rows for image in row)
    heights = [max(image.height for image in row) for row in rows]
    canvas = Image.new("RGB", (width * len(rows[0]), sum(heights)), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            canvas.paste(image, (x * width, sum(heights[:y])))
    canvas.save(path)


if __name__ == "__main__":
    main()
