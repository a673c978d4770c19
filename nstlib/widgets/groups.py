"""The settings as people think of them: groups, labels, what sliders offer, a sentence about each."""

from ..transfer.settings import FIELDS, OPTIONS


def round_numbers(least, most):
    """Floats from ``10**least`` to ``10**most``, fourteen to a power of ten."""
    digits = (1, 1.2, 1.5, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)
    return (*(float(f"{digit}e{power}") for power in range(least, most) for digit in digits), 10.0**most)


def hundredths(first, end):
    """Every fifth of the hundredths from ``first`` to before ``end``."""
    return tuple(i / 100 for i in range(first, end, 5))


_GROUPS = {
    "How much style": ("style_strength", "content_weight", "style_weight", "tv_weight", "protection"),
    "Strokes": ("brush", "breadth", "direction", "grain", "motif", "colorless_grain", "style_loss", "style_layers"),
    "Colour": ("color", "color_strength"),
    "Optimization": ("optimizer", "learning_rate", "iterations", "init"),
    "Size and network": ("size", "backbone"),
}
_NAMED = [name for names in _GROUPS.values() for name in names]
#: ``{title: names}``: every setting is in one group, those without a group of their own in the last.
GROUPS = {**_GROUPS, "Everything else": tuple(name for name in FIELDS if name not in _NAMED)}

LABELS = {
    "style_strength": "strength",
    "content_weight": "content α",
    "style_weight": "style β",
    "tv_weight": "smooth γ",
    "brush": "stroke size",
    "direction": "along the photo",
    "colorless_grain": "grain without colour",
    "color": "colours",
    "color_strength": "keep colours",
    "backbone": "network",
    "network": "fingerprint",
    "init": "start from",
}
#: The values that sliders offer.
OFFERED = {
    "style_strength": tuple(i / 100 for i in range(101)),
    "content_weight": (0, *round_numbers(-2, 4)),
    "style_weight": (0, *round_numbers(-2, 4)),
    "tv_weight": (0, *round_numbers(-2, 4)),
    "learning_rate": (None, *round_numbers(-5, 1)),
    "size": (None, *range(64, 1024, 64), *range(1024, 4097, 128)),
    "iterations": range(1, 1001),
    "brush": hundredths(25, 405),
    "breadth": hundredths(0, 105),
    "direction": hundredths(0, 105),
    "grain": hundredths(0, 405),
    "motif": hundredths(0, 405),
    "color_strength": hundredths(0, 105),
    "protection": hundredths(0, 105),
}
OFFERED_FOR_LAYERS = hundredths(0, 205)
AT_ONCE = "●"  # beside the name of a control that acts while it paints


def called(name):
    """What a setting is called in the panel."""
    return LABELS.get(name, name.replace("_", " "))


def label(name, layer=None):
    """The name of a control, marked if it acts at once."""
    text = layer or called(name)
    return f"{AT_ONCE} {text}" if OPTIONS[name].metadata["live"] else text


def sentence(name, layer=None):
    """What a control does, and when, for its tooltip."""
    metadata = OPTIONS[name].metadata
    what = f"weight of {layer}, relative to the other style layers" if layer else metadata["help"]
    return f"{what[0].upper()}{what[1:]}. {'Acts at once.' if metadata['live'] else 'Acts from the next start.'}"
