"""A panel of ipywidgets (7.7, as on Colab, or 8) for running a transfer and changing its settings as it runs."""

from .studio import Studio

__all__ = ["Studio"]
