"""Moments of feature maps.

Style losses depend on nothing else, and the moments of parts add up to those of the whole.
"""

from dataclasses import dataclass

import torch

from .sums import Sums

#: Least total weight to divide by, for pictures all of whose pixels have weight 0.
_TINY = 1e-12


@dataclass(frozen=True)
class Moments:
    """Zeroth, first and second moment of feature vectors ``f`` over the pixels of a picture.

    Moments of two parts of a picture add up to those of the whole, which makes exact tiling and blends of styles
    cheap. Pixels may have weights ``w`` (a mask).

    Attributes:
        count: ``sum w``, shape (N, 1, 1).
        sum: ``sum w f``, shape (N, C, 1).
        second: ``sum w f f^T``, shape (N, C, C).

    Example:
        >>> f = torch.rand(1, 8, 6, 6)
        >>> halves = Moments.of(f[..., :3]) + Moments.of(f[..., 3:])
        >>> torch.allclose(halves.gram, Moments.of(f).gram)
        True
    """

    count: torch.Tensor
    sum: torch.Tensor
    second: torch.Tensor

    @classmethod
    def of(cls, features, weights=None):
        """Moments of a feature map.

        Args:
            features: shape (N, C, H, W). Sums are in float32 if it is in half precision.
            weights: optional pixel weights, non-negative, broadcastable to (N, 1, H, W).
        """
        return cls.of_each(features, [weights])[0]

    @classmethod
    def of_each(cls, features, ways):
        """A list of the moments of a feature map by each of several weights, or None; faster than one by one."""
        sums = Sums.apply(features, *(None if weights is None else weights.to(features.dtype) for weights in ways))
        return [cls(*sums[first : first + 3]) for first in range(0, len(sums), 3)]

    def __add__(self, other):
        return Moments(self.count + other.count, self.sum + other.sum, self.second + other.second)

    @property
    def centred(self):
        """Moments of the features less their mean: what is left are covariances."""
        return Moments(self.count, torch.zeros_like(self.sum), self.covariance * self.count)

    @property
    def tensors(self):
        """``(count, sum, second)``."""
        return self.count, self.sum, self.second

    @property
    def mean(self):
        """Mean feature vector, shape (N, C, 1); 0 if all weights are 0."""
        return self.sum / self.count.clamp_min(_TINY)

    @property
    def gram(self):
        """Gram matrix per pixel, ``E[f f^T]``, shape (N, C, C)."""
        return self.second / self.count.clamp_min(_TINY)

    @property
    def covariance(self):
        """``E[f f^T] - E[f] E[f]^T``, shape (N, C, C)."""
        return self.gram - self.mean @ self.mean.mT

    @property
    def variance(self):
        """Variance of every channel, at least 0, shape (N, C, 1)."""
        second = self.gram.diagonal(dim1=1, dim2=2).unsqueeze(2)
        return (second - self.mean**2).clamp_min(0)


def blend(moments, weights):
    """Weighted mean of the per-pixel moments of several styles.

    Args:
        moments: sequence of :class:`Moments` of one layer.
        weights: one non-negative number each; they are normalised to sum to 1.

    Returns:
        :class:`Moments` with ``count`` 1.
    """
    total = sum(weights)
    return Moments(
        torch.ones_like(moments[0].count),
        sum(m.mean * (w / total) for m, w in zip(moments, weights, strict=True)),
        sum(m.gram * (w / total) for m, w in zip(moments, weights, strict=True)),
    )
