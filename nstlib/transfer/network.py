"""The network of a transfer: of the kind, precision and device that its settings ask for."""

import copy
import warnings

import torch

from ..errors import InputError
from ..features.backbone import Backbone, deepest_of
from ..features.pretrained import choose_backbone, load_backbone
from .precision import choose_precision
from .settings import FIELDS


def prepare_backbone(settings, device):
    """The network that ``settings`` ask for, or the one they hold, on the device and in its precision.

    One that is held is shared where it fits as it is, else copied: the caller's is never changed.

    Returns:
        ``(backbone, fingerprint)``. The fingerprint is that of the weights before they are rounded to the precision,
        so that it is the same on every machine.

    Raises:
        InputError: the network lacks a layer, or the device the precision.
    """
    layers = {**settings.content_layers, **settings.style_layers}
    backbone = settings.backbone
    if isinstance(backbone, Backbone):
        for name, own in (("pooling", (backbone.pooling,)), ("padding", (backbone.border, backbone.padding))):
            if getattr(settings, name) not in (FIELDS[name].default, *own):
                raise InputError(f"the network given has {name} {own[0]!r}; build it with {getattr(settings, name)!r}")
        if settings.weights is not None:
            raise InputError("weights are for a network that is named; the one given has its own")
    else:
        if backbone == "auto" and settings.weights is None:
            backbone = choose_backbone(device.type)
        backbone = load_backbone(
            backbone,
            deepest=deepest_of(layers, backbone),
            weights=settings.weights,
            pooling=settings.pooling,
            padding=settings.padding,
        )
    for layer in layers:
        if layer not in backbone.layers:
            raise InputError(f"unknown layer {layer!r}; choose from {', '.join(backbone.layers)}")
    fingerprint = backbone.fingerprint
    if settings.network not in (None, fingerprint):
        warnings.warn(
            f"these settings were saved with the network {settings.network}; this one is {fingerprint}", stacklevel=2
        )
    precision = settings.precision
    if precision == "auto":
        precision = choose_precision(device)
    if precision == "float64" and device.type == "mps":
        raise InputError("Apple's GPUs have no float64: use precision='float32' or device='cpu'")
    dtype, compiled = getattr(torch, precision), "run" in vars(backbone)
    if not _fits(backbone, device, dtype) or compiled != settings.compile:
        if backbone is settings.backbone:
            backbone = copy.deepcopy(backbone)
            vars(backbone).pop("run", None)
        # channels_last is what tensor cores and the CPU's vector units want; the tiles follow the weights.
        backbone = backbone.to(device, dtype, memory_format=torch.channels_last).requires_grad_(False)
        if settings.compile:
            backbone.run = torch.compile(backbone.run, dynamic=True)
    return backbone, fingerprint


def _fits(backbone, device, dtype):
    return all(
        p.device == device
        and p.dtype == dtype
        and not p.requires_grad
        and (p.dim() < 4 or p.is_contiguous(memory_format=torch.channels_last))
        for p in backbone.parameters()
    )
