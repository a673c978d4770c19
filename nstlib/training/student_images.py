"""Pictures that the network in training is painting: what it will be shown when it is used."""

import math

import torch

from ..ambient import own_random, plain_torch
from ..checks import positive, whole
from ..errors import InputError

#: Decay of Adam's two means.
BETAS = (0.9, 0.99)


class StudentImages:
    """Pictures between a content and a style, optimised step by step with the gradients of the network in training.

    Each descends with Adam on a content loss plus its own style weight times a style loss, as in a style transfer. A
    picture stays at its place in the pooling grid for all its life: faults that only add up over many iterations show.

    Args:
        crops: :class:`~nstlib.training.data.Crops` to take contents and styles from.
        rng: :class:`random.Random` that every choice is made with.
        size: side of the pictures in pixels.
        count: number of pictures that are optimised at the same time.
        lifetime: number of steps, on average, after which a picture is replaced by a new one.
        learning_rate: of Adam, the largest; every picture has its own.
        style_weights: smallest and largest style weight, for a content weight of 1.

    Attributes:
        images, contents, styles: shape (count, 3, size, size), RGB in [0, 1], on the device of the crops.
        weights: style weights, shape (count,).

    Raises:
        InputError: numbers out of range.

    Reference: Kingma & Ba, *Adam*, ICLR 2015.
    """

    STATE = ("images", "contents", "styles", "weights", "rates", "ages", "means", "squares")

    @plain_torch()
    def __init__(self, crops, rng, size, count=16, lifetime=60, learning_rate=0.05, style_weights=(3, 100)):
        count, self.size = whole("count", count), whole("size", size)
        self.crops, self.rng = crops, rng
        self.lifetime, self.learning_rate = positive("lifetime", lifetime), positive("learning_rate", learning_rate)
        self.style_weights = tuple(positive("style_weights", weight) for weight in style_weights)
        blank = torch.zeros(count, 3, self.size, self.size, dtype=torch.float32, device=crops.device)
        blank = blank.contiguous(memory_format=torch.channels_last)
        self.images, self.contents, self.styles, self.means, self.squares = (blank.clone() for _ in range(5))
        self.weights, self.rates, self.ages = (torch.zeros(count, dtype=torch.float32) for _ in range(3))
        for index in range(count):
            self._replace(index)
        self._chosen = None

    def batch(self, n):
        """Choose ``n`` of the pictures: these, their contents and their styles, each of shape (n, 3, size, size)."""
        count = len(self.images)
        if whole("n", n) > count:
            raise InputError(f"there are {count} student images, received n = {n}")
        self._chosen = self.rng.sample(range(count), int(n))
        return self.images[self._chosen], self.contents[self._chosen], self.styles[self._chosen]

    def update(self, content, style):
        """Move the pictures of the last batch against the gradients of their losses, shape (n, 3, size, size) each."""
        for row, index in enumerate(self._chosen):
            if self.rng.random() < 1 / self.lifetime:
                self._replace(index)
                continue
            gradient = content[row] + float(self.weights[index]) * style[row]
            self.ages[index] += 1
            corrections = []
            for moments, value, beta in zip((self.means, self.squares), (gradient, gradient**2), BETAS, strict=True):
                moments[index].lerp_(value, 1 - beta)
                corrections.append(moments[index] / (1 - beta ** int(self.ages[index])))
            mean, square = corrections
            self.images[index] -= float(self.rates[index]) * mean / (square.sqrt() + 1e-12)
            self.images[index].clamp_(0, 1)

    def state_dict(self):
        """Pictures, weights and Adam's means, for a checkpoint."""
        return {name: getattr(self, name) for name in self.STATE}

    def load_state_dict(self, state):
        """The reverse of :meth:`state_dict`; ``ValueError`` if they are of another number or size."""
        for name, own in self.state_dict().items():
            if state[name].shape != own.shape:
                raise ValueError("other crops or another batch_size")
            own.copy_(state[name])

    def _replace(self, index):
        content, style = self.crops.batch(2, self._seed(), self.size)
        with own_random(self._seed()):
            # At a content loss of exactly 0 there would be no gradient to compare.
            self.images[index] = content + 0.02 * torch.randn(content.shape, dtype=torch.float32).to(content.device)
        self.contents[index], self.styles[index] = content, style
        self.weights[index] = math.exp(self.rng.uniform(*map(math.log, self.style_weights)))
        self.rates[index] = self.learning_rate * self.rng.uniform(0.2, 1)
        self.ages[index] = 0
        self.means[index].zero_()
        self.squares[index].zero_()

    def _seed(self):
        return self.rng.getrandbits(63)
