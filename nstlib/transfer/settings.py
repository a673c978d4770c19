"""Every setting of a transfer, declared once."""

import dataclasses
import os
from dataclasses import dataclass

from ..color import COLORS
from ..errors import InputError, check_choice
from ..features.backbone import BACKBONES, PADDINGS, POOLINGS
from ..losses import STYLE_LOSSES
from ..pictures.sources import local_path
from . import fields
from .canvas import CANVASES
from .derived import DERIVED, STYLE_WEIGHTS
from .optimizers import OPTIMIZERS

INITS = ("content", "noise", "style")
DEVICES = ("auto", "all", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "float32", "float16", "bfloat16", "float64")
MEMORY = ("auto", "full", "tiled")


@dataclass
class Settings:
    """The settings of a transfer. ``StyleTransfer`` and ``stylize`` take each of them as a keyword.

    Every assignment is checked. While a transfer runs, only the fields whose metadata say ``live`` may change, of the
    layers the values; and other ways to write these, which are not stored (:mod:`nstlib.transfer.derived`):
    ``style_strength``, ``grain``, ``motif``. :mod:`nstlib.transfer.fields` describes the metadata.

    Raises:
        InputError: a value that makes no sense, on construction and on every assignment.
    """

    size: int | None = fields.whole(
        512, 1, none="original", group="pictures", help="longer side of the result in pixels, or the content's own size"
    )
    content_weight: float = fields.number(1.0, 0, live=True, group="style", help="alpha, weight of the content loss")
    style_weight: float = fields.number(20.0, 0, live=True, group="style", help="beta, weight of the style loss")
    tv_weight: float = fields.number(
        10.0, 0, live=True, group="style", help="gamma, weight of the total variation, which makes the picture smoother"
    )
    content_layers: dict = fields.layers(
        {"relu4_2": 1.0}, live=True, group="style", help="layers of the content loss; weights are relative to their sum"
    )
    style_layers: dict = fields.layers(
        STYLE_WEIGHTS, live=True, group="style", help="layers of the style loss, likewise"
    )
    style_loss: str = fields.choice(
        "gram", STYLE_LOSSES, group="style", help="how the statistics of features are compared"
    )
    colorless_grain: bool = fields.switch(
        False, group="style", help="in blocks 1 and 2, compare covariances alone: the grain without its colours"
    )
    unitless: bool = fields.switch(
        True, group="style", help="losses relative to their targets, instead of the sums of Gatys et al. 2016"
    )
    optimizer: str = fields.choice(
        "LBFGS",
        OPTIMIZERS,
        live=True,
        group="optimization",
        help="LBFGS reaches the lowest loss in a given time, Adam needs less memory",
    )
    learning_rate: float | None = fields.number(
        None,
        1e-12,
        none="default",
        live=True,
        group="optimization",
        help="step size, by default the optimizer's own",
    )
    iterations: int = fields.whole(
        250, 1, group="optimization", help="total over all sizes of the pyramid; the coarser ones get more"
    )
    levels: int | None = fields.whole(
        None,
        1,
        none="auto",
        group="optimization",
        help="sizes of the pyramid, each twice the one before; by default, as many as start from 256 pixels",
    )
    init: object = fields.picture(
        "content", INITS, free=True, group="optimization", help="what the optimization starts from"
    )
    canvas: str = fields.choice(
        "pixels", CANVASES, group="optimization", help="what is optimised: the pixels of the picture"
    )
    backbone: object = fields.backbone(
        "auto",
        BACKBONES,
        free=True,
        group="network",
        help="network whose features are compared; auto is vgg19 on a GPU, if it is installed, else compact",
    )
    weights: str | None = fields.file(
        None,
        none="",
        free=True,
        group="network",
        help="weights of the network, by default found on this machine; only torchvision's are downloaded",
    )
    network: str | None = fields.text(
        None,
        none="",
        free=True,
        group="network",
        help="fingerprint of the network that a saved picture was made with; a different network gives a warning",
    )
    pooling: str = fields.choice(
        "max", POOLINGS, group="network", help="max as the network was trained, average as Gatys et al. prefer"
    )
    padding: str = fields.choice(
        "replicate", PADDINGS, group="network", help="padding of the convolutions; zeros leave a frame in the picture"
    )
    margin: int = fields.whole(8, 0, group="network", help="pixels painted around it and cut off, 1/8 of it at most")
    color: str = fields.choice(
        "style", COLORS, group="style", help="the painting's colours, or the photograph's by several methods"
    )
    color_strength: float = fields.number(
        1.0, 0, 1, group="style", help="from 0, the style's colours, to 1, the content's; only where color is not style"
    )
    brush: float = fields.number(
        1.0, 1e-12, group="style", help="size of the strokes relative to the picture, 1 as in the painting"
    )
    breadth: float = fields.number(
        0.0, 0, 1, group="style", help="from 0, fine strokes alone, to 1, also shapes broader than the network sees"
    )
    protection: float = fields.number(
        1.0, 0, 1, live=True, group="style", help="from 0 to 1, how much the protected area stays as it is"
    )
    direction: float = fields.number(
        0.0, 0, 1, group="style", help="from 0 to 1, how much strokes run along the structure of the photograph"
    )
    seed: int = fields.whole(
        0, -(2**63), 2**63 - 1, group="optimization", help="seed of the noise that the optimization may start from"
    )
    device: str = fields.device(
        "auto", DEVICES, free=True, group="machine", help="auto is the fastest, all is every GPU; cuda:0,cuda:1 are two"
    )
    precision: str = fields.choice(
        "auto",
        PRECISIONS,
        free=True,
        group="machine",
        help="number format of the network; auto is float16 on CUDA, bfloat16 on a CPU built for it, else float32",
    )
    memory: object = fields.memory(
        "auto",
        MEMORY,
        free=True,
        group="machine",
        help="auto is the fastest way that fits the free memory, a size one that fits so many bytes",
    )
    compile: bool = fields.switch(False, free=True, group="machine", help="run the network through torch.compile")

    style_strength, grain, motif = (property(derived.read) for derived in DERIVED.values())  # in its order

    def __setattr__(self, name, value):
        if name in DERIVED:
            return DERIVED[name].write(self, DERIVED[name].field.metadata["check"](name, value))
        check_choice("setting", name, OPTIONS)
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
        """Raise :class:`InputError` for what assignments cannot see: layers edited in place, contradicting fields."""
        for name in ("content_layers", "style_layers"):
            FIELDS[name].metadata["check"](name, getattr(self, name))
        if not self.unitless and self.style_loss != "gram":
            raise InputError(f"unitless=False is for style_loss='gram', received {self.style_loss!r}")

    def fix(self):
        """Refuse changes to all but the live settings from now on."""
        object.__setattr__(self, "_fixed", True)

    @property
    def layer_weights(self):
        """The weights of the layers, to be compared with those of another time."""
        pairs = (*self.content_layers.items(), *self.style_layers.items())
        return tuple((layer, float(weight)) for layer, weight in pairs)

    @property
    def fixed(self):
        """Everything that the result depends on and a resumed run must share, as values to compare."""
        values = [(n, getattr(self, n)) for n, f in FIELDS.items() if not (f.metadata["live"] or f.metadata["free"])]
        init = self.init if isinstance(self.init, str) and self.init in INITS else fields.GIVEN
        return [*values, tuple(self.content_layers), tuple(self.style_layers), init]

    def as_dict(self):
        """A copy for the metadata of a saved picture, of what JSON can hold and without the names of local folders."""
        values = {name: getattr(self, name) for name in FIELDS}
        return values | {name: _publishable(values[name]) for name in ("init", "backbone", "weights")}


def _publishable(value):
    """A text as it is, but a file without its folders; the word ``"given"`` for what is no text or holds a picture."""
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        return fields.GIVEN
    path = local_path(value)
    if path is not None:
        return os.path.basename(path)
    return fields.GIVEN if value.lower().startswith("data:") else value


#: The fields of :class:`Settings` by name, and the names of those that may change while a transfer runs.
FIELDS = {f.name: f for f in dataclasses.fields(Settings)}
LIVE = tuple(name for name, f in FIELDS.items() if f.metadata["live"])
#: With those that are not stored, all that :func:`~nstlib.transfer.presets.make_settings` takes.
OPTIONS = {**{name: derived.field for name, derived in DERIVED.items()}, **FIELDS}
