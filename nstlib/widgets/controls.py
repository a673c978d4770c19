"""Settings as widgets, read back exactly, and written as code.

Every setting that can be written as text has a control, made from the metadata of its field. Sliders step through round
numbers; a value given that is not among them is added.
"""

import dataclasses

import ipywidgets as widgets

from ..errors import InputError
from ..transfer.fields import expected
from ..transfer.presets import make_settings
from ..transfer.settings import FIELDS, LIVE, Settings
from .drawing import labelled


def round_numbers(least, most):
    """Floats from ``10**least`` to ``10**most``, fourteen to a power of ten."""
    digits = (1, 1.2, 1.5, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)
    return (*(float(f"{digit}e{power}") for power in range(least, most) for digit in digits), 10.0**most)


def hundredths(first, end):
    """Every fifth of the hundredths from ``first`` to before ``end``."""
    return tuple(i / 100 for i in range(first, end, 5))


#: The main controls in their order, with their labels; all other settings are under "More settings".
MAIN = {
    "content_weight": "content α",
    "style_weight": "style β",
    "tv_weight": "smooth γ",
    "optimizer": "optimizer",
    "learning_rate": "learning rate",
    "size": "size",
    "iterations": "iterations",
    "style_scale": "style scale",
    "style_loss": "style loss",
    "color": "color",
    "color_strength": "keep colour",
    "backbone": "backbone",
    "init": "init",
}
#: The values that sliders offer.
OFFERED = {
    "content_weight": (0, *round_numbers(-2, 4)),
    "style_weight": (0, *round_numbers(-2, 4)),
    "tv_weight": (0, *round_numbers(-2, 4)),
    "learning_rate": (None, *round_numbers(-5, 1)),
    "size": (None, *range(64, 1024, 64), *range(1024, 4097, 128)),
    "iterations": range(1, 1001),
    "style_scale": hundredths(25, 305),
    "color_strength": hundredths(0, 105),
}
OFFERED_FOR_LAYERS = hundredths(0, 205)

# The readouts of these sliders look editable, but a number typed there would be shown without being used.
CSS = "<style>.nstlib-slider .widget-readout { pointer-events: none }</style>"


def make_controls(given):
    """The widgets of :class:`~nstlib.Settings`: a dict by the name of the setting or of the style layer.

    The ``value`` of each is the setting's, or a text that stands for it. An object given in code, such as a picture as
    ``init``, has no widget; the style layers have one each.
    """
    controls = {}
    for name in (*MAIN, *(name for name in FIELDS if name not in MAIN and name != "style_layers")):
        value = getattr(given, name)
        if FIELDS[name].metadata["write"](value) is not None:
            controls[name] = _control(name, value)
    # A learning rate suits only the optimizer that it was chosen for.
    word = FIELDS["learning_rate"].metadata["none"]
    controls["optimizer"].observe(lambda _: setattr(controls["learning_rate"], "value", word), "value")
    for layer, weight in given.style_layers.items():
        controls[layer] = _slider(weight, OFFERED_FOR_LAYERS, labelled(layer))
    return controls


def arrange(controls, layers):
    """A column of the widgets: live settings, weights of the style ``layers``, other main settings, all the rest."""
    live = [controls[name] for name in MAIN if name in controls and name in LIVE]
    others = [controls[name] for name in MAIN if name in controls and name not in LIVE]
    more = [control for name, control in controls.items() if name not in MAIN and name not in layers]
    return widgets.VBox(
        [
            widgets.HTML(f"{CSS}<b>At once, also while it paints</b>"),
            *live,
            _closed("Weight of each style layer", [controls[layer] for layer in layers]),
            widgets.HTML("<b>From the next start</b>"),
            *others,
            _closed("More settings", more),
        ],
        layout=widgets.Layout(width="auto", max_width="100%"),
    )


def read_controls(controls, given):
    """The :class:`~nstlib.Settings` that the widgets show; what has no widget is as in ``given``.

    Raises:
        InputError: a text that cannot be read, or controls that contradict each other.
    """
    values = {name: _read(name, control.value) for name, control in controls.items() if name in FIELDS}
    layers = {layer: controls[layer].value for layer in given.style_layers}
    return make_settings(**{**as_keywords(given), **values, "style_layers": layers})


def live_settings(settings, start):
    """``{name: value}`` of the live settings. Other layers than those at the ``start`` wait for the next one."""
    values = {name: getattr(settings, name) for name in LIVE}
    for name in ("content_layers", "style_layers"):
        if set(values[name]) != set(getattr(start, name)):
            del values[name]
    return values


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


def _control(name, value):
    metadata, label = FIELDS[name].metadata, labelled(MAIN.get(name, name.replace("_", " ")))
    if name in OFFERED:
        return _slider(value, OFFERED[name], label, metadata["none"])
    if metadata["choices"]:
        options = [*metadata["choices"], *([] if value in metadata["choices"] else [value])]
        return widgets.Dropdown(
            options=[(metadata["write"](option), option) for option in options], value=value, **label
        )
    if isinstance(value, bool):
        return widgets.Checkbox(value, **label)
    text = metadata["write"](value)
    return widgets.Text(text, placeholder=expected(metadata), continuous_update=False, **label)


def _slider(value, offered, label, none=None):
    """A slider over the values ``offered`` and the one given. It cannot have None itself, so that is ``none`` there."""
    if isinstance(offered, range):
        return widgets.IntSlider(value, min=offered[0], max=max(offered[-1], value), **label)
    numbers = sorted({number for number in (*offered, value) if number is not None})
    options = [(f"{number:g}" if isinstance(number, float) else str(number), number) for number in numbers]
    if None in offered:
        options.insert(0, (none, none))
    slider = widgets.SelectionSlider(options=options, value=none if value is None else value, **label)
    slider.add_class("nstlib-slider")
    return slider


def _closed(title, children):
    accordion = widgets.Accordion([widgets.VBox(children)], selected_index=None)
    accordion.set_title(0, title)
    return accordion


def _read(name, value):
    """The setting that the ``value`` of its control stands for, not checked yet."""
    if not isinstance(value, str):
        return value
    try:
        return FIELDS[name].metadata["parse"](value)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
