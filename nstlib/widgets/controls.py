"""Settings as widgets, read back exactly, and written as code.

The sliders step through round numbers, among which stands the value given, however fine, large or small it is.
"""

import dataclasses

import ipywidgets as widgets

from ..color import COLORS
from ..features.backbone import BACKBONES
from ..losses import STYLE_LOSSES
from ..transfer.optimizers import OPTIMIZERS
from ..transfer.settings import INITS, Settings, make_settings
from .drawing import labelled

#: Settings that take effect at once while a picture is painted; the others, at the next start.
LIVE = ("content_weight", "style_weight", "tv_weight", "optimizer", "learning_rate", "style_layers")
#: What stands for None among the values of a slider, which cannot have None itself.
NONE = {"size": "original", "learning_rate": "default"}

# The numbers beside these sliders look as if one could type there; what is typed would be shown, but not painted.
CSS = "<style>.nstlib-slider .widget-readout { pointer-events: none }</style>"


def make_controls(given):
    """The widgets of :class:`~nstlib.Settings`: a dict by the name of the setting or of the style layer.

    Each ``value`` is the setting's, but for the words in :data:`NONE`. A picture given as ``init`` has no widget.
    """
    from_zero = (0, *round_numbers(-2, 4))
    controls = {
        "content_weight": _slider("content α", given.content_weight, from_zero),
        "style_weight": _slider("style β", given.style_weight, from_zero),
        "tv_weight": _slider("smooth γ", given.tv_weight, from_zero),
        "optimizer": _choice("optimizer", given.optimizer, OPTIMIZERS),
        "learning_rate": _slider("learning rate", given.learning_rate, (NONE["learning_rate"], *round_numbers(-5, 1))),
        "size": _slider("size", given.size, (NONE["size"], *range(64, 1024, 64), *range(1024, 4097, 128))),
        "iterations": widgets.IntSlider(
            given.iterations, min=1, max=max(1000, given.iterations), **labelled("iterations")
        ),
        "style_scale": _slider("style scale", given.style_scale, hundredths(25, 305)),
        "style_loss": _choice("style loss", given.style_loss, STYLE_LOSSES),
        "color": _choice("color", given.color, COLORS),
        "color_strength": _slider("keep colour", given.color_strength, hundredths(0, 105)),
        "backbone": _choice("backbone", given.backbone, BACKBONES),
    }  # fmt: skip
    if isinstance(given.init, str) and given.init in INITS:
        controls["init"] = _choice("init", given.init, INITS)
    layers = {layer: _slider(layer, weight, hundredths(0, 205)) for layer, weight in given.style_layers.items()}
    # An explicit rate suits the optimizer it was chosen for.
    controls["optimizer"].observe(lambda _: setattr(controls["learning_rate"], "value", NONE["learning_rate"]), "value")
    return {**controls, **layers}


def arrange(controls, layers):
    """A column of the widgets: those that act at once, the weights of the style ``layers``, and the others."""
    live = [control for name, control in controls.items() if name in LIVE]
    of_layers = [controls[layer] for layer in layers]
    others = [control for name, control in controls.items() if name not in LIVE and name not in layers]
    accordion = widgets.Accordion([widgets.VBox(of_layers)], selected_index=None)
    accordion.set_title(0, "Weight of each style layer")
    at_once = widgets.HTML(f"{CSS}<b>At once, also while it paints</b>")
    next_start = widgets.HTML("<b>From the next start</b>")
    return widgets.VBox(
        [at_once, *live, accordion, next_start, *others], layout=widgets.Layout(width="auto", max_width="100%")
    )


def read_controls(controls, given):
    """The :class:`~nstlib.Settings` that the widgets show; what has no widget is as in ``given``.

    Raises:
        InputError: they contradict each other.
    """
    values = {name: control.value for name, control in controls.items() if name not in given.style_layers}
    values.update({name: None for name, word in NONE.items() if values[name] == word})
    layers = {layer: controls[layer].value for layer in given.style_layers}
    return make_settings(**{**as_keywords(given), **values, "style_layers": layers})


def as_keywords(settings):
    """``{name: value}`` of all settings, the values themselves."""
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}


def as_code(settings):
    """``["size=64", "init=init", ...]``: what differs from the defaults. A value that is no literal is only named."""
    literal = (str, int, float, bool, type(None), dict, tuple, list)
    defaults = as_keywords(Settings())
    return [
        f"{name}={value!r}" if type(value) in literal else f"{name}={name}"
        for name, value in as_keywords(settings).items()
        if type(value) not in literal or value != defaults[name]
    ]


def round_numbers(least, most):
    """Floats from ``10**least`` to ``10**most``, fourteen to a power of ten."""
    digits = (1, 1.2, 1.5, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)
    return (*(float(f"{digit}e{power}") for power in range(least, most) for digit in digits), 10.0**most)


def hundredths(first, end):
    """Every fifth of the hundredths from ``first`` to before ``end``."""
    return tuple(i / 100 for i in range(first, end, 5))


def _slider(text, given, offered):
    """A slider over ``offered``: numbers, and perhaps a word for None as its leftmost choice; and the number given."""
    words = [value for value in offered if isinstance(value, str)]
    numbers = sorted({value for value in (*offered, given) if value is not None and value not in words})
    options = [(f"{value:g}" if isinstance(value, float) else str(value), value) for value in [*words, *numbers]]
    slider = widgets.SelectionSlider(options=options, value=words[0] if given is None else given, **labelled(text))
    slider.add_class("nstlib-slider")
    return slider


def _choice(text, given, names):
    return widgets.Dropdown(options=list(names), value=given, **labelled(text))
