"""The command line: ``python -m nstlib CONTENT STYLE [STYLE ...] -o OUT``."""

import argparse
import sys
import warnings
from pathlib import Path

from . import samples
from .color import COLORS
from .errors import InputError
from .features import BACKBONES, PADDINGS, POOLINGS
from .images import MAX_PIXELS, check_output, save_image
from .losses import STYLE_LOSSES
from .memory import estimate, free_memory, largest_size
from .optimizers import OPTIMIZERS
from .run import make_enlarger, run
from .settings import DEVICES, INITS, MEMORY, PRECISIONS, PRESETS
from .transfer import StyleTransfer
from .upscale import SCALES

EXIT_INPUT, EXIT_INTERRUPTED = 2, 130


def make_parser():
    """The parser; options left out stay out of the result, so that presets and defaults decide."""
    parser = argparse.ArgumentParser(
        prog="python -m nstlib",
        description="Paint CONTENT in the manner of STYLE. Both are files or URLs, or sample:NAME "
        f"({', '.join(samples.CONTENTS)}; {', '.join(samples.STYLES)}).",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("content", metavar="CONTENT")
    parser.add_argument("style", metavar="STYLE", nargs="+", help="several are blended")
    parser.add_argument(
        "-o", "--output", default="stylized.png", help="PNG, JPEG, WebP or 16-bit TIFF (default: %(default)s)"
    )
    parser.add_argument("--preset", choices=PRESETS)
    parser.add_argument("--size", type=int, help="longer side in pixels (default: 512)")
    parser.add_argument(
        "--upscale", type=int, choices=(1, *SCALES), default=1, help="enlarge the painted picture so many times"
    )
    parser.add_argument("--alpha", "--content-weight", dest="content_weight", type=float, metavar="A")
    parser.add_argument("--beta", "--style-weight", dest="style_weight", type=float, metavar="B")
    parser.add_argument("--gamma", "--tv-weight", dest="tv_weight", type=float, metavar="G")
    parser.add_argument("--content-layers", type=_layers, metavar="LAYER[=W],...")
    parser.add_argument("--style-layers", type=_layers, metavar="LAYER[=W],...")
    parser.add_argument("--style-loss", choices=STYLE_LOSSES)
    parser.add_argument("--style-blend", type=_numbers, metavar="W,...", help="weight of each style picture")
    parser.add_argument("--color", choices=COLORS, help="whose colours: the style's, or the content's in some way")
    parser.add_argument("--color-strength", type=float, metavar="S", help="from 0 to 1 (default: 1)")
    parser.add_argument("--style-scale", type=float, help="larger values, larger strokes (default: 1)")
    parser.add_argument("--optimizer", choices=OPTIMIZERS)
    parser.add_argument("--learning-rate", type=float, metavar="LR")
    parser.add_argument("--iterations", type=int, metavar="N", help="over all sizes (default: 250)")
    parser.add_argument("--levels", type=int, metavar="N", help="sizes of the pyramid (default: as many as are useful)")
    parser.add_argument("--init", metavar="|".join((*INITS, "FILE")))
    parser.add_argument("--backbone", choices=BACKBONES)
    parser.add_argument("--weights", metavar="FILE", help="weights for the backbone")
    parser.add_argument("--pooling", choices=POOLINGS)
    parser.add_argument("--padding", choices=PADDINGS)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", metavar="|".join(DEVICES))
    parser.add_argument("--precision", choices=PRECISIONS)
    parser.add_argument("--memory", type=_memory, metavar="|".join((*MEMORY, "SIZE")), help="SIZE as in 2GB or 500MB")
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    parser.add_argument("--checkpoint", metavar="FILE", default=None, help="save the state here on the way")
    parser.add_argument("--checkpoint-every", type=float, default=30, metavar="SECONDS", help="(default: %(default)s)")
    parser.add_argument(
        "--resume", action="store_true", default=False, help="go on from the checkpoint if there is one"
    )
    parser.add_argument(
        "--max-pixels", type=int, default=MAX_PIXELS, help="largest picture to open (default: %(default)s)"
    )
    parser.add_argument(
        "--estimate", action="store_true", default=False, help="say what memory and time it will take, and stop"
    )
    parser.add_argument("--quiet", action="store_true", default=False, help="no progress bar")
    return parser


def main(arguments=None):
    """Run the command line; returns the exit status."""
    options = vars(make_parser().parse_args(arguments))
    warnings.showwarning = lambda message, *_: print(f"nstlib: {message}", file=sys.stderr)
    try:
        return _paint(**options)
    except InputError as error:
        print(f"nstlib: error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except KeyboardInterrupt:
        print("nstlib: interrupted before there was a picture", file=sys.stderr)
        return EXIT_INTERRUPTED


def _paint(
    content, style, output, upscale, checkpoint, checkpoint_every, resume, max_pixels, estimate, quiet, **options
):
    check_output(output)
    if resume and not checkpoint:
        raise InputError("--resume needs --checkpoint FILE")
    if checkpoint and not Path(checkpoint).parent.is_dir():
        raise InputError(f"the folder of the checkpoint does not exist: {Path(checkpoint).parent}")
    content = _source(content, samples.content)
    styles = [_source(name, samples.style) for name in style]
    enlarge = make_enlarger(upscale)
    transfer = StyleTransfer(content, styles, max_pixels=max_pixels, **options)
    if estimate:
        _print_estimate(transfer)
        return 0
    finished = run(
        transfer, progress=not quiet, checkpoint=checkpoint, checkpoint_every=checkpoint_every, resume=resume
    )
    image, alpha = enlarge(transfer, progress=not quiet)
    enlarged = {"upscale": upscale} if upscale > 1 else {}
    save_image(image, output, alpha=alpha, settings={**transfer.settings.as_dict(), **enlarged})
    print(output)
    return 0 if finished else EXIT_INTERRUPTED


def _print_estimate(transfer):
    needs = estimate(transfer)
    print(f"this transfer: {needs}")
    free = free_memory(transfer.device)
    height, width = needs.size
    settings = transfer.settings
    longest = largest_size(
        transfer.backbone, height / width, free, optimizer=settings.optimizer, content_layers=settings.content_layers
    )
    print(f"free on {transfer.device}: {free / 2**30:.1f} GB, enough for {longest} pixels on the longer side")


def _source(name, sample):
    """What to load: a file or URL as it is, ``sample:NAME`` made."""
    return sample(name.removeprefix("sample:")) if name.startswith("sample:") else name


def _layers(text):
    """``relu1_1,relu2_1=0.5`` as ``{layer: weight}``."""
    pairs = (item.partition("=") for item in text.split(","))
    return {name.strip(): float(weight) if weight else 1.0 for name, _, weight in pairs}


def _numbers(text):
    return tuple(float(number) for number in text.split(","))


def _memory(text):
    """A word, or bytes: ``"2GB"`` -> 2147483648."""
    if text in MEMORY:
        return text
    number, unit = text.upper().rstrip("B"), 1
    if number[-1:] in "KMG":
        number, unit = number[:-1], 1024 ** ("KMG".index(number[-1]) + 1)
    try:
        return int(float(number) * unit)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {', '.join(MEMORY)} nor a size such as 2GB") from None


if __name__ == "__main__":
    sys.exit(main())
