"""Split and stitch: large pictures painted tile by tile, the classical way.

Every tile is a picture of its own to the network, so strokes end at its borders and have to be blended. The exact way
(:mod:`nstlib.features.tiling`, what :func:`nstlib.stylize` does) has no such borders; this one is here to compare
with. What it borrows from the exact way is that moments add: tiles may share theirs, so that the picture as a whole
gets the style and not each tile all of it.
"""

import math
import warnings
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from tqdm.auto import tqdm

from ..ambient import choose_devices, is_out_of_memory, plain_torch
from ..checks import whole
from ..errors import Diverged, InputError
from ..features.tiling import FULL
from ..images import MAX_PIXELS, composite, to_pil
from ..terms import ContentLoss, StyleLoss, TotalVariation, View
from ..terms.measures import style_moments
from .canvas import CANVASES
from .descent import Descent
from .memory import Plans, more_frugal
from .network import prepare_backbone
from .presets import make_settings
from .scene import Scene


@dataclass(frozen=True)
class Grid:
    """Overlapping tiles that cover a picture.

    Args:
        height, width: of the picture, in pixels.
        tile: side of the tiles; they are smaller only where the picture is.
        overlap: pixels that neighbours share at least.

    Raises:
        InputError: no whole numbers, or an overlap that is negative or not smaller than the tile.

    Example:
        >>> grid = Grid(100, 150, tile=64, overlap=16)
        >>> image = torch.rand(1, 3, 100, 150)
        >>> torch.allclose(grid.stitch(grid.split(image)), image, atol=1e-6)
        True
    """

    height: int
    width: int
    tile: int
    overlap: int

    def __post_init__(self):
        for name, least in (("height", 1), ("width", 1), ("tile", 1), ("overlap", -math.inf)):
            object.__setattr__(self, name, whole(name, getattr(self, name), least))
        if not 0 <= self.overlap < self.tile:
            raise InputError(f"overlap must be from 0 to below the tile's {self.tile} pixels, received {self.overlap}")

    @property
    def boxes(self):
        """``(rows, columns)`` of every tile, as slices."""
        return [
            (slice(top, min(top + self.tile, self.height)), slice(left, min(left + self.tile, self.width)))
            for top in self._starts(self.height)
            for left in self._starts(self.width)
        ]

    @property
    def seams(self):
        """``(rows, columns)`` at which one tile ends and the next begins, in the middle of what they share."""
        starts = (self._starts(length) for length in (self.height, self.width))
        return tuple([(first + self.tile + second) // 2 for first, second in pairwise(axis)] for axis in starts)

    def split(self, image):
        """Tiles of ``image``, shape (N, C, height, width), as copies."""
        return [image[..., rows, columns].clone() for rows, columns in self.boxes]

    def windows(self):
        """How much of the stitched picture each tile makes up, pixel by pixel, shape (1, 1, height, width); sum 1."""
        raw = [self._raw_window(*box) for box in self.boxes]
        total = raw[0].new_zeros(1, 1, self.height, self.width)
        for window, (rows, columns) in zip(raw, self.boxes, strict=True):
            total[..., rows, columns] += window
        return [window / total[..., rows, columns] for window, (rows, columns) in zip(raw, self.boxes, strict=True)]

    def stitch(self, tiles):
        """The picture of these tiles, faded into each other by raised cosines over the overlap.

        Args:
            tiles: as :meth:`split` gives them.
        """
        first = tiles[0]
        total = first.new_zeros(*first.shape[:2], self.height, self.width, dtype=torch.float64)
        for tile, window, (rows, columns) in zip(tiles, self.windows(), self.boxes, strict=True):
            total[..., rows, columns] += tile * window
        return total.to(first)

    def _starts(self, length):
        last = max(0, length - self.tile)
        count = -(-last // (self.tile - self.overlap)) + 1
        return [round(index * last / max(1, count - 1)) for index in range(count)]

    def _raw_window(self, rows, columns):
        return (self._ramp(rows, self.height)[:, None] * self._ramp(columns, self.width))[None, None]

    def _ramp(self, span, length):
        """Weight of each row or column of a tile: 1 inside and at the picture's border, fading at the others."""
        place = torch.arange(span.start, span.stop, dtype=torch.float64) + 0.5
        before = place - span.start if span.start else torch.full_like(place, torch.inf)
        behind = span.stop - place if span.stop < length else torch.full_like(place, torch.inf)
        ramp = (torch.minimum(before, behind) / max(self.overlap, 1)).clamp(max=1)
        return (torch.pi / 2 * ramp).sin() ** 2


def stylize_tiles(
    content,
    style,
    *,
    tile=512,
    overlap=64,
    rounds=3,
    share_moments=True,
    progress=True,
    preset="default",
    max_pixels=MAX_PIXELS,
    **options,
):
    """Paint tile by tile and stitch, at one size.

    Interrupted, or when the loss is no longer finite or memory runs out, it returns the picture so far and warns. Pass
    that picture as ``init`` to continue.

    Args:
        content, style: pictures, as for :func:`nstlib.stylize`; the style may be a list of them, without ``where``.
        tile, overlap: in pixels; see :class:`Grid`.
        rounds: how often all tiles are visited. After each round they are stitched and cut anew.
        share_moments: give the picture as a whole the style. False gives it to every tile on its own.
        progress: show a progress bar.
        preset, max_pixels: as for :class:`~nstlib.transfer.StyleTransfer`.
        **options: fields of :class:`~nstlib.Settings`; ``iterations`` are those of one tile, over all rounds.
            ``levels`` has no meaning here, nor has ``margin``: the tiles at the edges have none.

    Returns:
        PIL image, with the content's transparency.

    Raises:
        InputError: as :func:`nstlib.stylize`; tiles too small for the network; ``levels`` above 1.
    """
    rounds = whole("rounds", rounds)
    with plain_torch():
        settings = make_settings(preset, **options)
        if settings.levels not in (None, 1):
            raise InputError(f"stylize_tiles paints at one size: levels must be 1, received {settings.levels}")
        device = choose_devices(settings.device)[0]
        backbone, _ = prepare_backbone(settings, device)
        least = backbone.smallest_side
        for name in ("breadth", "direction"):
            if getattr(settings, name):
                raise InputError(f"stylize_tiles has no {name}, use stylize, which has")
        scene = Scene(content, style, settings, reductions=(1,), least=least, max_pixels=max_pixels)
        if scene.layout.masks is not None:
            raise InputError("stylize_tiles has no regions: leave out where= and maps of brushes, or use stylize")
        grid = Grid(*scene.size, tile, overlap)
        if min(tile, *scene.size) < least:
            raise InputError(f"tiles need at least {least} pixels a side, received {min(tile, *scene.size)}")
        settings.fix()
        return _paint(scene, grid, rounds, share_moments, backbone, settings, device, progress)


def _paint(scene, grid, rounds, share_moments, backbone, settings, device, progress):
    def here(x):
        return None if x is None else x.to(device, backbone.arithmetic)

    def view(index, plan=FULL):
        return View(
            backbone,
            here(contents[index]),
            here(transparencies[index]),
            lambda: [exemplar.each(here) for exemplar in scene.exemplars(scene.size)],
            lambda size: more_frugal(plan, plans.for_targets(size)),
            tuple(scene.regions(scene.size)),
        )

    def moments_of_tile(index):
        image, transparency, weights = tiles[index], transparencies[index], windows[index]
        if transparency is not None:
            image, weights = composite(image, transparency), transparency * weights
        plan = plans.for_targets(image.shape[2:])
        return style_moments(backbone, here(image), settings.style_layers, plan, here(weights))

    plans = Plans(backbone, device, settings.memory)
    contents, tiles = grid.split(scene.content(scene.size)), grid.split(scene.start(scene.size))
    transparency = scene.transparency(scene.size)
    transparencies = [None] * len(tiles) if transparency is None else grid.split(transparency)
    targets = {"style": StyleLoss(settings).targets(view(0))}
    shared = share_moments and len(tiles) > 1
    # Where tiles overlap, each counts by its share of the stitched picture.
    windows = grid.windows() if shared else [None] * len(tiles)
    kept = ContentLoss(settings).floats_per_pixel(backbone)
    counts = [settings.iterations * (n + 1) // rounds - settings.iterations * n // rounds for n in range(rounds)]
    with tqdm(total=rounds * len(tiles), unit="tile", disable=not progress) as bar:
        try:
            for iterations in counts:
                moments = [moments_of_tile(index) for index in range(len(tiles))] if shared else None
                for index, part in enumerate(tiles):
                    rest = _sum(moments[:index] + moments[index + 1 :]) if shared else None
                    style = StyleLoss(settings, weights=here(windows[index]), rest=rest)
                    terms = {"content": ContentLoss(settings), "style": style, "tv": TotalVariation(settings)}
                    plan = plans.for_iteration(part.shape[2:], settings.optimizer, kept)
                    canvas = CANVASES[settings.canvas](here(part))
                    descent = Descent(canvas, terms, settings, plan, partial(view, index), targets=targets)
                    try:
                        for _ in range(iterations):
                            descent.step()
                    finally:
                        tiles[index] = descent.image.cpu()
                    if shared:
                        moments[index] = moments_of_tile(index)
                    bar.update()
                tiles = grid.split(grid.stitch(tiles))
        except (Exception, KeyboardInterrupt) as error:
            if not (isinstance(error, (KeyboardInterrupt, Diverged)) or is_out_of_memory(error)):
                raise
            warnings.warn(f"{str(error) or 'interrupted'}: this is the picture so far", stacklevel=3)
    return to_pil(scene.finish(grid.stitch(tiles), scene.size), transparency)


def _sum(moments):
    """``{layer: Moments}`` of several parts together."""
    return {layer: sum((part[layer] for part in moments[1:]), moments[0][layer]) for layer in moments[0]}
