"""A part of a map whose gradient keeps the map's layout."""

import torch
from torch.autograd.function import once_differentiable


def crop(x, rows, columns):
    """``x[..., rows, columns]``.

    Torch's own gradient of that is laid out with channels first, whatever the map's layout: the additions and the
    rectification that follow would go over two layouts at once, several times slower than over one.

    Args:
        x: shape (N, C, H, W).
        rows, columns: slices with a start and an end within the map.
    """
    if (rows.start, rows.stop) == (0, x.shape[2]) and (columns.start, columns.stop) == (0, x.shape[3]):
        return x
    return _Crop.apply(x, rows, columns)


class _Crop(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, rows, columns):
        ctx.shape, ctx.strides, ctx.place = x.shape, x.stride(), (..., rows, columns)
        return x[ctx.place]

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        whole = torch.empty_strided(ctx.shape, ctx.strides, dtype=gradient.dtype, device=gradient.device).zero_()
        whole[ctx.place] = gradient
        return whole, None, None
