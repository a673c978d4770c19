"""What is asked of a picture: the terms of its loss, and the objective that sums them."""

from .objective import Objective, Region, View, kept_by
from .standard import ContentLoss, StyleLoss, TotalVariation, standard_terms

__all__ = ["ContentLoss", "Objective", "Region", "StyleLoss", "TotalVariation", "View", "kept_by", "standard_terms"]
