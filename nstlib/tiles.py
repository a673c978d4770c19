"""Split and stitch: large pictures painted tile by tile, the classical way.

Every tile is a picture of its own to the network, so strokes end at its borders and have to be blended. The exact way
(:mod:`nstlib.tiling`, what :func:`nstlib.stylize` does) has no such borders; this one is here to compare with, and
for whatever else works on tiles. What it borrows from the exact way is that moments add: tiles may share theirs, so
that the picture as a whole gets the style and not each tile all of it.
"""

import warnings
from dataclasses import dataclass
from itertools import pairwise

import torch
from tqdm.auto import tqdm

from . import color
from .errors import Diverged, InputError
from .images import fit_size, load_image, resize, to_pil
from .objective import Objective, style_moments
from .optimizers import make_optimizer
from .settings import make_settings
from .tiling import FULL
from .transfer import choose_device, prepare_backbone, style_size


@dataclass(frozen=True)
class Grid:
    """Overlapping tiles that cover a picture.

    Args:
        height, width: of the picture, in pixels.
        tile: side of the tiles; they are smaller only where the picture is.
        overlap: pixels that neighbours share at least.

    Raises:
        InputError: an overlap that is negative or not smaller than the tile.

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

    def stitch(self, tiles):
        """The picture of these tiles, faded into each other by raised cosines over the overlap.

        Args:
            tiles: as :meth:`split` gives them.
        """
        first = tiles[0]
        total = first.new_zeros(*first.shape[:2], self.height, self.width, dtype=torch.float64)
        weights = total.new_zeros(1, 1, self.height, self.width)
        for tile, (rows, columns) in zip(tiles, self.boxes, strict=True):
            window = self._window(rows, self.height)[:, None] * self._window(columns, self.width)
            total[..., rows, columns] += tile * window
            weights[..., rows, columns] += window
        return (total / weights).to(first)

    def _starts(self, length):
        last = max(0, length - self.tile)
        count = -(-last // (self.tile - self.overlap)) + 1
        return [round(index * last / max(1, count - 1)) for index in range(count)]

    def _window(self, span, length):
        """Weight of each row or column of a tile: 1 inside and at the picture's border, fading at the others."""
        place = torch.arange(span.start, span.stop, dtype=torch.float64) + 0.5
        before = place - span.start if span.start else torch.full_like(place, torch.inf)
        behind = span.stop - place if span.stop < length else torch.full_like(place, torch.inf)
        ramp = (torch.minimum(before, behind) / max(self.overlap, 1)).clamp(max=1)
        return (torch.pi / 2 * ramp).sin() ** 2


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


def stylize_tiles(
    content, style, *, tile=512, overlap=64, rounds=3, share_moments=True, progress=True, start=None, **options
):
    """Paint tile by tile and stitch, at one size.

    Interrupting it gives back the picture so far, as does a loss that stops being finite; both say so in a warning.
    Given as ``start``, it is gone on from.

    Args:
        content, style: pictures, as for :func:`nstlib.stylize`; the style may be a list of them.
        tile, overlap: in pixels; see :class:`Grid`.
        rounds: how often all tiles are visited. After each round they are stitched and cut anew.
        share_moments: give the picture as a whole the style. False gives it to every tile on its own.
        progress: show a progress bar.
        start: picture to start from, of any size; None for the content.
        **options: fields of :class:`~nstlib.settings.Settings`; ``iterations`` are those of one tile, over all rounds.

    Returns:
        PIL image.

    Raises:
        InputError: as :func:`nstlib.stylize`, and tiles too small for the network.
    """
    settings = make_settings(**options)
    device = choose_device(settings.device)
    backbone = prepare_backbone(settings, device)
    content = colors = load_image(content)
    styles = [load_image(picture) for picture in (style if isinstance(style, (list, tuple)) else [style])]
    content, styles = color.prepare(content, styles, settings.color, settings.color_strength)
    size = fit_size(*content.shape[2:], settings.size or max(content.shape[2:]))
    grid = Grid(*size, tile, overlap)
    styles = [resize(picture, style_size(picture, size, settings.style_scale)) for picture in styles]
    smallest = min(tile, *size, *(side for picture in styles for side in picture.shape[2:]))
    if smallest < backbone.smallest_side:
        raise InputError(f"tiles and styles need at least {backbone.smallest_side} pixels a side, received {smallest}")
    targets = [style_moments(backbone, picture.to(device), settings, FULL) for picture in styles]
    contents = grid.split(resize(content, size))
    tiles = grid.split(resize(content if start is None else load_image(start), size))
    iterations = max(1, settings.iterations // rounds)
    shared = share_moments and len(contents) > 1
    with tqdm(total=rounds * len(contents), unit="tile", disable=not progress) as bar:
        try:
            for _ in range(rounds):
                if shared:
                    moments = [style_moments(backbone, part.to(device), settings, FULL) for part in tiles]
                for index, part in enumerate(tiles):
                    objective = Objective(backbone, contents[index].to(device), targets, settings, FULL)
                    if shared:
                        others = moments[:index] + moments[index + 1 :]
                        objective.elsewhere = [sum(layer[1:], layer[0]) for layer in zip(*others, strict=True)]
                    tiles[index] = _paint(objective, part.to(device), settings, iterations).cpu()
                    if shared:
                        moments[index] = style_moments(backbone, tiles[index].to(device), settings, FULL)
                    bar.update()
                tiles = grid.split(grid.stitch(tiles))
        except (KeyboardInterrupt, Diverged) as error:
            warnings.warn(f"{str(error) or 'interrupted'}: this is the picture so far", stacklevel=2)
    return to_pil(color.finish(grid.stitch(tiles), resize(colors, size), settings.color, settings.color_strength))


def _paint(objective, image, settings, iterations):
    """Optimise one tile.

    Raises:
        Diverged: what came of it is not a picture of finite numbers.
    """
    image = image.clone(memory_format=torch.contiguous_format).requires_grad_()
    optimizer = make_optimizer(settings.optimizer, image, settings.learning_rate)

    def evaluate():
        image.grad = None
        loss = objective(image, FULL)[3]
        (loss * image[0, 0].numel()).backward()
        return loss.detach()

    for _ in range(iterations):
        optimizer.step(evaluate)
        image.detach().clamp_(0, 1)
    if not image.isfinite().all():
        raise Diverged("the loss of a tile is no longer a finite number")
    return image.detach()
