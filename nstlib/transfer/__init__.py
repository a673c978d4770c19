"""The transfer: pictures, settings, and descents from coarse to fine."""

from .canvas import CANVASES
from .optimizers import OPTIMIZERS, Optimizer
from .presets import PRESETS
from .run import stylize
from .settings import Settings
from .split import stylize_tiles
from .step import Step
from .transfer import StyleTransfer

__all__ = [
    "CANVASES",
    "OPTIMIZERS",
    "PRESETS",
    "Optimizer",
    "Settings",
    "Step",
    "StyleTransfer",
    "stylize",
    "stylize_tiles",
]
