"""What is measured of a picture, by means that stood in no loss."""

import torch

from .checks import whole
from .errors import InputError
from .features.tiling import SEGMENTS, cuts, tile_side


def psnr(image, reference, shave):
    """Peak signal-to-noise ratio in dB on the Y channel (ITU-R BT.601), the protocol of the field.

    Args:
        image, reference: RGB in [0, 1], shape (1, 3, H, W); rounded to 8 bits first.
        shave: border in pixels that does not count; the field uses the scale.

    Raises:
        InputError: different shapes, or nothing left inside the border.
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


def seam_ratio(image, seams, around=12):
    """Energy of the steps across tile borders, over that of the steps next to them.

    Args:
        image: shape (1, 3, H, W).
        seams: ``(rows, columns)`` at which a tile begins.
        around: how many steps on each side to compare with; the one right beside the border is left out.

    Returns:
        1 if nothing tells a border from its neighbourhood; more is an edge, less a blur. A picture has edges of its own
        that may lie there: compare with what the same lines give in a picture without tiles.

    Raises:
        InputError: there are no borders.
    """
    if not any(seams):
        raise InputError("there are no tile borders to look at: the tiles are as large as the picture")
    at_seams = beside = 0
    for axis, places in zip((2, 3), seams, strict=True):
        # Its n-th value is the step from line n to line n + 1.
        energy = image.double().diff(dim=axis).square().mean([n for n in range(4) if n != axis])
        for place in places:
            near = [*range(place - 1 - around, place - 2), *range(place + 1, place + around)]
            at_seams += energy[place - 1]
            beside += energy[[n for n in near if 0 <= n < len(energy)]].mean()
    return (at_seams / beside).item()


def seams(plan, height, width):
    """``(rows, columns)`` at which the tiles of the first segment begin, the picture's own border left out."""
    side, align = tile_side(plan, 0), 2 ** len(SEGMENTS[0])
    return tuple(cuts(length, side, align)[1:-1] for length in (height, width))
