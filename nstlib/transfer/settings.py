"""Every choice a transfer depends on: one field each, with its default, its limits and what it means."""

import dataclasses
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..checks import number, whole
from ..color import COLORS
from ..errors import InputError, check_choice
from ..features.backbone import BACKBONES, PADDINGS, POOLINGS, STYLE_LAYERS, Backbone
from ..losses import STYLE_LOSSES
from ..pictures.sources import local_path
from .canvas import CANVASES
from .optimizers import OPTIMIZERS

INITS = ("content", "noise", "style")
DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "float32", "float16", "bfloat16", "float64")
MEMORY = ("auto", "full", "tiled")
#: What stands in saved settings for a picture or a network that was given as an object.
GIVEN = "given"


def _number(default, least, most=math.inf, *, integer=False, optional=False, live=False, help):
    kind = whole if integer else number

    def check(name, value):
        return None if optional and value is None else kind(name, value, least, most)

    return field(default=default, metadata={"check": check, "least": least, "most": most, "live": live, "help": help})


def _choice(default, choices, *, live=False, help):
    def check(name, value):
        check_choice(name, value, choices)
        return value

    return field(default=default, metadata={"check": check, "choices": tuple(choices), "live": live, "help": help})


def _switch(default, *, help):
    def check(name, value):
        if not isinstance(value, (bool, np.bool_)):
            raise InputError(f"{name} must be True or False, received {value!r}")
        return bool(value)

    return field(default=default, metadata={"check": check, "live": False, "help": help})


def _other(default, check, *, live=False, help):
    """A field with a check of its own, ``check(name, value) -> value``; ``default`` may be a function."""
    kind = "default_factory" if callable(default) else "default"
    return field(**{kind: default}, metadata={"check": check, "live": live, "help": help})


def _check_layers(name, value):
    names = [value] if isinstance(value, str) else value
    layers = dict(names) if isinstance(names, Mapping) else None
    if isinstance(names, Sequence) and all(isinstance(layer, str) for layer in names):
        layers = dict.fromkeys(names, 1.0)
    if not layers or not all(isinstance(layer, str) for layer in layers):
        raise InputError(f"{name} must be layer names or {{layer: weight}}, at least one, received {value!r}")
    layers = {layer: number(f"{name}[{layer!r}]", weight, 0) for layer, weight in layers.items()}
    if not sum(layers.values()):
        raise InputError(f"{name} needs a weight above 0, received {layers}")
    return layers


def _check_blend(name, value):
    if value is None:
        return None
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, np.ndarray)) or not len(value):
        raise InputError(f"{name} must be a weight for each style picture, received {value!r}")
    weights = tuple(number(name, weight, 0) for weight in value)
    if not sum(weights):
        raise InputError(f"{name} needs a weight above 0, received {weights}")
    return weights


def _check_init(name, value):
    if value is None or isinstance(value, (bool, numbers.Number)):
        raise InputError(f"{name} must be one of {', '.join(INITS)} or a picture, received {value!r}")
    if isinstance(value, str) and value == GIVEN:
        raise InputError(f"these settings were saved with a picture given in code as {name}; pass it again")
    return value


def _check_backbone(name, value):
    if isinstance(value, str):
        if value == GIVEN:
            raise InputError("these settings were saved with a network given in code; pass it again as backbone=")
        check_choice(name, value, BACKBONES)
    elif not isinstance(value, Backbone):
        raise TypeError(f"backbone must be a name or a Backbone, received {type(value).__name__}")
    return value


def _check_file(name, value):
    if value is not None and not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{name} must be the path of a file or None, received {value!r}")
    return value


def _check_device(name, value):
    check_choice(name, str(value).partition(":")[0], DEVICES)
    return str(value)


def _check_memory(name, value):
    if isinstance(value, str):
        check_choice(name, value, MEMORY)
        return value
    return whole(f"{name}, if not one of {', '.join(MEMORY)},", value)


def _check_text(name, value):
    if value is not None and not isinstance(value, str):
        raise InputError(f"{name} must be a text or None, received {value!r}")
    return value


@dataclass
class Settings:
    """The settings of a transfer. ``StyleTransfer`` and ``stylize`` take each of them as a keyword.

    Every assignment is checked. While a transfer runs, the fields whose metadata say ``live`` may be changed:
    ``content_weight`` (alpha), ``style_weight`` (beta), ``tv_weight`` (gamma), ``learning_rate``, ``optimizer`` and
    the values in ``content_layers`` and ``style_layers``; the others are refused.

    The metadata of a field hold ``help`` (what it means), ``check`` (``check(name, value)`` gives the value in its
    own type or raises), ``live``, and ``choices`` or ``least`` and ``most`` where it has them.

    Raises:
        InputError: a value that makes no sense, on construction and on every assignment.
    """

    size: int | None = _number(
        512, 1, integer=True, optional=True, help="longer side of the result in pixels; None for the content's own size"
    )
    content_weight: float = _number(1.0, 0, live=True, help="alpha, weight of the content loss")
    style_weight: float = _number(20.0, 0, live=True, help="beta, weight of the style loss")
    tv_weight: float = _number(10.0, 0, live=True, help="gamma, weight of the total variation")
    content_layers: dict = _other(
        lambda: {"relu4_2": 1.0}, _check_layers, live=True,
        help="layers of the content loss: names or {layer: weight}; weights are relative to their sum",
    )  # fmt: skip
    style_layers: dict = _other(
        lambda: dict.fromkeys(STYLE_LAYERS, 1.0), _check_layers, live=True, help="layers of the style loss, likewise"
    )
    style_loss: str = _choice("gram", STYLE_LOSSES, help="distance of feature statistics")
    unitless: bool = _switch(True, help="losses relative to their targets; False for the sums of the 2016 paper")
    optimizer: str = _choice(
        "LBFGS", OPTIMIZERS, live=True, help="LBFGS has the lowest loss in the same time, Adam needs the least memory"
    )
    learning_rate: float | None = _number(None, 1e-12, optional=True, live=True, help="None for the optimizer's own")
    iterations: int = _number(250, 1, integer=True, help="over all sizes; the coarse ones get more of them")
    levels: int | None = _number(
        None, 1, integer=True, optional=True,
        help="sizes of the pyramid, each twice the last; None for as many as keep 256 pixels, 1 for no pyramid",
    )  # fmt: skip
    init: object = _other("content", _check_init, help="content, noise, style, or a picture to start from")
    canvas: str = _choice("pixels", CANVASES, help="what is optimised: the pixels of the picture")
    backbone: object = _other("auto", _check_backbone, help="name of the network, or a Backbone")
    weights: str | None = _other(None, _check_file, help="file of the network's weights")
    network: str | None = _other(
        None, _check_text, help="fingerprint of the network that painted a saved picture; another one warns"
    )
    pooling: str = _choice("max", POOLINGS, help="of the network: as it was trained, or as Gatys et al. prefer")
    padding: str = _choice("replicate", PADDINGS, help="of the convolutions; zeros leave a frame")
    color: str = _choice("style", COLORS, help="whose colours: the style's, or the content's in some way")
    color_strength: float = _number(1.0, 0, 1, help="from 0, the style's colours after all, to 1")
    style_scale: float = _number(
        1.0, 1e-12, help="size of the style relative to the result: larger values, larger strokes"
    )
    style_blend: tuple | None = _other(None, _check_blend, help="weight of each style picture; None for equal ones")
    seed: int = _number(0, -(2**63), 2**63 - 1, integer=True, help="of the noise; every number is one fixed noise")
    device: str = _other("auto", _check_device, help="auto takes the fastest there is")
    precision: str = _choice("auto", PRECISIONS, help="of the network; auto is float16 on CUDA, else float32")
    memory: object = _other("auto", _check_memory, help="auto (what fits in the free memory), full, tiled, or bytes")
    compile: bool = _switch(False, help="run the network through torch.compile")

    def __setattr__(self, name, value):
        check_choice("setting", name, FIELDS)
        if vars(self).get("_fixed") and name not in LIVE:
            raise InputError(f"{name} cannot be changed while a transfer runs; live are {', '.join(LIVE)}")
        value = FIELDS[name].metadata["check"](name, value)
        if vars(self).get("_fixed") and isinstance(value, dict):
            layers = getattr(self, name)
            if set(value) != set(layers):
                raise InputError(f"a running transfer keeps its {name}: give one the weight 0 to leave it out")
            value = {layer: value[layer] for layer in layers}
        object.__setattr__(self, name, value)

    def __post_init__(self):
        self.check()

    def check(self):
        """Raise :class:`InputError` for what no assignment shows: layers edited in place, fields at odds."""
        for name in ("content_layers", "style_layers"):
            _check_layers(name, getattr(self, name))
        if not self.unitless and self.style_loss != "gram":
            raise InputError("unitless=False knows the paper's style_loss='gram' alone")

    def fix(self):
        """From now on only live settings may be changed."""
        object.__setattr__(self, "_fixed", True)

    @property
    def layer_weights(self):
        """The weights of the layers, content's and style's, to tell whether they changed."""
        return (*self.content_layers.items(), *self.style_layers.items())

    @property
    def fixed(self):
        """What the result depends on and no resumed run may change, to compare."""
        # Where and how it is computed may change; so may what a running transfer lets change.
        free = {*LIVE, "device", "precision", "memory", "compile", "backbone", "weights", "network", "init"}
        init = self.init if isinstance(self.init, str) and self.init in INITS else GIVEN
        values = [(name, getattr(self, name)) for name in FIELDS if name not in free]
        return [*values, tuple(self.content_layers), tuple(self.style_layers), init]

    def as_dict(self):
        """JSON-able copy for a saved picture. Files go by their names, objects by the word ``"given"``."""
        values = {name: getattr(self, name) for name in FIELDS}
        for name in ("init", "backbone", "weights"):
            if isinstance(values[name], (str, os.PathLike)):
                path = local_path(values[name])
                whole_text = GIVEN if str(values[name]).lower().startswith("data:") else values[name]
                values[name] = whole_text if path is None else os.path.basename(path)
            elif values[name] is not None:
                values[name] = GIVEN
        return values


#: The fields of :class:`Settings` by name, and the names of those that may change while a transfer runs.
FIELDS = {f.name: f for f in dataclasses.fields(Settings)}
LIVE = tuple(name for name, f in FIELDS.items() if f.metadata["live"])

#: Named settings to start from. ``gatys2016`` is the method of Gatys et al., *Image Style Transfer Using
#: Convolutional Neural Networks*, CVPR 2016: its layers and weights, Gram normalisation, average pooling,
#: L-BFGS, one size, alpha / beta = 1e-3. Differs from the paper: its VGG was rescaled filter by filter to a mean
#: activation of 1 on ImageNet, here each layer is rescaled to a mean square of 1 on the pictures at hand; and Gram
#: matrices are divided by the pixels of their own picture before they are compared, which is the paper's formula
#: where both have one size.
PRESETS = {
    "default": {},
    "gatys2016": {
        "content_weight": 1.0,
        "style_weight": 1e3,
        "tv_weight": 0.0,
        "content_layers": {"relu4_2": 1.0},
        "style_layers": dict.fromkeys(STYLE_LAYERS, 0.2),
        "style_loss": "gram",
        "unitless": False,
        "optimizer": "LBFGS",
        "iterations": 500,
        "levels": 1,
        "init": "noise",
        "pooling": "average",
        "padding": "zeros",
    },
}


def make_settings(preset="default", **options):
    """:class:`Settings` from a preset and options that override it.

    Raises:
        InputError: unknown preset, option or value.
    """
    check_choice("preset", preset, PRESETS)
    for name in options:
        check_choice("option", name, FIELDS)
    return Settings(**{**PRESETS[preset], **options})
