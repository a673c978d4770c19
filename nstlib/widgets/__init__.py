"""A panel of core ipywidgets (7.7, as on Colab, and 8) in which a picture is painted while its sliders are moved."""

from .studio import Studio

__all__ = ["Studio"]
