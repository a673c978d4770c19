"""The options of the command line and its help."""

import argparse
import difflib
import sys
from pathlib import Path

from . import __version__, samples
from .errors import InputError
from .images import MAX_PIXELS
from .networks.upscale import SCALES
from .regions.command import check_way
from .styles import Style, parse_mask
from .transfer.presets import FORMER, PRESETS
from .transfer.settings import OPTIONS, Settings

#: The literature's letters for the weights, as further names of their options.
LETTERS = {"content_weight": ["--alpha"], "style_weight": ["--beta"], "tv_weight": ["--gamma"]}

EPILOG = """\
examples:
  %(prog)s photo.jpg painting.jpg --size 1024 -o result.png
  %(prog)s photo.jpg painting.jpg --size 3840 --checkpoint state.pt   (after an interruption: the same and --resume)
  %(prog)s sample:chelsea sample:swirls --style sample:embers@weight=3 --backbone compact
  %(prog)s photo.jpg --style night.jpg@sky.png --style field.jpg@brush=2 --protect face.png
  %(prog)s photo.jpg night.jpg field.jpg --regions segments --masks masks/   (without --masks, to paint them)
  %(prog)s photos/ painting.jpg -o paintings/

exit status:
  0    the picture is finished
  1    something failed: a message says what, and where the picture is saved if it could be
  2    an input cannot be used
  3    the loss diverged; the last good picture is saved
  130  interrupted; the picture so far is saved, if there was one
"""

_STYLE = (
    "a style for the part of CONTENT where MASK is white: a picture, or FILE#COLOUR for one colour of a map; @of=MASK, "
    "@weight=X, @brush=X, or @brush=BLACK,WHITE,MASK for a map of sizes, and @layers=fine or coarse may follow. An @ "
    "in the name of a file that exists is part of it; so is one in an address, whose mask is @where=MASK"
)

_REGIONS = (
    "find a part of CONTENT for each STYLE, the largest for the first: segments, areas of like colour; or "
    "scribbles:FILE, what grows from lines in plain colours, drawn over a copy of CONTENT. objects:cat,chair is the "
    "cat for the first STYLE, the chair for the second, and what they leave for a third. palette or palette:N is for "
    "one STYLE: the main colours of CONTENT, each with the part that is alike"
)


class _Studio(argparse.Action):
    """As --version does, ``--studio`` ends the command line at once."""

    def __call__(self, parser, *_):
        # Only here: widgets take a second to import.
        from .widgets.launch import open_studio

        sys.exit(open_studio())


class Parser(argparse.ArgumentParser):
    """Reports an error in one line; argparse would print a page of usage before it."""

    def parse_args(self, args=None, namespace=None):
        options, unknown = self.parse_known_args(args, namespace)
        for text in unknown:
            if not text.startswith("-"):
                raise InputError(f"unexpected {text!r}: name all pictures before the options")
            former = text.partition("=")[0].lstrip("-").replace("-", "_")
            if former in FORMER:
                raise InputError(f"{text.partition('=')[0]} is gone: {FORMER[former][1]}; see --style in --help")
            near = difflib.get_close_matches(text.partition("=")[0], self._option_string_actions, 1)
            raise InputError(f"unknown option {text}{f' (did you mean {near[0]}?)' if near else ''}; see --help")
        return options

    def error(self, message):
        raise InputError(f"{message}; see --help")


def make_parser():
    """The parser. Settings that are not named stay out of its result, so that presets and defaults decide."""
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
    parser.add_argument("--studio", action=_Studio, nargs=0, help="open the studio in JupyterLab, without pictures")

    add = parser.add_argument_group("pictures").add_argument
    add("content", metavar="CONTENT", help="a folder, or a pattern such as 'photos/*.jpg', for many, each by itself")
    add("style", metavar="STYLE", nargs="*", default=[], help="several are blended")
    add(
        "--style",
        metavar="STYLE[@MASK]",
        dest="more",
        action="append",
        default=[],
        type=_reader(Style.parse),
        help=_STYLE,
    )
    add("--protect", metavar="MASK", default=None, type=_reader(parse_mask), help="keep what is white in this picture")
    _add_settings(add, "pictures")
    add("--regions", metavar="WAY", default=None, type=_reader(check_way), help=_REGIONS)
    add("--masks", metavar="FOLDER", default=None, help="save the regions found as masks, shown over CONTENT, and stop")
    output = (
        "PNG, JPEG, WebP or 16-bit TIFF (default: stylized.png, or the next free number after it); of many pictures "
        "the folder (default: stylized), in which those already painted so are skipped"
    )
    add("-o", "--output", metavar="FILE", default=None, help=output)
    add("--force", action="store_true", default=False, help="replace an output or a checkpoint that exists already")
    add("--upscale", type=int, metavar=_one_of(1, *SCALES), default=1, help="enlarge the finished picture")
    add("--max-pixels", type=int, metavar="N", default=MAX_PIXELS, help="largest input (default: %(default)s)")

    add = parser.add_argument_group("style").add_argument
    add("--preset", metavar=_one_of(*PRESETS), help="settings to start from; options override them")
    _add_settings(add, "style")

    for group in ("optimization", "network"):
        _add_settings(parser.add_argument_group(group).add_argument, group)

    add = parser.add_argument_group("machine").add_argument
    _add_settings(add, "machine")
    add("--estimate", action="store_true", default=False, help="report the memory and time needed, and stop")

    add = parser.add_argument_group("progress").add_argument
    add("--checkpoint", metavar="FILE", default=None, help="save the state here")
    add("--checkpoint-every", type=float, default=30, metavar="SECONDS", help="(default: %(default)s)")
    add("--resume", action="store_true", default=False, help="continue from the checkpoint if there is one")
    add("--quiet", action="store_true", default=False, help="no progress bar")
    return parser


def _add_settings(add, group):
    """An option for each setting of a group; ``add`` is the ``add_argument`` to use."""
    for name, field in OPTIONS.items():
        if field.metadata["group"] == group:
            flag = f"--{name.replace('_', '-')}"
            add(*LETTERS.get(name, ()), flag, dest=name, help=_help(name), **_values(field))


def _values(field):
    """What argparse has to know of the values that a setting takes."""
    if isinstance(field.default, bool):
        return {"action": argparse.BooleanOptionalAction}
    words, form, none = (field.metadata[key] for key in ("choices", "form", "none"))
    return {"type": _reader(field.metadata["parse"]), "metavar": _one_of(*words, *filter(None, [form, none]))}


def _help(name):
    """What a setting means and, unless that is said already, its default."""
    metadata = OPTIONS[name].metadata
    text = metadata["help"].replace("%", "%%")
    default = metadata["write"](getattr(Settings(), name))
    return f"{text} (default: {default})" if default and "default" not in text else text


def _reader(parse):
    """``parse`` for argparse. An empty text is refused: it most likely comes from a shell variable that is not set."""

    def read(text):
        try:
            value = parse(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        if not text:
            raise argparse.ArgumentTypeError("expected a value, received an empty text")
        return value

    return read


def _one_of(*choices):
    return "|".join(map(str, choices))
