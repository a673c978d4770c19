"""Sums over the pixels of a feature map, of each vector and of its products: what moments are made of."""

import torch

#: Products of bfloat16 come rounded to 8 bits: they are taken over parts of at least so many pixels and added up in
#: float32, but over no more parts than this.
_PART, _PARTS = 16384, 32
#: With weights, the products of a CPU go over parts of so many pixels: what is multiplied stays in its cache.
_CACHED = 1024


class Sums(torch.autograd.Function):
    """``(sum w, sum w f, sum w f f^T)`` for each weights ``w``, one after the other.

    The gradient ``sum_w w ((G + G^T) f + g)`` comes from one product; autograd would add up three maps for each ``w``.
    Of several weights, ``[w f, w' f, ...]`` is in memory for a part of the pixels at a time. A map whose channels are
    stored last is not copied, but for float16, whose products are taken in float32.
    """

    @staticmethod
    def forward(ctx, features, *ways):
        ctx.save_for_backward(features, *ways)
        ctx.set_materialize_grads(False)
        pixels, shares = _pixels(features), _shares(features, ways)
        channels, kind = pixels.shape[2], at_least_float32(pixels[:0]).dtype
        sums = pixels.new_zeros(len(pixels), len(ways) * channels, dtype=kind)
        products = sums.new_zeros(*sums.shape, channels)
        for number, own in enumerate(shares):
            for part, share in _parts(pixels[number], own):
                weighted = _weighted(part, share)
                sums[number] += weighted.sum(0, dtype=kind)
                products[number] += at_least_float32(weighted.mT @ part)
        counts = (
            sums.new_full((len(pixels), len(ways)), pixels.shape[1])
            if shares[0] is None
            else at_least_float32(torch.stack(shares)).sum(1)
        )
        each = zip(counts.split(1, 1), sums.split(channels, 1), products.split(channels, 1), strict=True)
        return tuple(x for count, total, product in each for x in (count[..., None], total[..., None], product))

    @staticmethod
    def backward(ctx, *gradients):
        features, *ways = ctx.saved_tensors
        nothing = (None,) * len(ways)
        if not any(gradient is not None for place, gradient in enumerate(gradients) if place % 3):
            return None, *nothing
        pixels, shares = _pixels(features), _shares(features, ways)
        zero = pixels.new_zeros(len(pixels), *2 * pixels.shape[2:])
        slopes = torch.stack([zero[..., 0] if g is None else g[..., 0].to(zero) for g in gradients[1::3]], 1)
        matrices = torch.cat([zero if g is None else (g + g.mT).to(zero) for g in gradients[2::3]], 1)
        if shares[0] is None:
            found = pixels @ matrices if gradients[1] is None else (pixels @ matrices).add_(slopes)
        else:
            parts = (
                (_weighted(part, share) @ matrix).addmm_(share, slope)
                for one, own, matrix, slope in zip(pixels, shares, matrices, slopes, strict=True)
                for part, share in _parts(one, own)
            )
            found = torch.cat([*parts]).view(pixels.shape)
        return found.mT.unflatten(2, features.shape[2:]).to(features.dtype), *nothing


def _pixels(features):
    """Feature vectors, shape (N, H W, C), in a type in which products do not overflow."""
    features = features.float() if features.dtype == torch.float16 else features
    # A part of a map has to be copied. With channels stored last they stay so: the other way takes five times as long.
    return features.permute(0, 2, 3, 1).flatten(1, 2) if features.stride(1) == 1 else features.flatten(2).mT


def _shares(features, ways):
    """Of each picture, the weights of its pixels, shape (H W, ways); None for a single way that counts all alike."""
    if len(ways) == 1 and ways[0] is None:
        return [None] * len(features)
    size = len(features), 1, *features.shape[2:]
    ways = [features.new_ones(1).expand(size) if weights is None else weights.expand(size) for weights in ways]
    return [*_pixels(torch.cat(ways, 1))]


def _parts(pixels, shares):
    """``[(vectors, weights)]`` of one picture."""
    size = max(_PART, -(-len(pixels) // _PARTS))
    if shares is not None and pixels.device.type == "cpu":
        size = _CACHED
    parts = pixels.split(size)
    return zip(parts, [None] * len(parts) if shares is None else shares.split(size), strict=True)


def _weighted(part, shares):
    """Vectors (P, C) times each of their weights (P, ways), shape (P, ways C)."""
    return part if shares is None else (part[:, None] * shares[..., None]).flatten(1)


def at_least_float32(x):
    """``x``, in float32 if it is in half precision, in which sums over a picture overflow or lose all digits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
