"""Moments of feature maps.

Style losses depend on nothing else, and the moments of parts add up to those of the whole.
"""

from dataclasses import dataclass

import torch

#: Least total weight to divide by, for pictures all of whose pixels have weight 0.
_TINY = 1e-12
#: Products of bfloat16 come rounded to 8 bits: they are taken over parts of at least so many pixels and added up in
#: float32, but over no more parts than this.
_PART, _PARTS = 16384, 32


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
        return cls(*_Sums.apply(features, None if weights is None else weights.to(features.dtype)))

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


class _Sums(torch.autograd.Function):
    """``(sum w, sum w f, sum w f f^T)``, with the gradient ``w ((G + G^T) f + g)`` in one product.

    Autograd would add up three maps. Nothing of a map's size is copied if its channels are stored last.
    """

    @staticmethod
    def forward(ctx, features, weights):
        ctx.save_for_backward(features, weights)
        ctx.set_materialize_grads(False)
        pixels = _pixels(features)
        if weights is None:
            kind = at_least_float32(features[:0]).dtype
            weighted, count = pixels, pixels.new_full((len(pixels), 1, 1), pixels.shape[1], dtype=kind)
        else:
            weights = _pixels(weights.expand(len(features), 1, *features.shape[2:]))
            weighted, count = pixels * weights, at_least_float32(weights).sum(1, keepdim=True)
        total, second = zip(*map(_added_up, weighted, pixels), strict=True)
        return count, torch.stack(total)[..., None], torch.stack(second)

    @staticmethod
    def backward(ctx, _, sum_gradient, gradient):
        features, weights = ctx.saved_tensors
        pixels = _pixels(features)
        if sum_gradient is None and gradient is None:
            return None, None
        slope = None if sum_gradient is None else sum_gradient.mT.to(pixels.dtype)
        if gradient is not None:
            product = pixels @ (gradient + gradient.mT).to(pixels.dtype)
            slope = product if slope is None else product.add_(slope)
        slope = slope.expand_as(pixels).mT.unflatten(2, features.shape[2:]).to(features.dtype)
        return slope if weights is None else slope * weights, None


def _pixels(features):
    """Feature vectors, shape (N, H W, C), in a type in which products do not overflow."""
    features = features.float() if features.dtype == torch.float16 else features
    # A part of a map has to be copied. With channels stored last they stay so: the other way takes five times as long.
    return features.permute(0, 2, 3, 1).flatten(1, 2) if features.stride(1) == 1 else features.flatten(2).mT


def _added_up(weighted, pixels):
    """Sum of one picture's weighted vectors and of their products with its vectors, at least in float32."""
    size = max(_PART, -(-len(pixels) // _PARTS))
    kind = at_least_float32(pixels[:0]).dtype
    pairs = zip(weighted.split(size), pixels.split(size), strict=True)
    parts = [(a.sum(0, dtype=kind), at_least_float32(a.mT @ b)) for a, b in pairs]
    return [sum(values) for values in zip(*parts, strict=True)]


def at_least_float32(x):
    """``x``, in float32 if it is in half precision, in which sums over a picture overflow or lose all digits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


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
