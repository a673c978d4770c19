"""Regions of a photograph, found from its colours, from scribbles or by themselves: masks to look at and to use.

Each function returns masks, float32 arrays of the photograph's (H, W) in [0, 1] that add up to 1 at every pixel:
``Style(painting, where=mask)`` paints there. :func:`show` draws them over the photograph. :func:`objects` gives its
masks by name, and :func:`areas` masks of the size of the picture that they are read from.
"""

from .colours import palette, segments
from .drawn import areas, scribbles
from .recognition import objects
from .shown import color_of, show

__all__ = ["areas", "color_of", "objects", "palette", "scribbles", "segments", "show"]
