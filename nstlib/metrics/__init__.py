"""Measures of a finished picture, which no loss contains: pure functions of pictures that return numbers."""

from .alignment import strokes_along
from .distances import content_distance, frechet_distance, structural_distance, style_distance
from .fidelity import psnr
from .seams import seam_ratio, seams
from .sharpness import edges_kept, grain, lines_kept
from .strokes import stroke_length
from .summary import summary

__all__ = [
    "content_distance",
    "edges_kept",
    "frechet_distance",
    "grain",
    "lines_kept",
    "psnr",
    "seam_ratio",
    "seams",
    "stroke_length",
    "strokes_along",
    "structural_distance",
    "style_distance",
    "summary",
]
