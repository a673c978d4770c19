"""Where tiles meet, and whether it shows."""

from ..errors import InputError
from ..features.tiling import SEGMENTS, cuts, tile_side


def seam_ratio(image, seams, around=12):
    """Mean squared difference of neighbouring lines across tile borders, over that of the lines beside the borders.

    Args:
        image: shape (1, 3, H, W).
        seams: ``(rows, columns)`` at which a tile begins, as :func:`seams` gives them.
        around: number of differences on each side to compare with; the one next to the border is left out.

    Returns:
        A float from 0 up: about 1 where nothing tells a border from its surroundings, more where there is an edge,
        less where it is blurred. A picture may have edges of its own there: compare with the same lines in a picture
        that was made without tiles.

    Raises:
        InputError: there are no borders.

    Example:
        >>> import torch
        >>> image = torch.arange(40.0).expand(1, 3, 40, 40)
        >>> seam_ratio(image, ([], [20]))
        1.0
        >>> seam_ratio(image.where(image < 20, image + 1), ([], [20]))
        4.0
    """
    if not any(seams):
        raise InputError("there are no tile borders to look at: the tiles are as large as the picture")
    across = beside = 0
    for axis, places in zip((2, 3), seams, strict=True):
        # Its n-th value belongs to the lines n and n + 1.
        energy = image.double().diff(dim=axis).square().mean([n for n in range(4) if n != axis])
        for place in places:
            near = [*range(place - 1 - around, place - 2), *range(place + 1, place + around)]
            across += energy[place - 1]
            beside += energy[[n for n in near if 0 <= n < len(energy)]].mean()
    return (across / beside).item()


def seams(plan, height, width):
    """Where the tiles of a plan meet: ``(rows, columns)`` at which one begins, the border of the picture left out.

    Args:
        plan: :class:`~nstlib.features.Plan` that tiles at least two blocks.
        height, width: of the picture, in pixels.

    Returns:
        Two lists of whole numbers. They are the tiles of the first segment, the smallest.
    """
    side, align = tile_side(plan, 0), 2 ** len(SEGMENTS[0])
    return tuple(cuts(length, side, align)[1:-1] for length in (height, width))
