"""The controls of one region of the photograph: its style, brush, weight and layers."""

import html
from dataclasses import fields, replace
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np

from .. import regions, samples
from ..styles import Style
from .controls import slider
from .drawing import EMPTY, narrow
from .groups import hundredths
from .shelf import last_used, sample_thumbnails

ALL = ""  # of a drop-down list, None would be no choice
LAYERS = {"grain and motifs": ALL, "the grain alone": "fine", "motifs alone": "coarse"}
ABOVE = ""  # key of the style picture chosen above, for all regions


class Area(NamedTuple):
    """A region.

    Attributes:
        name: what it is called.
        shown: its mask, array (H, W) in [0, 1] of any size.
        style: the :class:`~nstlib.Style` that it begins with; its picture is that of the key ``own``.
        codes: ``{name: expression}`` of the style's fields.
        own: key of the style's picture.
    """

    name: str
    shown: np.ndarray
    style: Style
    codes: dict
    own: str = ABOVE


class Offer(NamedTuple):
    """A style to choose: its picture, the expression for it, its name, a thumbnail."""

    source: object
    code: str
    name: str
    small: bytes


class AreaControls(widgets.HBox):
    """A row of controls.

    Args:
        number: of the region, whose colour it has in :func:`nstlib.regions.show`.
        area: :class:`Area`.
        offers: ``{key: Offer}``.
        changed: called without arguments when something is moved.

    Attributes:
        area: the same.
        style, brush, weight, layers: the controls; the value of ``style`` is a key.
    """

    def __init__(self, number, area, offers, changed):
        self.area, name = area, html.escape(area.name)
        colour = bytes(round(255 * value) for value in regions.color_of(number)).hex()
        share = f'<span class="nstlib-quiet">{area.shown.mean():.0%}</span>'
        name = f'<b style="border-left:.8em solid #{colour};padding-left:.4em">{name}</b> {share}'
        layout = widgets.Layout(width="30px", height="30px", object_fit="cover")
        self._small = widgets.Image(format="jpeg", value=EMPTY, layout=layout)
        self.style = widgets.Dropdown(**narrow("style", f"the style of region {area.name}", "13em"))
        tip = f"size of the strokes in region {area.name}, on top of the stroke size for all"
        mapped = isinstance(area.style.brush, tuple)  # a map of sizes, given in code, stays as it is
        self.brush = slider(1.0 if mapped else area.style.brush, hundredths(25, 305), narrow("brush", tip, "14.5em"))
        self.brush.layout.display = "none" if mapped else None
        tip = f"how much region {area.name} is painted beside the others, 0 for not at all"
        self.weight = slider(area.style.weight, hundredths(0, 305), narrow("weight", tip, "14.5em"))
        tip = f"which layers of the network the style of region {area.name} is for"
        self.layers = widgets.Dropdown(options=LAYERS, value=area.style.layers or ALL, **narrow("with", tip, "16em"))
        parts = [widgets.HTML(name, layout=widgets.Layout(min_width="6.5em")), self._small]
        layout = widgets.Layout(flex_flow="row wrap", align_items="center")
        super().__init__([*parts, self.style, self.brush, self.weight, self.layers], layout=layout)
        self.offer(offers, area.own)
        self.style.observe(self._draw, "value")
        for control in (self.brush, self.weight):  # as long as the row has room
            control.layout.flex, control.layout.max_width = "1 1 14.5em", "22em"
        self._controls = (self.style, self.brush, self.weight, self.layers)
        for control in self._controls:
            control.observe(lambda _: changed(), "value")

    def offer(self, offers, chosen=None):
        """Let the style be chosen among ``{key: Offer}``; the one chosen stays, if it is still there."""
        chosen = self.style.value if chosen is None else chosen
        self._offers = offers
        self.style.options = [(offer.name, key) for key, offer in offers.items()]
        self.style.value = chosen if chosen in offers else ABOVE
        self._draw()

    @property
    def chosen(self):
        """``(key, Offer)`` of the style chosen."""
        return self.style.value, self._offers[self.style.value]

    @property
    def state(self):
        """What the controls say, for :meth:`put_back`."""
        return [control.value for control in self._controls]

    def put_back(self, state):
        """Move the controls to where they were when this was the :attr:`state`."""
        for control, value in zip(self._controls, state, strict=True):
            control.value = value

    def styled(self, above):
        """Its :class:`~nstlib.Style`; ``above`` is the style picture chosen for all regions."""
        key = self.style.value
        return replace(self.area.style, picture=above if key == ABOVE else self._offers[key].source, **self._moved)

    @property
    def code(self):
        """The expression for its style."""
        moved = self._moved
        written = {name: expression(value, f"{name}_{self.area.name}") for name, value in moved.items()}
        codes = {**self.area.codes, **written}
        arguments = [f"{name}={codes[name]}" for name in beside_picture(replace(self.area.style, **moved))]
        return f"Style({', '.join([self._offers[self.style.value].code, *arguments])})"

    @property
    def _moved(self):
        """What differs from the style that it began with, of which the mask of the painting is only for its own."""
        brush = self.area.style.brush if self.brush.layout.display == "none" else self.brush.value
        moved = {"brush": brush, "weight": self.weight.value, "layers": self.layers.value or None}
        return moved if self.style.value == self.area.own else {**moved, "of": None}

    def _draw(self, _=None):
        self._small.value = self._offers[self.style.value].small


def offers(picker, given):
    """``{key: Offer}`` of all styles to choose: that of the ``picker`` for styles first, then those ``given``."""
    above = Offer(None, picker.code, "as above", picker.small)
    shown = {
        key: Offer(key, repr(key), name, small) for key, (small, name, _) in sample_thumbnails(samples.STYLES).items()
    }
    last = {
        key: Offer(source, repr(name if isinstance(source, bytes) else source), name, small)
        for key, (source, name, small) in last_used("Style").items()
    }
    return {ABOVE: above, **given, **shown, **last}


def beside_picture(style):
    """Names of what a :class:`~nstlib.Style` asks for beside its picture."""
    names = [one.name for one in fields(Style) if one.name != "picture"]
    pairs = [(name, getattr(style, name), getattr(Style(None), name)) for name in names]
    return [name for name, value, default in pairs if type(value) is not type(default) or value != default]


def expression(value, name):
    """The code for a value that was given in code: itself if it can be written, else the name it goes by."""
    parts = value if isinstance(value, tuple) else [value]
    return repr(value) if all(isinstance(part, (str, int, float, type(None))) for part in parts) else name
