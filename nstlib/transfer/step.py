"""What an iteration of a transfer did."""

import functools

from ..ambient import plain_torch
from ..images import to_pil


class Step:
    """What one iteration did.

    Attributes:
        iteration: 1, 2, ... over all levels.
        size: (height, width) of this level.
        losses: ``{name: loss}`` of the terms, ``"content"``, ``"style"``, ``"tv"`` and those added, before their
            weights, and ``"total"``, their weighted sum. They are those of the picture that this iteration began with.
    """

    def __init__(self, iteration, size, losses, painted, scene):
        self.iteration, self.size = iteration, size
        self._losses, self._painted, self._scene = losses, painted, scene

    @functools.cached_property
    def losses(self):  # fetched from a GPU only where somebody asks
        return {name: loss.item() for name, loss in self._losses.items()}

    @property
    def image(self):
        """The picture that this iteration made, float32 in [0, 1], straight colours, shape (1, 3, H, W)."""
        with plain_torch():
            return self._scene.finish(self._painted, self.size)

    @property
    def picture(self):
        """The same as a PIL image, with the content's transparency."""
        return to_pil(self.image, self._scene.transparency(self.size))

    def __repr__(self):
        losses = ", ".join(f"{name} {value:.4g}" for name, value in self.losses.items())
        return f"Step {self.iteration} at {self.size[1]}x{self.size[0]}: {losses}"
