"""Settings as widgets, read back exactly, and written as code.

Every setting that can be written as text has a control, made from the metadata of its field. Sliders step through round
numbers; a value given that is not among them is added.
"""

import dataclasses

import ipywidgets as widgets

from ..errors import InputError
from ..transfer.fields import GIVEN, expected
from ..transfer.presets import make_settings
from ..transfer.settings import FIELDS, LIVE, OPTIONS, Settings
from .drawing import labelled
from .groups import OFFERED, OFFERED_FOR_LAYERS, label, sentence


def make_controls(given):
    """The widgets of :class:`~nstlib.Settings`: a dict by the name of the setting or of the style layer.

    Settings that are not stored have one too, beside those of the weights that they stand for; only these are read.
    The ``value`` of each is the setting's, or a text that stands for it. An object given in code, such as a picture as
    ``init``, has no widget; the style layers have one each.
    """
    controls = {}
    for name in OPTIONS:
        value = getattr(given, name)
        if name != "style_layers" and OPTIONS[name].metadata["write"](value) is not None:
            controls[name] = _control(name, value)
    for layer, weight in given.style_layers.items():
        controls[layer] = slider(weight, OFFERED_FOR_LAYERS, _about("style_layers", layer))
    return controls


def read_controls(controls, given):
    """The :class:`~nstlib.Settings` that the widgets show; what has no widget is as in ``given``.

    Raises:
        InputError: a text that cannot be read, or controls that contradict each other.
    """
    values = {name: _read(name, control.value) for name, control in controls.items() if name in FIELDS}
    layers = {layer: controls[layer].value for layer in given.style_layers}
    return make_settings(**{**as_keywords(given), **values, "style_layers": layers})


def set_controls(controls, values):
    """Move the widgets to ``values``, settings by name; what has no widget is passed over.

    Raises:
        InputError: a value that makes no sense.
    """
    checked = {name: FIELDS[name].metadata["check"](name, value) for name, value in values.items() if name in FIELDS}
    layers = checked.pop("style_layers", {})
    # The optimizer first: it moves the learning rate.
    for name in sorted(checked, key=lambda name: name != "optimizer"):
        if name in controls:
            move(controls[name], name, checked[name])
    for layer in layers:
        if layer in controls:
            move(controls[layer], "style_layers", layers[layer])


def of_the_picture(saved):
    """Of the settings that a picture was saved with, those to paint it again here: not what was given in code, nor
    what says on which machine and from which file it was painted."""
    machine = [name for name, field in FIELDS.items() if field.metadata["group"] == "machine"]
    left_out = {*machine, "weights", "network"}
    if "style_scale" in saved:  # its name in earlier versions
        saved = {**saved, "brush": saved["style_scale"]}
    return {name: value for name, value in saved.items() if name in FIELDS and name not in left_out and value != GIVEN}


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


def as_code(settings, **names):
    """``["size=64", "init=init", ...]``: what differs from the defaults; of no literal only the name, or that given."""
    literal = (str, int, float, bool, type(None), dict, tuple, list)
    defaults = as_keywords(Settings())
    return [
        f"{name}={value!r}" if type(value) in literal else f"{name}={names.get(name, name)}"
        for name, value in as_keywords(settings).items()
        if type(value) not in literal or value != defaults[name]
    ]


def _about(name, layer=None):
    return labelled(label(name, layer), sentence(name, layer))


def _control(name, value):
    metadata, about = OPTIONS[name].metadata, _about(name)
    if name in OFFERED:
        return slider(value, OFFERED[name], about, metadata["none"])
    if metadata["choices"]:
        options = [*metadata["choices"], *([] if value in metadata["choices"] else [value])]
        return widgets.Dropdown(
            options=[(metadata["write"](option), option) for option in options], value=value, **about
        )
    if isinstance(value, bool):
        return widgets.Checkbox(value, **about)
    text = metadata["write"](value)
    return widgets.Text(text, placeholder=expected(metadata), continuous_update=False, **about)


def slider(value, offered, about, none=None):
    """A slider over the values ``offered`` and the one given. It cannot have None itself, so that is ``none`` there."""
    if isinstance(offered, range):
        return widgets.IntSlider(value, min=offered[0], max=max(offered[-1], value), **about)
    options = _options(value, offered, none)
    made = widgets.SelectionSlider(options=options, value=none if value is None else value, **about)
    made.add_class("nstlib-slider")
    return made


def _options(value, offered, none):
    numbers = sorted({number for number in (*offered, value) if number not in (None, none)})
    options = [(f"{number:g}" if isinstance(number, float) else str(number), number) for number in numbers]
    return [(none, none), *options] if None in offered else options


def move(control, name, value):
    """Set a widget to a setting's value, which it may not have offered so far."""
    metadata = OPTIONS[name].metadata
    if isinstance(control, widgets.IntSlider):
        control.max = max(control.max, value)
    elif isinstance(control, widgets.SelectionSlider):
        value = metadata["none"] if value is None else value
        if value not in [offered for _, offered in control.options]:
            offered = OFFERED_FOR_LAYERS if name == "style_layers" else OFFERED[name]
            control.options = _options(value, offered, metadata["none"])
    elif isinstance(control, widgets.Dropdown):
        if value not in [offered for _, offered in control.options]:
            control.options = [*control.options, (metadata["write"](value), value)]
    elif isinstance(control, widgets.Text):
        value = value if isinstance(value, str) else metadata["write"](value)
    control.value = value


def _read(name, value):
    """The setting that the ``value`` of its control stands for, not checked yet."""
    if not isinstance(value, str):
        return value
    try:
        return FIELDS[name].metadata["parse"](value)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
