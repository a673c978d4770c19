"""Measures of a finished picture, pure functions. A network that measures should not have stood in the loss."""

from .distances import content_distance, frechet_distance, structural_distance, style_distance
from .seams import psnr, seam_ratio, seams
from .sharpness import edges_kept, grain, lines_kept

__all__ = [
    "content_distance",
    "edges_kept",
    "frechet_distance",
    "grain",
    "lines_kept",
    "psnr",
    "seam_ratio",
    "seams",
    "structural_distance",
    "style_distance",
]
