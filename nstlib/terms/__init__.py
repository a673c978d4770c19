"""What is asked of a picture: the terms of its loss, and the objective that sums them."""

from .objective import Objective, Region, View
from .standard import ContentLoss, StyleLoss, TotalVariation, standard_terms
from .texture import Exemplar

__all__ = ["ContentLoss", "Exemplar", "Objective", "Region", "StyleLoss", "TotalVariation", "View", "standard_terms"]
