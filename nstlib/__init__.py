"""Neural style transfer at any size: ``nstlib.stylize(content, style)`` returns a picture."""

from . import samples
from .errors import Diverged, InputError
from .features import Backbone
from .images import load_image, read_settings, save_image
from .moments import Moments
from .pretrained import load_backbone
from .run import stylize
from .transfer import StyleTransfer

__all__ = [
    "Backbone",
    "Diverged",
    "InputError",
    "Moments",
    "StyleTransfer",
    "load_backbone",
    "load_image",
    "read_settings",
    "samples",
    "save_image",
    "stylize",
]
__version__ = "0.1.0"
