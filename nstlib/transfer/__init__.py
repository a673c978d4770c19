"""The transfer: pictures, settings, and descents from coarse to fine."""

from .run import stylize
from .settings import PRESETS, Settings
from .split import stylize_tiles
from .step import Step
from .transfer import StyleTransfer

__all__ = ["PRESETS", "Settings", "Step", "StyleTransfer", "stylize", "stylize_tiles"]
