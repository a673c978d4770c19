"""Every choice a transfer depends on, with its default, its limits and its presets."""

import dataclasses
import math
import os
from dataclasses import dataclass, field

from .color import check_color
from .errors import InputError, check_choice
from .features import BACKBONES, PADDINGS, POOLINGS, STYLE_LAYERS
from .losses import STYLE_LOSSES
from .optimizers import OPTIMIZERS

INITS = ("content", "noise", "style")
DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "float32", "float16", "bfloat16", "float64")
MEMORY = ("auto", "full", "tiled")


@dataclass
class Settings:
    """The settings of a transfer. ``StyleTransfer`` and ``stylize`` take each of them as a keyword.

    ``content_weight`` (alpha), ``style_weight`` (beta), ``tv_weight`` (gamma), ``learning_rate``,
    ``optimizer`` and the values in ``style_layers`` and ``content_layers`` may be changed while a transfer runs.

    Attributes:
        size: longer side of the result in pixels; None for the content's own size.
        content_weight, style_weight, tv_weight: weights of the three losses. The losses have no unit, so the
            same weights mean the same at every size and with every backbone.
        content_layers, style_layers: ``{layer: weight}``; a sequence of names weighs all alike. Weights are
            relative to their sum.
        style_loss: ``"gram"``, ``"mean_std"`` or ``"wasserstein"``.
        normalized: False for the sums of the 2016 paper instead of losses without a unit.
        optimizer: ``"LBFGS"`` (lowest loss in the same time), ``"Adam"`` (least memory), ``"AdamW"``, ``"NAdam"``,
            ``"RMSprop"`` or ``"SGD"``.
        learning_rate: None for the optimizer's own default.
        iterations: in all, over all levels of the pyramid; the coarse levels get more of them.
        levels: number of sizes in the pyramid, each twice the last; None for as many as keep the longer
            side at 256 pixels or more, 1 for no pyramid.
        init: ``"content"``, ``"noise"``, ``"style"``, or a picture to start from.
        backbone: ``"auto"``, ``"vgg19"``, ``"vgg16"`` or ``"compact"``; ``weights``: file for it.
        pooling: ``"max"`` or ``"average"``.
        padding: of the convolutions, ``"replicate"``, ``"reflect"`` or ``"zeros"`` (leaves a frame).
        color: whose colours: ``"style"``, or the content's by ``"histogram"``, ``"histogram_after"``, ``"cholesky"``,
            ``"pca"``, ``"symmetric"`` or ``"luminance"``; see :mod:`nstlib.color`.
        color_strength: from 0, the style's colours after all, to 1.
        style_scale: size of the style relative to the result; larger values give larger strokes. The style is
            never enlarged beyond its own size.
        style_blend: weight of each style picture; None for equal weights.
        seed: of the noise.
        device: ``"auto"`` takes the fastest there is.
        precision: of the network; losses and image are always at least float32. ``"auto"`` is float16 on CUDA.
        memory: ``"auto"`` (what fits in the free memory), ``"full"``, ``"tiled"``, or a number of bytes.
        compile: run the network through ``torch.compile``.
    """

    size: int | None = 512
    content_weight: float = 1.0
    style_weight: float = 20.0
    tv_weight: float = 10.0
    content_layers: dict = field(default_factory=lambda: {"relu4_2": 1.0})
    style_layers: dict = field(default_factory=lambda: dict.fromkeys(STYLE_LAYERS, 1.0))
    style_loss: str = "gram"
    normalized: bool = True
    optimizer: str = "LBFGS"
    learning_rate: float | None = None
    iterations: int = 250
    levels: int | None = None
    init: object = "content"
    backbone: str = "auto"
    weights: str | None = None
    pooling: str = "max"
    padding: str = "replicate"
    color: str = "style"
    color_strength: float = 1.0
    style_scale: float = 1.0
    style_blend: tuple | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    memory: object = "auto"
    compile: bool = False

    def __post_init__(self):
        for name in ("content_layers", "style_layers"):
            layers = getattr(self, name)
            layers = [layers] if isinstance(layers, str) else layers
            setattr(self, name, dict(layers) if isinstance(layers, dict) else dict.fromkeys(layers, 1.0))
        if self.style_blend is not None:
            self.style_blend = tuple(self.style_blend)
        self.check()

    def check(self):
        """Raise :class:`InputError` for a value that makes no sense."""
        for name, choices in (
            ("style_loss", STYLE_LOSSES), ("optimizer", OPTIMIZERS), ("backbone", BACKBONES), ("pooling", POOLINGS),
            ("padding", PADDINGS), ("precision", PRECISIONS),
        ):  # fmt: skip
            check_choice(name, getattr(self, name), choices)
        check_choice("device", str(self.device).partition(":")[0], DEVICES)
        check_color(self.color, self.color_strength)
        for name in ("content_weight", "style_weight", "tv_weight"):
            self._number(name, 0)
        for name in ("style_scale", "learning_rate"):
            self._number(name, 1e-12)
        for name in ("iterations", "size", "levels"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"{name} must be a whole number of at least 1, received {value!r}")
        if self.iterations is None:
            raise InputError("iterations must be a whole number of at least 1, received None")
        for name in ("content_layers", "style_layers"):
            layers = getattr(self, name)
            if not layers or any(not _is_weight(w) for w in layers.values()) or sum(layers.values()) == 0:
                raise InputError(
                    f"{name} needs at least one layer and weights of at least 0 that are not all 0, received {layers}"
                )
        if self.style_blend is not None and (
            any(not _is_weight(w) for w in self.style_blend) or sum(self.style_blend) == 0
        ):
            raise InputError(f"style_blend needs weights of at least 0 that are not all 0, received {self.style_blend}")
        if not self.normalized and self.style_loss != "gram":
            raise InputError("normalized=False knows the paper's style_loss='gram' alone")
        if isinstance(self.memory, str):
            check_choice("memory", self.memory, MEMORY)
        elif not isinstance(self.memory, int) or self.memory <= 0:
            raise InputError(
                f"memory must be one of {', '.join(MEMORY)} or a number of bytes, received {self.memory!r}"
            )

    def _number(self, name, least):
        value = getattr(self, name)
        if value is None and name == "learning_rate":
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < least:
            raise InputError(f"{name} must be a number of at least {least:g}, received {value!r}")

    @property
    def loss_weights(self):
        """All that weighs one loss against another, to tell whether it changed."""
        return (
            self.content_weight, self.style_weight, self.tv_weight,
            *self.content_layers.items(), *self.style_layers.items(),
        )  # fmt: skip

    def as_dict(self):
        """JSON-able copy. A picture given as ``init`` is named if it is a file, and left out if it is not."""
        values = dataclasses.asdict(dataclasses.replace(self, init="content"))
        if isinstance(self.init, (str, os.PathLike)):
            return {**values, "init": str(self.init)}
        del values["init"]
        return values


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
        "normalized": False,
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
    names = [f.name for f in dataclasses.fields(Settings)]
    for name in options:
        check_choice("option", name, names)
    return Settings(**{**PRESETS[preset], **options})


def _is_weight(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
