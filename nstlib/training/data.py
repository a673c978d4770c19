"""Pictures that the compact network is trained on: varied crops of photographs, and paintings on their way."""

import math
import random

import torch
from torchvision.transforms import v2

from ..ambient import own_random, plain_torch
from ..checks import positive, whole
from ..errors import InputError
from ..features.backbone import STYLE_LAYERS
from ..images import load_image
from ..pictures.sources import find_pictures


class Crops:
    """Endless random crops of pictures in folders, strongly varied in scale, colour and texture, on the CPU.

    Args:
        folders: folders with pictures.
        size: side of the square crops in pixels.
        keep: predicate on a path; pictures it refuses are left for the evaluation.

    Raises:
        InputError: no pictures found, or one that cannot be read.
    """

    @plain_torch()
    def __init__(self, folders, size, keep=lambda path: True):
        size = whole("size", size)
        paths = [path for path in find_pictures(folders) if keep(path)]
        if not paths:
            raise InputError(f"no pictures to train on are left in {', '.join(map(str, folders))}")
        self.pictures = [(load_image(path)[0] * 255).round().byte() for path in paths]
        self.geometry = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.03, 1), ratio=(0.8, 1.25), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(0.2),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )
        self.colour = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.6, 0.5)], 0.7),
                v2.RandomInvert(0.05),
                v2.RandomPosterize(3, 0.1),
                v2.RandomApply([v2.RandomAdjustSharpness(4, 1)], 0.3),
                v2.RandomGrayscale(0.05),
            ]
        )

    @plain_torch()
    def batch(self, n, seed):
        """``n`` crops, shape (n, 3, size, size), RGB in [0, 1]; the same for the same seed."""
        n, seed = whole("n", n), whole("seed", seed, 0)
        rng = random.Random(seed)
        with own_random(seed):
            crops = [self._crop(rng) for _ in range(n)]
        return torch.stack(crops).contiguous(memory_format=torch.channels_last)

    def _crop(self, rng):
        crop = self.geometry(rng.choice(self.pictures))
        if rng.random() < 0.15:  # a blend of two, which no photograph shows but a half-stylised picture does
            crop = torch.lerp(crop, self.geometry(rng.choice(self.pictures)), rng.random())
        crop = self.colour((crop * 255).byte()).float() / 255
        if rng.random() < 0.3:  # optimised pictures are noisy on the way
            crop = crop + torch.randn_like(crop) * rng.uniform(0, 0.15)
        return crop.clamp(0, 1)


class Paintings:
    """Pictures on their way from a content to a style, painted by the network that is being trained.

    Each is the compromise of content and style that a transfer with a style weight of its own would look for.

    Args:
        crops: :class:`Crops`, where contents and styles come from.
        rng: :class:`random.Random` that every choice is made with.
        count: how many are painted side by side.
        strokes: how many steps a picture gets, on average, before a new one takes its place.
        stroke: size of a step, root mean square over the pixels.
        style_weights: smallest and largest style weight, for a content weight of 1.

    Raises:
        InputError: numbers that make no sense.
    """

    STATE = ("images", "contents", "styles", "weights")

    @plain_torch()
    def __init__(self, crops, rng, count=16, strokes=24, stroke=0.03, style_weights=(3, 100)):
        count = whole("count", count)
        self.crops, self.rng = crops, rng
        self.strokes, self.stroke = positive("strokes", strokes), positive("stroke", stroke)
        self.style_weights = tuple(positive("style_weights", weight) for weight in style_weights)
        self.contents, self.styles = (crops.batch(count, self._seed()) for _ in range(2))
        self.images, self.weights = torch.empty_like(self.contents), torch.empty(count, dtype=torch.float32)
        for index in range(count):
            self._start(index)
        self.shown = None

    def batch(self, n):
        """``n`` of the pictures, their contents and their styles, each of shape (n, 3, H, W)."""
        count = len(self.images)
        if whole("n", n) > count:
            raise InputError(f"there are {count} paintings, received n = {n}")
        self.shown = self.rng.sample(range(count), int(n))
        return self.images[self.shown], self.contents[self.shown], self.styles[self.shown]

    def paint(self, gradients):
        """Move the pictures shown last against ``{(kind, layer): gradient}``, each of shape (n, 3, H, W)."""
        gradients = {term: gradient.to(self.images) for term, gradient in gradients.items()}
        for row, index in enumerate(self.shown):
            if self.rng.random() < 1 / self.strokes:
                self._start(index)
                continue
            weights = {"content": 1, "style": self.weights[index] / len(STYLE_LAYERS)}
            move = sum(weights[kind] * g[row] for (kind, _), g in gradients.items())
            size = move.square().mean().sqrt().clamp(min=1e-12)
            self.images[index] = (self.images[index] - self.stroke * self.rng.random() / size * move).clamp(0, 1)

    def _start(self, index):
        content, style = self.crops.batch(2, self._seed())
        with own_random(self._seed()):
            # Noise, because a content loss of exactly 0 has no direction to compare.
            self.images[index] = content + 0.02 * torch.randn_like(content)
        self.contents[index], self.styles[index] = content, style
        self.weights[index] = math.exp(self.rng.uniform(*map(math.log, self.style_weights)))

    def _seed(self):
        return self.rng.getrandbits(63)
