"""nstlib beside a checkout of crowsonkb/style-transfer-pytorch: ``python benchmarks/speed.py --peer CHECKOUT``.

Both get the same weights, those of ``load_backbone("vgg19")``, and the same pictures. Each case runs in a process of
its own.

- An iteration of Adam with Wasserstein losses at one size: seconds, and peak memory above what the process held after a
  small picture was painted.
- Time until nstlib's picture, by its own defaults, is as near to painting and photograph as the finished picture that
  the peer paints by its own, by :func:`nstlib.metrics.style_distance` and :func:`nstlib.metrics.content_distance`.
"""

import contextlib
import importlib
import io
import sys
import time
import types
from itertools import pairwise
from pathlib import Path

from measure import Peak, in_own_process, synchronize, table

from nstlib import StyleTransfer, load_backbone, load_image
from nstlib.features import ARCHITECTURES
from nstlib.features.backbone import layer_names
from nstlib.images import fit_size, resize, to_pil
from nstlib.metrics import content_distance, style_distance

#: ``(precision, memory)`` of nstlib.
WAYS = (("float32", "auto"), ("float32", "tiled"), ("auto", "auto"))
#: Iterations of the peer: of the smallest size, and of each of the others.
PEER_ITERATIONS = (1000, 500)
#: nstlib's picture is compared every so many iterations; the clock stands meanwhile.
EVERY = 10
LONGEST = 1000


def peer(checkout, device="cpu"):
    """The peer's ``StyleTransfer``, with our weights in the place of those that it would download."""
    import torchvision  # which nothing else needs

    package = types.ModuleType("style_transfer")  # without its web server, which it imports in its __init__
    package.__path__ = [str(Path(checkout) / "style_transfer")]
    sys.modules["style_transfer"] = package
    module = importlib.import_module("style_transfer.style_transfer")
    original = torchvision.models.vgg19
    torchvision.models.vgg19 = lambda **_: _with_our_weights(original())
    try:
        return module.StyleTransfer(devices=[device])
    finally:
        torchvision.models.vgg19 = original


def _with_our_weights(net):
    """Both networks take RGB that is normalised in the same way."""
    ours = load_backbone("vgg19")
    for name, layer in zip(layer_names(ARCHITECTURES["vgg19"]), net.features, strict=True):
        if name in ours.convs:
            layer.load_state_dict(ours.convs[name].state_dict())
    return net


def iterate_peer(painter, content, style, size, iterations):
    """Seconds of each iteration at one size."""
    times, options = [], {"min_scale": max(size), "end_scale": max(size), "initial_iterations": iterations}
    painter.stylize(content, [style], callback=lambda step: times.append(step.time), **options)
    return [later - earlier for earlier, later in pairwise(times)]


def measure_peer(checkout, content, style, size, device, iterations):
    """``(seconds per iteration, peak of memory in bytes)``."""
    content, style = pictures(content, style, size)
    painter = peer(checkout, device)
    with contextlib.redirect_stdout(io.StringIO()):
        iterate_peer(painter, content, style, (64, 64), 2)
        with Peak(device) as peak:
            times = iterate_peer(painter, content, style, size, iterations + 1)
    return sum(times) / len(times), peak.bytes


def measure_ours(precision, memory, content, style, size, device, iterations):
    """The same of nstlib."""
    content, style = pictures(content, style, size)
    common = {"levels": 1, "optimizer": "Adam", "style_loss": "wasserstein", "precision": precision, "memory": memory}
    common["margin"] = 0  # as the peer, which has none
    common |= {"device": device, "iterations": iterations + 1}
    small = StyleTransfer(content, style, size=64, backbone="vgg19", **common)
    next(small)
    with Peak(device) as peak:
        transfer, times = StyleTransfer(content, style, size=max(size), backbone=small.backbone, **common), []
        for _ in transfer:
            synchronize(device)
            times.append(time.perf_counter())
    return (times[-1] - times[0]) / iterations, peak.bytes, transfer.precision, str(transfer.plan)


def paint_as_peer(checkout, content, style, side, device, iterations):
    """``(seconds, picture as a PIL image)`` of the peer's own defaults."""
    content, style = (to_pil(load_image(address)) for address in (content, style))
    painter, started = peer(checkout, device), time.perf_counter()
    counts = dict(zip(("initial_iterations", "iterations"), iterations, strict=True))
    with contextlib.redirect_stdout(io.StringIO()):
        painted = painter.stylize(content, [style], end_scale=side, **counts)
    return time.perf_counter() - started, painted


def reach(goal, content, style, side, device, longest):
    """Seconds until nstlib's defaults are as near as ``goal``; ``(seconds or None, goal's distances, ours)``."""
    content, style, judge = load_image(content), load_image(style), load_backbone("vgg19")
    started, seconds = time.perf_counter(), 0.0
    transfer = StyleTransfer(content, style, size=side, backbone="vgg19", device=device, iterations=longest)
    photograph = resize(content, transfer.size)
    painting = resize(style, fit_size(*style.shape[2:], side))

    def distances(image):
        return style_distance(image, painting, judge), content_distance(image, photograph, judge)

    bar = distances(resize(load_image(goal), transfer.size))
    seconds, started = seconds + time.perf_counter() - started, time.perf_counter()
    for step in transfer:
        if step.iteration % EVERY == 0:
            synchronize(device)
            seconds += time.perf_counter() - started
            found = distances(step.image.cpu())
            if all(ours <= theirs for ours, theirs in zip(found, bar, strict=True)):
                return seconds, bar, found
            started = time.perf_counter()
    return None, bar, found


def pictures(content, style, size):
    """The photograph resized to ``size``, whatever its shape, and the painting, as PIL images."""
    return to_pil(resize(load_image(content), size)), to_pil(load_image(style))


def compare(checkout, content, style, sizes, device, iterations, side=256, counts=PEER_ITERATIONS, longest=LONGEST):
    """Print both tables; ``sizes`` are ``{name: (height, width)}``, ``side`` is that of the finished pictures."""
    rows = []
    for name, size in sizes.items():
        common = content, style, size, device, iterations
        base = in_own_process(measure_peer, checkout, *common)
        rows.append((name, "peer", "float32", "untiled", f"{base[0]:.2f}", f"{base[1] / 2**30:.2f}", "1.00 / 1.00"))
        for precision, memory in WAYS:
            seconds, peak, *words = in_own_process(measure_ours, precision, memory, *common)
            ratio = f"{seconds / base[0]:.2f} / {peak / base[1]:.2f}"
            rows.append((name, f"nstlib, memory={memory!r}", *words, f"{seconds:.2f}", f"{peak / 2**30:.2f}", ratio))
            print(*rows[-1], sep="\t", file=sys.stderr, flush=True)
    table(("size", "library", "precision", "plan", "s/iteration", "peak GB", "time / memory of the peer"), rows)
    seconds, painted = in_own_process(paint_as_peer, checkout, content, style, side, device, counts)
    reached, bar, found = in_own_process(reach, painted, content, style, side, device, longest)
    share = "not reached" if reached is None else f"{reached:.1f} ({reached / seconds:.2f})"
    distances = [tuple(f"{number:.4f}" for number in pair) for pair in (bar, found)]
    rows = [("peer, defaults", f"{seconds:.1f} (1.00)", *distances[0]), ("nstlib, defaults", share, *distances[1])]
    table((f"{side} px", "seconds (share)", "style distance", "content distance"), rows)
