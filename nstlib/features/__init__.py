"""The feature network: its layers, its weights, and exact sums over its feature maps, tile by tile."""

from .backbone import ARCHITECTURES, BACKBONES, PADDINGS, POOLINGS, STYLE_LAYERS, Backbone
from .pretrained import load_backbone, metadata
from .tiling import FULL, Plan, feature_sums

__all__ = [
    "ARCHITECTURES",
    "BACKBONES",
    "FULL",
    "PADDINGS",
    "POOLINGS",
    "STYLE_LAYERS",
    "Backbone",
    "Plan",
    "feature_sums",
    "load_backbone",
    "metadata",
]
