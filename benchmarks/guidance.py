"""Whether regions are painted in their own style, and whether what is protected stays.

    python benchmarks/guidance.py [--size 256] [--iterations 100] [--backbone compact] [--judge vgg19] [--output FOLDER]

Each of four photographs is cut in two by ``nstlib.regions.segments`` and painted in two styles, twice: eight pairs. Of
each region the table has the style distance, within the region, from its own style and from the other one; the former
should be the smaller. Then each photograph is painted in one style with its smaller region protected and without: the
ratio of the content distances there, which should be at most 0.6, and of the style distances elsewhere, at most 1.05.
The judge is another network than the one that paints, unless both are named alike.
"""

import argparse
from pathlib import Path

import torch
from measure import table

from nstlib import Style, StyleTransfer, load_backbone, load_image, metrics, regions
from nstlib.images import fit_size, resize
from nstlib.samples import CONTENTS

STYLES = (("starry_night", "scream"), ("great_wave", "embers"))


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--backbone", default="compact")
    parser.add_argument("--judge", default="vgg19")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    judge = load_backbone(given.judge)
    options = {"backbone": load_backbone(given.backbone), "size": given.size, "iterations": given.iterations}

    def keeper(name):
        def keep(transfer):
            if given.output is not None:
                given.output.mkdir(parents=True, exist_ok=True)
                transfer.save(given.output / f"{name}.png")

        return keep

    rows = []
    for names in STYLES:
        styles = [picture(name, given.size) for name in names]
        for content in CONTENTS:
            photo, keep = picture(content, given.size), keeper(f"{content}--{'--'.join(names)}")
            pairs = own_and_other(photo, styles, judge, keep, **options)
            rows.append((f"{content}, {names[0]} and {names[1]}", *(f"{x:.3f}" for pair in pairs for x in pair)))
            print(*rows[-1], sep="\t", flush=True)
    table(("pictures", "first: own", "first: other", "second: own", "second: other"), rows)
    rows = []
    for content in CONTENTS:
        photo, style = picture(content, given.size), picture("starry_night", given.size)
        ratios = protected(photo, style, judge, keeper(f"{content}--protected"), **options)
        rows.append((content, *(f"{ratio:.2f}" for ratio in ratios)))
        print(*rows[-1], sep="\t", flush=True)
    table(("photograph", "content, protected", "style, elsewhere"), rows)


if __name__ == "__main__":
    main()
