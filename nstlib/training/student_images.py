"""Pictures that the network in training is stylising: what it will be shown when it is used."""

import math

import torch

from ..ambient import own_random, plain_torch
from ..checks import positive, whole
from ..errors import InputError
from ..features.backbone import STYLE_LAYERS


class StudentImages:
    """Pictures between a content and a style, optimised step by step with the gradients of the network in training.

    Each descends on a content loss plus its own style weight times a style loss, as in a style transfer.

    Args:
        crops: :class:`~nstlib.training.data.Crops` to take contents and styles from.
        rng: :class:`random.Random` that every choice is made with.
        count: number of pictures that are optimised at the same time.
        lifetime: number of steps, on average, after which a picture is replaced by a new one.
        step_size: root mean square change of the pixels in a step, at most.
        style_weights: smallest and largest style weight, for a content weight of 1.

    Attributes:
        images, contents, styles: shape (count, 3, H, W), RGB in [0, 1], on the CPU.
        weights: style weights, shape (count,).

    Raises:
        InputError: numbers out of range.
    """

    @plain_torch()
    def __init__(self, crops, rng, count=16, lifetime=24, step_size=0.03, style_weights=(3, 100)):
        count = whole("count", count)
        self.crops, self.rng = crops, rng
        self.lifetime, self.step_size = positive("lifetime", lifetime), positive("step_size", step_size)
        self.style_weights = tuple(positive("style_weights", weight) for weight in style_weights)
        self.contents, self.styles = (crops.batch(count, self._seed()) for _ in range(2))
        self.images, self.weights = torch.empty_like(self.contents), torch.empty(count, dtype=torch.float32)
        for index in range(count):
            self._replace(index)
        self._chosen = None

    def batch(self, n):
        """Choose ``n`` of the pictures: these, their contents and their styles, each of shape (n, 3, H, W)."""
        count = len(self.images)
        if whole("n", n) > count:
            raise InputError(f"there are {count} student images, received n = {n}")
        self._chosen = self.rng.sample(range(count), int(n))
        return self.images[self._chosen], self.contents[self._chosen], self.styles[self._chosen]

    def update(self, gradients):
        """Move the pictures of the last batch against ``{(kind, layer): gradient}``, each of shape (n, 3, H, W)."""
        gradients = {term: gradient.to(self.images) for term, gradient in gradients.items()}
        for row, index in enumerate(self._chosen):
            if self.rng.random() < 1 / self.lifetime:
                self._replace(index)
                continue
            weights = {"content": 1, "style": self.weights[index] / len(STYLE_LAYERS)}
            move = sum(weights[kind] * g[row] for (kind, _), g in gradients.items())
            size = move.square().mean().sqrt().clamp(min=1e-12)
            self.images[index] = (self.images[index] - self.step_size * self.rng.random() / size * move).clamp(0, 1)

    def state_dict(self):
        """The pictures and their style weights, for a checkpoint."""
        return {name: getattr(self, name) for name in ("images", "contents", "styles", "weights")}

    def load_state_dict(self, state):
        """Go on with the pictures of :meth:`state_dict`; ``ValueError`` if they are of another number or size."""
        for name, own in self.state_dict().items():
            if state[name].shape != own.shape:
                raise ValueError("other crops or another batch_size")
            setattr(self, name, state[name])

    def _replace(self, index):
        content, style = self.crops.batch(2, self._seed())
        with own_random(self._seed()):
            # At a content loss of exactly 0 there would be no gradient to compare.
            self.images[index] = content + 0.02 * torch.randn_like(content)
        self.contents[index], self.styles[index] = content, style
        self.weights[index] = math.exp(self.rng.uniform(*map(math.log, self.style_weights)))

    def _seed(self):
        return self.rng.getrandbits(63)
