"""Neural style transfer at any size: ``nstlib.stylize(content, style)`` returns a picture."""

from . import samples
from .errors import Diverged, InputError
from .features import Backbone, load_backbone
from .images import load_image, read_settings, save_image
from .moments import Moments
from .styles import Style
from .transfer import Settings, StyleTransfer, stylize, stylize_tiles

__all__ = [
    "Backbone",
    "Diverged",
    "InputError",
    "Moments",
    "Settings",
    "Style",
    "StyleTransfer",
    "load_backbone",
    "load_image",
    "read_settings",
    "samples",
    "save_image",
    "stylize",
    "stylize_tiles",
]
__version__ = "0.3.0"
