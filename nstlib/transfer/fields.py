"""The kinds of settings: how the values of each are checked, read from text and written as text.

Each function here makes a dataclass field. Its metadata are all that the command line, the studio, checkpoints and the
documentation know of a setting:

- ``help``: what it means; ``group``: the heading it is listed under.
- ``live``: it may be changed while a transfer runs.
- ``free``: it may differ when a checkpoint is resumed, because it only says where or how fast the picture is computed,
  or because the checkpoint recognises the network and the starting picture by their contents.
- ``check(name, value)``: the value in its own type; raises :class:`InputError` for one that makes no sense.
- ``parse(text)``: the value that a text stands for, not checked yet; raises :class:`InputError`.
- ``write(value)``: the text for which ``parse(write(value)) == value``; None for an object, which has none.
- ``choices``: the words it takes. A table is looked up each time, so that entries added to it later count.
- ``form``: stands for other values in a synopsis, such as ``"N"``; ``what`` describes them. None where there are none.
- ``none``: the text for None; None where the setting cannot be None.
"""

import dataclasses
import math
import numbers
import os
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial

import numpy as np

from .. import checks
from ..errors import InputError, check_choice
from ..features.backbone import Backbone

#: What stands in saved settings for a picture or a network that was given as an object.
GIVEN = "given"


def number(default, least, most=math.inf, **about):
    """A finite number from ``least`` to ``most``."""
    what = f"a number{checks.limits(least, most)}"
    check = partial(checks.number, least=least, most=most)
    return _field(default, check, float, checks.shortest, form="X", what=what, **about)


def whole(default, least, most=math.inf, **about):
    """A whole number from ``least`` to ``most``."""
    what = f"a whole number{checks.limits(least, most)}"
    return _field(default, partial(checks.whole, least=least, most=most), int, form="N", what=what, **about)


def choice(default, choices, **about):
    """One of the words in a table or tuple."""

    def check(name, value):
        check_choice(name, value, choices)
        return value

    return _field(default, check, choices=choices, **about)


def switch(default, **about):
    """True or False."""

    def check(name, value):
        if not isinstance(value, (bool, np.bool_)):
            raise InputError(f"{name} must be True or False, received {value!r}")
        return bool(value)

    return _field(default, check, lambda text: bool(("False", "True").index(text)), what="True or False", **about)


def layers(default, **about):
    """Layers of the network with their weights."""
    about |= {"form": "LAYER[=W],...", "what": "layers, each with a weight if not 1, such as relu1_1,relu2_1=0.5"}
    return _field(default, _check_layers, _parse_layers, _write_layers, **about)


def memory(default, choices, **about):
    """One of the words, or a number of bytes."""

    def check(name, value):
        if isinstance(value, str):
            check_choice(name, value, choices)
            return value
        return checks.whole(f"{name}, if not one of {', '.join(choices)},", value)

    about |= {"choices": choices, "form": "SIZE", "what": "a number of bytes such as 2GB"}
    return _field(default, check, lambda text: text if text in choices else _parse_bytes(text), _write_bytes, **about)


def device(default, choices, **about):
    """One of the words, perhaps with an index as in ``"cuda:1"``, or several of them as in ``"cuda:0,cuda:1"``."""

    def check(name, value):
        for one in str(value).split(","):
            check_choice(name, one.partition(":")[0], choices)
        return str(value)

    return _field(default, check, choices=choices, **about)


def picture(default, choices, **about):
    """One of the words, or a picture."""

    def check(name, value):
        if value is None or isinstance(value, (bool, numbers.Number)):
            raise InputError(f"{name} must be one of {', '.join(choices)} or a picture, received {value!r}")
        if isinstance(value, str) and value == GIVEN:
            raise InputError(f"these settings were saved with a picture given in code as {name}; pass it again")
        return value

    return _field(default, check, write=_only_text, choices=choices, form="FILE", what="a picture", **about)


def backbone(default, choices, **about):
    """One of the words, or a :class:`~nstlib.features.Backbone`."""

    def check(name, value):
        if isinstance(value, str):
            if value == GIVEN:
                raise InputError(f"these settings were saved with a network given in code; pass it again as {name}=")
            check_choice(name, value, choices)
        elif not isinstance(value, Backbone):
            raise TypeError(f"{name} must be a name or a Backbone, received {type(value).__name__}")
        return value

    return _field(default, check, write=_only_text, choices=choices, what="a Backbone", **about)


def file(default, **about):
    """The path of a file."""

    def check(name, value):
        if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
            raise InputError(f"{name} must be the path of a file or None, received {value!r}")
        return os.fsdecode(value)

    return _field(default, check, form="FILE", what="the path of a file", **about)


def text(default, **about):
    """A text."""

    def check(name, value):
        if not isinstance(value, str) or not value:
            raise InputError(f"{name} must be a text or None, received {value!r}")
        return value

    return _field(default, check, form="TEXT", what="a text", **about)


def expected(metadata):
    """Which texts a setting takes, for an error message: ``"auto, full, tiled or a number of bytes such as 2GB"``."""
    options = [*metadata["choices"], *filter(None, [metadata["what"], metadata["none"]])]
    return " or ".join(filter(None, [", ".join(options[:-1]), options[-1]]))


def _field(default, check, parse=str, write=str, *, none=None, **about):
    """A dataclass field whose metadata are complete: those not given have their defaults, and None is taken care of."""

    def check_or_none(name, value):
        return None if value is None and none is not None else check(name, value)

    def parse_or_none(text):
        if text == none:
            return None
        try:
            return parse(text)
        except ValueError:
            raise InputError(f"expected {expected(metadata)}, received {text!r}") from None

    def write_or_none(value):
        return none if value is None else write(value)

    metadata = {"live": False, "free": False, "choices": (), "form": None, "what": None, **about, "none": none}
    metadata |= {"check": check_or_none, "parse": parse_or_none, "write": write_or_none}
    start = {"default_factory": default.copy} if isinstance(default, dict) else {"default": default}
    return dataclasses.field(**start, metadata=metadata)


def _only_text(value):
    return value if isinstance(value, str) else None


def _check_layers(name, value):
    names = [value] if isinstance(value, str) else value
    layers = dict(names) if isinstance(names, Mapping) else None
    if isinstance(names, Sequence) and all(isinstance(layer, str) for layer in names):
        layers = dict.fromkeys(names, 1.0)
    if not layers or not all(isinstance(layer, str) for layer in layers):
        raise InputError(f"{name} must be layer names or {{layer: weight}}, at least one, received {value!r}")
    layers = {layer: checks.number(f"{name}[{layer!r}]", weight, 0) for layer, weight in layers.items()}
    if not sum(layers.values()):
        raise InputError(f"{name} needs a weight above 0, received {layers}")
    return layers


def _parse_layers(text):
    pairs = [item.partition("=") for item in text.split(",")]
    if not all(name.strip() for name, _, _ in pairs):
        raise ValueError("a layer without a name")
    return {name.strip(): float(weight) if equals else 1.0 for name, equals, weight in pairs}


def _write_layers(value):
    return ",".join(layer if weight == 1 else f"{layer}={checks.shortest(weight)}" for layer, weight in value.items())


def _parse_bytes(text):
    """``"2GB"`` -> 2147483648."""
    size = re.fullmatch(r"(\d*\.?\d+) ?([KMGT]?)I?B?", text.upper())
    if size is None:
        raise ValueError(f"{text!r} is no size")
    return math.ceil(Fraction(size[1]) * 1024 ** " KMGT".index(size[2] or " "))


def _write_bytes(value):
    """The largest unit that leaves a whole number: ``"2GB"``, ``"1536MB"``."""
    if isinstance(value, str):
        return value
    power = next(power for power in (4, 3, 2, 1, 0) if value % 1024**power == 0)
    return f"{value // 1024**power}{' KMGT'[power].strip()}B"
