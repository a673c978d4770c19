"""Networks from one picture to another, run tile by tile."""

from itertools import pairwise

from tqdm.auto import tqdm

from ..features.tiling import cuts


def in_tiles(network, image, *, tile, halo, scale=1, progress=False):
    """``network(image)``, computed in tiles.

    Exact if no pixel of the output depends on pixels of the input more than ``halo`` away.

    Args:
        network: function of a picture, shape (N, C, h, w), that gives one of shape (N, C', h * scale, w * scale).
        image: shape (N, C, H, W).
        tile: side of the tiles, in pixels of ``image``.
        halo: pixels around each tile that the network is given as well, as far as the picture reaches.
        scale: whole number.
        progress: show a progress bar.

    Returns:
        Shape (N, C', H * scale, W * scale).
    """
    height, width = image.shape[2:]
    rows, columns = (list(pairwise(cuts(length, tile, 1))) for length in (height, width))
    cores = [(*row, *column) for row in rows for column in columns]
    result = None
    for top, bottom, left, right in tqdm(cores, unit="tile", disable=not progress):
        y, x = max(0, top - halo), max(0, left - halo)
        part = network(image[..., y : bottom + halo, x : right + halo])
        if result is None:
            result = part.new_empty(*part.shape[:2], height * scale, width * scale)
        result[..., top * scale : bottom * scale, left * scale : right * scale] = part[
            ..., (top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale
        ]
    return result
