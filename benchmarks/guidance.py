"""Whether regions are painted in their own style, what is protected stays, and strokes are as large as asked for.

    python benchmarks/guidance.py [--parts regions protection] [--size 256] [--iterations 100] [--backbone compact]
        [--judge vgg19] [--output FOLDER]
    python benchmarks/guidance.py --parts brush --size 768 [--iterations 60]
    python benchmarks/guidance.py --parts sizes [--sizes 540 2160] [--iterations 60]
    python benchmarks/guidance.py --parts maps [--size 512] [--backbone vgg19]
    python benchmarks/guidance.py --parts direction [--size 256] [--iterations 50]

Each of four photographs is cut in two by ``nstlib.regions.segments`` and painted in two styles, twice: eight pairs. Of
each region the table has the style distance, within the region, from its own style and from the other one; the former
should be the smaller. Then each photograph is painted in one style with its smaller region protected and without: the
ratio of the content distances there, which should be at most 0.6, and of the style distances elsewhere, at most 1.05.
The judge is another network than the one that paints, unless both are named alike.

``brush``: the length of strokes, ``metrics.stroke_length`` over the longer side, with four sizes of the brush, which
should grow. ``sizes``: the same in a small and a large picture of one brush, which should differ by at most 15 %. The
paintings are generated and show nothing but strokes. ``maps``: seconds of an iteration in float32 with one style and no
mask, with two to four regions, each in another style of one brush, and with maps of two to four sizes of the brush; the
masks are soft, and nearly nowhere 0. Four regions should take at most 1.3 times as long as one style.

``direction``: ``metrics.strokes_along`` the photograph with four strengths of the direction, which should grow.
"""

import argparse
import time
from pathlib import Path

import torch
from measure import table

from nstlib import Style, StyleTransfer, load_backbone, load_image, metrics, regions, samples
from nstlib.images import fit_size, resize
from nstlib.samples import CONTENTS

STYLES = (("starry_night", "scream"), ("great_wave", "embers"))
PAIRS = (("coffee", "swirls"), ("rocket", "embers"))
DIRECTED = (("chelsea", "starry_night"), ("coffee", "swirls"))
STRENGTHS = 0, 1 / 3, 2 / 3, 1
BRUSHES = 0.5, 1.0, 2.0, 4.0


def picture(name, size):
    """A sample with its longer side at ``size`` pixels, where it is not smaller."""
    image = load_image(f"sample:{name}")
    return resize(image, fit_size(*image.shape[2:], min(size, max(image.shape[2:]))))


def masks_of(photo):
    """Two masks of a photograph, (1, 1, H, W)."""
    return [torch.from_numpy(mask)[None, None] for mask in regions.segments(photo, 2)]


def own_and_other(photo, styles, judge, keep, **options):
    """Of both regions, the style distance from their own style and from the other's."""
    masks = masks_of(photo)
    transfer = StyleTransfer(photo, [Style(s, where=m) for s, m in zip(styles, masks, strict=True)], **options)
    for _ in transfer:
        pass
    keep(transfer)
    for mask, own, other in zip(masks, styles, reversed(styles), strict=True):
        yield tuple(metrics.style_distance(transfer.image, style, judge, mask=mask) for style in (own, other))


def protected(photo, style, judge, keep, **options):
    """Ratios, with protection to without: content distance of what is protected, style distance of the rest."""
    rest, kept = masks_of(photo)
    found = []
    for protect in (kept, None):
        transfer = StyleTransfer(photo, style, protect=protect, **options)
        for _ in transfer:
            pass
        content = metrics.content_distance(transfer.image, photo, judge, mask=kept)
        found.append((content, metrics.style_distance(transfer.image, style, judge, mask=rest)))
        if protect is not None:
            keep(transfer)
    return tuple(with_it / without for with_it, without in zip(*found, strict=True))


def strokes(photo, style, keep, **options):
    """Length of the strokes relative to the longer side."""
    transfer = StyleTransfer(photo, style, **options)
    for _ in transfer:
        pass
    keep(transfer)
    return metrics.stroke_length(transfer.image, photo) / max(transfer.size)


def seconds(transfers):
    """Of one iteration of each: the least of five, after one to warm up. In turns, on the same machine for all."""
    times = [[] for _ in transfers]
    for _ in range(6):
        for transfer, own in zip(transfers, times, strict=True):
            started = time.perf_counter()
            next(transfer)
            own.append(time.perf_counter() - started)
    return [min(own[1:]) for own in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["regions", "protection"])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--sizes", type=int, nargs=2, default=[540, 2160])
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--backbone", default="compact")
    parser.add_argument("--judge", default="vgg19")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    options = {"backbone": load_backbone(given.backbone), "size": given.size, "iterations": given.iterations}

    def keeper(name):
        def keep(transfer):
            if given.output is not None:
                given.output.mkdir(parents=True, exist_ok=True)
                transfer.save(given.output / f"{name}.png")

        return keep

    for part in given.parts:
        rows = []
        head, found = PARTS[part](given, keeper, options)
        for row in found:
            rows.append(row)
            print(*row, sep="\t", flush=True)
        table(head, rows)


def _regions(given, keeper, options):
    judge = load_backbone(given.judge)

    def rows():
        for names in STYLES:
            styles = [picture(name, given.size) for name in names]
            for content in CONTENTS:
                photo, keep = picture(content, given.size), keeper(f"{content}--{'--'.join(names)}")
                pairs = own_and_other(photo, styles, judge, keep, **options)
                yield f"{content}, {names[0]} and {names[1]}", *(f"{x:.3f}" for pair in pairs for x in pair)

    return ("pictures", "first: own", "first: other", "second: own", "second: other"), rows()


def _protection(given, keeper, options):
    judge = load_backbone(given.judge)

    def rows():
        for content in CONTENTS:
            photo, style = picture(content, given.size), picture("starry_night", given.size)
            ratios = protected(photo, style, judge, keeper(f"{content}--protected"), **options)
            yield content, *(f"{ratio:.2f}" for ratio in ratios)

    return ("photograph", "content, protected", "style, elsewhere"), rows()


def _brush(given, keeper, options):
    def rows():
        for content, name in PAIRS:
            photo, style = load_image(f"sample:{content}"), samples.style(name, size=1024)
            lengths = (
                strokes(photo, Style(style, brush=brush), keeper(f"{content}--{name}--{brush:g}"), **options)
                for brush in BRUSHES
            )
            yield f"{content}, {name}", *(f"{100 * length:.2f} %" for length in lengths)

    return ("pictures", *(f"brush {brush:g}" for brush in BRUSHES)), rows()


def _sizes(given, keeper, options):
    def rows():
        for content, name in PAIRS:
            photo, style = load_image(f"sample:{content}"), samples.style(name, size=512)
            small, large = (
                strokes(photo, style, keeper(f"{content}--{name}--{size}"), **{**options, "size": size})
                for size in given.sizes
            )
            yield f"{content}, {name}", f"{100 * small:.2f} %", f"{100 * large:.2f} %", f"{large / small:.2f}"

    return ("pictures", *(f"{size} px" for size in given.sizes), "ratio"), rows()


def _maps(given, keeper, options):
    def rows():
        photo = picture("coffee", given.size)
        paintings = [picture(name, given.size) for pair in STYLES for name in pair]
        across = torch.linspace(0, 1, photo.shape[3]).expand(photo.shape[2:])
        asked = {"one style": paintings[0]}
        for count in (2, 3, 4):
            masks = [(1 + torch.cos(2 * torch.pi * (across - k / count))) / count for k in range(count)]
            asked[f"{count} regions"] = [Style(one, where=mask) for one, mask in zip(paintings, masks, strict=False)]
        for count in (2, 3, 4):
            asked[f"{count} sizes of the brush"] = Style(paintings[0], brush=(0.5 ** (count - 1), 1.0, across))
        plain = {**options, "levels": 1, "iterations": 6, "precision": "float32"}
        found = seconds([StyleTransfer(photo, styles, **plain) for styles in asked.values()])
        for name, each in zip(asked, found, strict=True):
            yield name, f"{each:.2f} s", f"{each / found[0]:.2f}"

    return ("maps", "iteration", "ratio"), rows()


def _direction(given, keeper, options):
    def rows():
        for content, name in DIRECTED:
            photo, shares = picture(content, given.size), []
            for strength in STRENGTHS:
                transfer = StyleTransfer(photo, f"sample:{name}", direction=strength, **options)
                for _ in transfer:
                    pass
                keeper(f"{content}--{name}--direction-{strength:.2f}")(transfer)
                shares.append(metrics.strokes_along(transfer.image, photo))
            yield f"{content}, {name}", *(f"{share:.4f}" for share in shares)

    return ("pictures", *(f"direction {strength:.2f}" for strength in STRENGTHS)), rows()


PARTS = {
    "regions": _regions,
    "protection": _protection,
    "brush": _brush,
    "sizes": _sizes,
    "maps": _maps,
    "direction": _direction,
}


if __name__ == "__main__":
    main()
