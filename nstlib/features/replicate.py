"""3x3 convolution with replicate padding that keeps no padded copy of its input for the backward pass."""

import torch
import torch.nn.functional as F


def replicate_conv(x, weight, bias):
    """3x3 convolution with one pixel of replicate padding.

    Args:
        x: shape (N, C, H, W).
        weight, bias: shapes (C', C, 3, 3) and (C',).

    Returns:
        Shape (N, C', H, W).
    """
    if not weight.requires_grad and not torch.compiler.is_compiling():
        return _FrozenReplicateConv.apply(x, weight, bias)
    # As F.pad does, whose compiled gradient is wrong for channels_last.
    x = torch.cat([x[..., :1, :], x, x[..., -1:, :]], 2)
    x = torch.cat([x[..., :1], x, x[..., -1:]], 3)
    return F.conv2d(x, weight, bias)


class _FrozenReplicateConv(torch.autograd.Function):
    """The same for frozen weights, of which alone the gradient of the input depends.

    Of padding and convolution one after the other, autograd would keep the padded input of every layer besides the
    output of its rectification: twice the memory.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(weight)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias)

    @staticmethod
    def backward(ctx, gradient):
        (weight,) = ctx.saved_tensors
        # What torch.nn.grad.conv2d_input computes, which copies an empty input of full size besides.
        gradient = F.conv_transpose2d(gradient, weight)
        for axis in (2, 3):
            for edge, neighbour in ((0, 1), (-1, -2)):
                gradient.select(axis, neighbour).add_(gradient.select(axis, edge))
        return gradient[..., 1:-1, 1:-1], None, None
