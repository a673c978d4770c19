"""The options of the command line and its help."""

import argparse
import difflib
import math
import re
import sys
from pathlib import Path

from . import __version__, samples
from .color import COLORS
from .errors import InputError
from .features.backbone import BACKBONES, PADDINGS, POOLINGS
from .images import MAX_PIXELS
from .losses import STYLE_LOSSES
from .networks.upscale import SCALES
from .transfer.optimizers import OPTIMIZERS
from .transfer.settings import DEVICES, INITS, MEMORY, PRECISIONS, PRESETS

EPILOG = """\
examples:
  %(prog)s photo.jpg painting.jpg --size 1024 -o result.png
  %(prog)s photo.jpg painting.jpg --size 3840 --checkpoint state.pt   (after an interruption: the same and --resume)
  %(prog)s sample:chelsea sample:swirls sample:embers --style-blend 3,1 --backbone compact

exit status:
  0    the picture is finished
  1    it is saved, but not as asked for: a warning says what failed
  2    an input cannot be used
  3    the loss diverged; the last good picture is saved
  130  interrupted; the picture so far is saved, if there was one
"""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong; argparse's usage would be a page before it."""

    def parse_args(self, args=None, namespace=None):
        options, unknown = self.parse_known_args(args, namespace)
        for text in unknown:
            if not text.startswith("-"):
                raise InputError(f"unexpected {text!r}: name all pictures before the options")
            near = difflib.get_close_matches(text.partition("=")[0], self._option_string_actions, 1)
            raise InputError(f"unknown option {text}{f' (did you mean {near[0]}?)' if near else ''}; see --help")
        return options

    def error(self, message):
        raise InputError(f"{message}; see --help")


def make_parser():
    """The parser; options left out stay out of the result, so that presets and defaults decide."""
    parser = Parser(
        prog="nstlib" if Path(sys.argv[0]).stem == "nstlib" else "python -m nstlib",
        usage="%(prog)s [options] CONTENT STYLE [STYLE ...]",
        description="Paint CONTENT in the manner of STYLE. Both are files or URLs, or sample:NAME "
        f"({', '.join(samples.CONTENTS)}; {', '.join(samples.STYLES)}).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--version", action="version", version=f"nstlib {__version__}")

    add = parser.add_argument_group("pictures").add_argument
    add("content", metavar="CONTENT")
    add("style", metavar="STYLE", nargs="+", help="several are blended")
    add(
        "-o", "--output", metavar="FILE", default=None,
        help="PNG, JPEG, WebP or 16-bit TIFF (default: stylized.png, or the next free number after it)",
    )  # fmt: skip
    add("--force", action="store_true", default=False, help="replace an output or a checkpoint that exists already")
    add("--size", type=_size, metavar="N|original", help="longer side in pixels, or the content's own (default: 512)")
    add("--upscale", type=int, metavar=_one_of((1, *SCALES)), default=1, help="enlarge the finished picture")
    add("--max-pixels", type=int, metavar="N", default=MAX_PIXELS, help="largest input (default: %(default)s)")

    add = parser.add_argument_group("style").add_argument
    add("--preset", metavar=_one_of(PRESETS), help="settings to start from")
    add("--alpha", "--content-weight", dest="content_weight", type=float, metavar="W", help="(default: 1)")
    add("--beta", "--style-weight", dest="style_weight", type=float, metavar="W", help="(default: 20)")
    add("--gamma", "--tv-weight", dest="tv_weight", type=float, metavar="W", help="smoothness (default: 10)")
    add("--content-layers", type=_layers, metavar="LAYER[=W],...", help="(default: relu4_2)")
    add("--style-layers", type=_layers, metavar="LAYER[=W],...", help="(default: relu1_1 to relu5_1, all alike)")
    add("--style-loss", metavar=_one_of(STYLE_LOSSES), help="what of the style is compared (default: gram)")
    add(
        "--unitless", action=argparse.BooleanOptionalAction,
        help="losses without a unit; --no-unitless for the sums of the 2016 paper",
    )  # fmt: skip
    add("--style-blend", type=_numbers, metavar="W,...", help="weight of each style picture")
    add("--style-scale", type=float, metavar="S", help="larger values, larger strokes (default: 1)")
    add("--color", metavar=_one_of(COLORS), help="whose colours: the style's, or the content's in some way")
    add("--color-strength", type=float, metavar="S", help="from 0 to 1 (default: 1)")

    add = parser.add_argument_group("optimization").add_argument
    add("--iterations", type=int, metavar="N", help="over all sizes (default: 250)")
    add("--levels", type=int, metavar="N", help="sizes of the pyramid (default: as many as are useful)")
    add("--optimizer", metavar=_one_of(OPTIMIZERS), help="(default: LBFGS)")
    add("--learning-rate", type=float, metavar="LR", help="(default: the optimizer's own)")
    add("--init", metavar=_one_of((*INITS, "FILE")), help="picture to start from")
    add("--seed", type=int, metavar="N", help="of the noise")

    add = parser.add_argument_group("network").add_argument
    add("--backbone", metavar=_one_of(BACKBONES))
    add("--weights", metavar="FILE", help="weights for the backbone")
    add("--pooling", metavar=_one_of(POOLINGS))
    add("--padding", metavar=_one_of(PADDINGS))

    add = parser.add_argument_group("machine").add_argument
    add("--device", metavar=_one_of(DEVICES))
    add("--precision", metavar=_one_of(PRECISIONS))
    add("--memory", type=_memory, metavar=_one_of((*MEMORY, "SIZE")), help="SIZE as in 2GB or 500MB")
    add("--compile", action="store_true", help="use torch.compile")
    add("--estimate", action="store_true", default=False, help="say what memory and time it will take, and stop")

    add = parser.add_argument_group("on the way").add_argument
    add("--checkpoint", metavar="FILE", default=None, help="save the state here")
    add("--checkpoint-every", type=float, default=30, metavar="SECONDS", help="(default: %(default)s)")
    add("--resume", action="store_true", default=False, help="go on from the checkpoint if there is one")
    add("--quiet", action="store_true", default=False, help="no progress bar")
    return parser


def _one_of(choices):
    return "|".join(map(str, choices))


def _size(text):
    if text == "original":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of pixels nor 'original'")
    return int(text)


def _layers(text):
    """``relu1_1,relu2_1=0.5`` as ``{layer: weight}``."""
    pairs = (item.partition("=") for item in text.split(","))
    return {name.strip(): _number(weight) if equals else 1.0 for name, equals, weight in pairs}


def _numbers(text):
    return tuple(_number(number) for number in text.split(","))


def _number(text):
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def _memory(text):
    """A word, or bytes: ``"2GB"`` -> 2147483648."""
    if text in MEMORY:
        return text
    size = re.fullmatch(r"(\d{0,15}\.?\d{1,15}) ?([KMGT]?)I?B?", text.upper())
    if size is None or float(size[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {', '.join(MEMORY)} nor a size such as 2GB")
    return math.ceil(float(size[1]) * 1024 ** " KMGT".index(size[2] or " "))
