"""Settings that are not stored: other ways to write those that are."""

import math
from collections.abc import Callable
from dataclasses import Field, dataclass
from types import SimpleNamespace

from ..errors import InputError
from ..features.backbone import STYLE_LAYERS, block_of
from . import fields

#: beta / alpha at a style strength of one half.
BALANCE = 20.0
#: Weights of the style layers where none are given. The deepest one sees eyes, mouths and stars: with the weight of the
#: others it puts the painting's in the place of the photograph's, with none the painting's large forms are missing.
STYLE_WEIGHTS = {**dict.fromkeys(STYLE_LAYERS, 1.0), "relu5_1": 0.2}


@dataclass(frozen=True)
class Derived:
    """Another way to write some settings.

    Attributes:
        field: its dataclass field; see :mod:`nstlib.transfer.fields`.
        of: names of the settings that it stands for.
        read: function of an object with these settings as attributes; None where it means nothing.
        write: function of such an object and the value, which sets them.
    """

    field: Field
    of: tuple
    read: Callable
    write: Callable


def _strength(settings):
    """``beta / (beta + 20 alpha)``. Setting it keeps ``beta + 20 alpha``: the smoothing stays in proportion."""
    alpha, beta = BALANCE * settings.content_weight, settings.style_weight
    return beta / (alpha + beta) if alpha + beta else 0.0


def _set_strength(settings, strength):
    total = BALANCE * settings.content_weight + settings.style_weight or 2 * BALANCE
    settings.content_weight, settings.style_weight = (1 - strength) * total / BALANCE, strength * total


def _weight_of_blocks(name, blocks, what):
    """The weight of the style layers of some blocks, 1 for the usual one; to set it scales them."""

    def usual(settings):
        return {layer: STYLE_WEIGHTS.get(layer, 1.0) for layer in settings.style_layers if block_of(layer) in blocks}

    def read(settings):
        weights = usual(settings)
        return sum(settings.style_layers[layer] for layer in weights) / sum(weights.values()) if weights else None

    def write(settings, weight):
        before, weights = read(settings), usual(settings)
        if before is None:
            raise InputError(f"{name} is the weight of {what}, but style_layers has none of them")
        if before:
            weights = {layer: settings.style_layers[layer] / before for layer in weights}
        settings.style_layers = {**settings.style_layers, **{layer: weights[layer] * weight for layer in weights}}

    about = {"group": "style", "live": True}
    return Derived(fields.number(1.0, 0, help=f"weight of {what}", **about), ("style_layers",), read, write)


#: The settings that are not stored, by name.
DERIVED = {
    "style_strength": Derived(
        fields.number(0.5, 0, 1, live=True, group="style", help="from 0, the content alone, to 1, the style alone"),
        ("content_weight", "style_weight"),
        _strength,
        _set_strength,
    ),
    "grain": _weight_of_blocks("grain", (1, 2), "the fine style layers, blocks 1 and 2, which see the grain of paint"),
    "motif": _weight_of_blocks("motif", (4, 5), "the coarse style layers, blocks 4 and 5, which see motifs"),
}


def moved(before, now):
    """The names of the settings that differ between two ``{name: value}`` of those that are stored; one that is not
    stored is named instead of all that it stands for, where a move of it alone explains how they differ."""
    names = [name for name in now if now[name] != before.get(name)]
    for other, derived in DERIVED.items():
        if all(name in names and name in before for name in derived.of):
            trial, value = SimpleNamespace(**before), derived.read(SimpleNamespace(**now))
            if value is not None:
                derived.write(trial, value)
                if all(_alike(getattr(trial, name), now[name]) for name in derived.of):
                    names = [other, *(name for name in names if name not in derived.of)]
    return names


def _alike(one, other):
    """Whether two weights, or two ``{layer: weight}``, are the same but for the digits that the panel rounds off."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(one[layer], other[layer]) for layer in one)
    return math.isclose(one, other, rel_tol=1e-4)
