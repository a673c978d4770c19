"""How closely a picture equals another: the measure of super-resolution."""

import torch

from ..checks import whole
from ..errors import InputError


def psnr(image, reference, shave):
    """Peak signal-to-noise ratio on luma, ``10 log10(255^2 / mean (Y - Y*)^2)``, as usual in super-resolution.

    Args:
        image, reference: RGB in [0, 1], shape (1, 3, H, W); rounded to 8 bits first.
        shave: width in pixels of the border that is left out; the field uses the scale.

    Returns:
        A float in dB, from 1.3 for black against white to infinity for equal pictures.

    Raises:
        InputError: different shapes, or nothing left inside the border.

    References: ITU-R BT.601 for the luma Y; Timofte et al., *A+: Adjusted Anchored Neighborhood Regression for Fast
    Super-Resolution*, ACCV 2014, for the protocol.

    Example:
        >>> image = torch.full((1, 3, 8, 8), 0.5)
        >>> psnr(image, image, shave=2)
        inf
    """
    shave, (height, width) = whole("shave", shave, 0), image.shape[2:]
    if image.shape != reference.shape or 2 * shave >= min(height, width):
        raise InputError(
            f"expected pictures of one shape and more than {2 * shave} pixels a side, "
            f"received {tuple(image.shape)} and {tuple(reference.shape)}"
        )
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float32, device=image.device).view(1, 3, 1, 1)
    a, b = (((x.float() * 255).round().clamp(0, 255) / 255 * weights).sum(1) for x in (image, reference))
    error = (a - b)[..., shave : height - shave, shave : width - shave].square().mean()
    return (10 * torch.log10(255**2 / error)).item()
