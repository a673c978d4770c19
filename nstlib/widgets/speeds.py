"""Speeds to choose from in one row, and what a painting will need, said before it starts."""

import contextlib
import threading
from dataclasses import replace

import ipywidgets as widgets

from ..ambient import choose_devices
from ..errors import InputError
from ..features.original import packaged_file
from ..features.pretrained import name_of_auto
from ..features.tiling import FULL
from ..images import fit_size
from ..terms import standard_terms
from ..transfer.estimate import duration, seconds_per_pixel
from ..transfer.margin import outer
from ..transfer.memory import free_memory, kept_by, peak_memory, plan_for
from ..transfer.network import prepare_backbone
from ..transfer.scene import pyramid
from .drawing import explain

SPEEDS = {
    "interactive": {"size": 384, "iterations": 150, "backbone": "compact"},
    "final": {"size": 1024, "iterations": 250, "backbone": "vgg19"},
}
TOOLTIPS = ("compact network, small picture: for trying things out", "VGG-19, large picture: for keeping")
PROBE = 192  # pixels a side of the picture that the speed of a network is measured with
_MEASURED = {}  # of this process: {settings that the speed depends on: (network without values, seconds per pixel)}


class Speeds(widgets.VBox):
    """The row of speeds, and below it the needs of a painting with the settings as they are.

    Args:
        choose: called with the settings of the speed that was pressed.

    Attributes:
        buttons: the :class:`ipywidgets.ToggleButtons`; none is pressed where the settings are one's own.
        needs: what is said about the painting, as text.
    """

    def __init__(self, choose):
        options = [(name.title(), name) for name in SPEEDS]
        self.buttons = widgets.ToggleButtons(options=options, tooltips=TOOLTIPS, style={"button_width": "7.5em"})
        self.buttons.observe(self._pressed, "value")
        self._choose, self._line = choose, widgets.HTML()
        self.needs, self._asked, self._thread, self._closed = "", None, None, False
        super().__init__([self.buttons, self._line])

    def show(self, settings, shape, divided, idle=True):
        """Say what a painting will need; for the arguments see :func:`needs`. Measure it first where ``idle``."""
        current = {name: getattr(settings, name) for name in SPEEDS["final"]}
        self._asked = None  # so that the next line does not act as a press
        self.buttons.value = next((name for name, speed in SPEEDS.items() if speed == current), None)
        settings = _named(settings)
        self._asked = settings, shape, divided
        if idle and _key(settings) not in _MEASURED and _at_hand(settings) and not self._measuring:
            self._thread = threading.Thread(target=self._measure, daemon=True, name="nstlib-speed")
            self._thread.start()
        self._say()

    def end(self):
        """Wait for the end of a measurement."""
        self._closed = True
        if self._thread is not None:
            self._thread.join()

    @property
    def _measuring(self):
        return self._thread is not None and self._thread.is_alive()

    def _pressed(self, change):
        if self._asked is not None and change["new"] is not None:
            self._choose(SPEEDS[change["new"]])

    def _measure(self):
        settings = self._asked[0]
        while not self._closed and _key(settings) not in _MEASURED and _at_hand(settings):
            try:
                _MEASURED[_key(settings)] = measure(settings)
            except Exception as error:  # a thread's log is lost
                _MEASURED[_key(settings)] = explain(error)
            settings = self._asked[0] if self._asked else settings
        if not self._closed:
            self._say()

    def _say(self):
        if self._asked is not None:
            self.needs = needs(*self._asked)
            self._line.value = f'<span class="nstlib-quiet">{self.needs}</span>'


def measure(settings):
    """``(network, seconds)``: the network of these settings without its values, seconds per pixel and iteration."""
    device = choose_devices(settings.device)[0]
    backbone, _ = prepare_backbone(replace(settings, network=None), device)
    seconds = seconds_per_pixel(backbone, FULL, (PROBE, PROBE), settings.optimizer)
    return backbone.to("meta"), seconds


def needs(settings, shape, divided=False):
    """Size, network, time and memory of a painting, as text; time and memory only where the speed was measured.

    Args:
        settings: :class:`~nstlib.Settings`.
        shape: (height, width) of the photograph.
        divided: whether there are regions. What they cost is known only once they are laid out.
    """
    height, width = fit_size(*shape, settings.size or max(shape))
    known = _MEASURED.get(_key(settings))
    name = settings.backbone if isinstance(settings.backbone, str) else "given in code"
    text = f"{width} × {height} pixels · network {name} · {settings.iterations} iterations"
    if known is None:
        return f"{text} · {'measuring the time …' if _at_hand(settings) else 'time and memory not known yet'}"
    if isinstance(known, str):
        return f"{text} · {known}"
    backbone, speed = known
    try:
        sizes, counts = pyramid((height, width), settings, backbone.smallest_side)
    except Exception as error:
        return f"{text} · {explain(error)}"
    sizes = [outer(size, settings.margin) for size in sizes]
    seconds = speed * sum(count * h * w for count, (h, w) in zip(counts, sizes, strict=True))
    device = choose_devices(settings.device)[0]
    options = {"optimizer": settings.optimizer, "kept": kept_by(standard_terms(settings), backbone)}
    plan = plan_for(backbone, sizes[-1], settings.memory, device=device, **options)
    memory = peak_memory(backbone, sizes[-1], plan, **options)
    room = f"{memory / 2**30:.1f} GB of memory, {free_memory(device) / 2**30:.0f} GB free on {device}"
    more = [name for name, used in (("regions", divided), ("directions", settings.direction)) if used]
    return f"{text} · about {duration(seconds)} · {room}" + (f" · without {' and '.join(more)}" if more else "")


def _named(settings):
    """The settings with the name of the network that "auto" stands for here."""
    if settings.backbone == "auto" and settings.weights is None:
        with contextlib.suppress(InputError):  # of a device that is not here: Start will say so
            return replace(settings, backbone=name_of_auto(choose_devices(settings.device)[0].type))
    return settings


def _key(settings):
    names = ("backbone", "weights", "pooling", "padding", "device", "precision", "optimizer")
    values = tuple(str(getattr(settings, name)) for name in names)
    return values, tuple(settings.content_layers), tuple(settings.style_layers)


def _at_hand(settings):
    """Whether the network can be loaded without a download; one given in code is not measured."""
    name = settings.backbone if isinstance(settings.backbone, str) and settings.weights is None else None
    return name == "compact" or (name == "vgg19" and packaged_file() is not None)
