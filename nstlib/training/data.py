"""Photographs to train the compact network on: random crops, strongly augmented."""

import random

import torch
from torchvision.transforms import v2

from ..ambient import own_random, plain_torch, usable_device
from ..checks import whole
from ..errors import InputError
from ..images import load_image
from ..pictures.sources import find_pictures


class Crops:
    """Random crops of the pictures in folders, strongly varied in scale, colour and texture.

    Args:
        folders: folders with pictures.
        size: side of the square crops in pixels, where :meth:`batch` is given no other.
        device: where pictures are kept and cropped.
        keep: predicate on a path; pictures it refuses are left for the evaluation.

    Raises:
        InputError: no pictures found, or one that cannot be read.
    """

    @plain_torch()
    def __init__(self, folders, size, keep=lambda path: True, device="cpu"):
        self.size, self.device = whole("size", size), usable_device(device)
        paths = [path for path in find_pictures(folders) if keep(path)]
        if not paths:
            raise InputError(f"no pictures to train on are left in {', '.join(map(str, folders))}")
        self.pictures = [(load_image(path)[0] * 255).round().byte().to(self.device) for path in paths]
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
    def batch(self, n, seed, size=None):
        """``n`` crops, shape (n, 3, size, size), RGB in [0, 1]; the same for the same seed."""
        n, seed = whole("n", n), whole("seed", seed, 0)
        size = self.size if size is None else whole("size", size)
        geometry = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.03, 1), ratio=(0.8, 1.25), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(0.2),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )
        rng = random.Random(seed)
        with own_random(seed):
            crops = [self._crop(rng, geometry) for _ in range(n)]
        return torch.stack(crops).contiguous(memory_format=torch.channels_last)

    def _crop(self, rng, geometry):
        crop = geometry(rng.choice(self.pictures))
        if rng.random() < 0.15:  # a blend of two, as in a half-stylised picture and in no photograph
            crop = torch.lerp(crop, geometry(rng.choice(self.pictures)), rng.random())
        crop = self.colour((crop * 255).byte()).float() / 255
        if rng.random() < 0.3:  # pictures are noisy while they are being optimised
            noise = torch.randn(crop.shape, dtype=torch.float32).to(crop.device)
            crop = crop + noise * rng.uniform(0, 0.15)
        return crop.clamp(0, 1)
