"""Loss against time: optimizer x pyramid, on the objective of Gatys et al. 2016 and on ours.

    python benchmarks/convergence.py CONTENT STYLE [CONTENT STYLE ...] [--size 512] [--plot curves.png]

The reference run is the search of the ``gatys2016`` preset: L-BFGS, one size, from noise, 500 iterations. The others
minimise the same loss; compared is how long each takes, all levels of the pyramid included, until its loss at the full
size is as low as the reference's final one. The same again for the unitless loss. All of it in float32.
"""

import argparse
import time

from measure import table

from nstlib import Settings, StyleTransfer

REFERENCE = "gatys2016"
RUNS = {
    REFERENCE: {"optimizer": "LBFGS", "levels": 1, "iterations": 500, "init": "noise"},
    "default": {},
    "Adam, pyramid": {"optimizer": "Adam", "iterations": 500},
    "L-BFGS, one size": {"optimizer": "LBFGS", "levels": 1, "iterations": 170},
    "Adam, one size": {"optimizer": "Adam", "levels": 1, "iterations": 170},
}
#: How the default settings search; the presets bring the loss alone.
SEARCH = {name: getattr(Settings(), name) for name in ("optimizer", "levels", "iterations", "init")}
OBJECTIVES = {
    "gatys2016": {"preset": "gatys2016"},
    "unitless": {},
}


def curve(content, style, size, **options):
    """[(seconds since the start, loss)] of the iterations at the full size."""
    started = time.perf_counter()
    transfer = StyleTransfer(content, style, size=size, **options)
    points = []
    for step in transfer:
        if step.size == transfer.sizes[-1]:
            points.append((time.perf_counter() - started, step.losses["total"]))
    return points


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", nargs="+", help="CONTENT STYLE, repeated")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--backbone", default="compact")
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=list(OBJECTIVES))
    parser.add_argument(
        "--runs", nargs="+", choices=RUNS, default=list(RUNS), help="the first is what the others are compared with"
    )
    parser.add_argument("--plot")
    options = parser.parse_args()
    pairs = list(zip(options.pictures[::2], options.pictures[1::2], strict=True))
    rows, curves = [], {}
    for number, (content, style) in enumerate(pairs, 1):
        for objective in options.objectives:
            settings = OBJECTIVES[objective]
            target = reference = None
            for name in options.runs:
                search = {**SEARCH, **RUNS[name], "backbone": options.backbone, "precision": "float32"}
                points = curve(content, style, options.size, **{**settings, **search})
                curves[number, objective, name] = points
                if target is None:
                    reference, target = points[-1]
                reached = next((t for t, loss in points if loss <= target), None)
                share = f"{reached / reference:.2f}" if reached else "not reached"
                rows.append([number, objective, name, f"{points[-1][1]:.4g}", f"{points[-1][0]:.0f}", share])
                print(*rows[-1], sep="\t", flush=True)
    table(["pair", "objective", "run", "final loss", "seconds", "time to the reference's loss"], rows)
    if options.plot:
        plot(curves, options.plot)


def plot(curves, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = sorted({key[:2] for key in curves})
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5 * len(panels), 4), squeeze=False)
    for (number, objective), axis in zip(panels, axes[0], strict=True):
        for name in (key[2] for key in curves if key[:2] == (number, objective)):
            axis.plot(*zip(*curves[number, objective, name], strict=True), label=name)
        axis.set(xlabel="seconds", ylabel="total loss", yscale="log", title=f"pair {number}, {objective}")
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
