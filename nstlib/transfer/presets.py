"""Named settings to start from, and settings made from a preset and options."""

from ..errors import InputError, check_choice
from ..features.backbone import STYLE_LAYERS
from .derived import DERIVED
from .settings import OPTIONS, Settings

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
        "margin": 0,
    },
}


#: Settings of earlier versions: the value that changes nothing, as saved pictures hold it, and what there is instead.
FORMER = {
    "style_scale": (1, "brush is the size of strokes, for all styles as a setting, for one as Style(picture, brush=2)"),
    "style_blend": (None, "the weight of a style is its own, Style(picture, weight=3)"),
}


def make_settings(preset="default", **options):
    """:class:`Settings` from a preset and options that override it.

    Raises:
        InputError: unknown preset, option or value; ``style_strength`` beside one of the weights that it stands for; a
            setting of an earlier version, unless it has the value that changes nothing.
    """
    check_choice("preset", preset, PRESETS)
    for name, (default, instead) in FORMER.items():
        if options.pop(name, default) != default:
            raise InputError(f"{name} is gone: {instead}")
    for name in options:
        check_choice("option", name, OPTIONS)
    given = [name for name in DERIVED["style_strength"].of if name in options]
    if "style_strength" in options and given:
        raise InputError(f"style_strength is another way to write {' and '.join(given)}: give one or the other")
    settings = Settings(**{**PRESETS[preset], **{name: options[name] for name in options if name not in DERIVED}})
    for name in DERIVED:
        if name in options:
            setattr(settings, name, options[name])
    return settings
