"""Moments against numpy, and that they add."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nstlib import sums
from nstlib.moments import Moments, blend


def features(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_against_numpy():
    f = features(2, 5, 7, 9)
    moments = Moments.of(f)
    for n in range(2):
        rows = f[n].flatten(1).numpy()
        np.testing.assert_allclose(moments.mean[n, :, 0], rows.mean(1))
        np.testing.assert_allclose(moments.covariance[n], np.cov(rows, bias=True), atol=1e-14)
        np.testing.assert_allclose(moments.variance[n, :, 0], rows.var(1), atol=1e-14)
        np.testing.assert_allclose(moments.gram[n], rows @ rows.T / rows.shape[1])


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 8))
def test_parts_add_up_to_the_whole(row, column):
    f = features(1, 3, 9, 9)
    parts = [f[..., :row, :], f[..., row:, :column], f[..., row:, column:]]
    total = Moments.of(parts[0]) + Moments.of(parts[1]) + Moments.of(parts[2])
    for a, b in zip(total.tensors, Moments.of(f).tensors, strict=True):
        torch.testing.assert_close(a, b)


@pytest.fixture
def small_parts(monkeypatch):
    """Sums over several parts of a small map, the last of which is shorter."""
    monkeypatch.setattr(sums, "_PART", 9)
    monkeypatch.setattr(sums, "_CACHED", 9)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("weights", [None, features(1, 1, 4, 5), features(2, 1, 4, 5)], ids=["plain", "one", "each"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_derivatives(weights, layout):
    """First and second ones by finite differences, in the layout of the map."""
    f = features(2, 3, 4, 5).contiguous(memory_format=layout).requires_grad_()

    def sums(f):
        return Moments.of(f, weights).tensors[1:]

    assert torch.autograd.gradcheck(sums, f)
    assert torch.autograd.gradgradcheck(sums, f)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_several_weights_at_once_are_each_by_itself(layout):
    f = features(2, 3, 4, 5).contiguous(memory_format=layout).requires_grad_()
    ways = [features(1, 1, 4, 5), None, features(2, 1, 4, 5) ** 2]
    together, alone = Moments.of_each(f, ways), [Moments.of(f, weights) for weights in ways]
    for found, expected in zip(together, alone, strict=True):
        for a, b in zip(found.tensors, expected.tensors, strict=True):
            torch.testing.assert_close(a, b)
    gradients = []
    for moments in (together, alone):  # of the last, nothing depends on the sum
        loss = moments[0].gram.sum() + (2 * moments[1].covariance).square().sum() + moments[2].second.square().sum()
        gradients.append(torch.autograd.grad(loss, f)[0])
    torch.testing.assert_close(*gradients)
    assert torch.autograd.gradcheck(lambda f: [x for one in Moments.of_each(f, ways) for x in one.tensors[1:]], f)


def test_the_gradient_of_a_channels_last_map_is_channels_last():
    f = features(1, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    (gradient,) = torch.autograd.grad(Moments.of(f).second.sum(), f)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("weights", [None, features(1, 1, 7, 9)], ids=["plain", "weighted"])
def test_parts_of_a_map_add_up_to_the_plain_sums(weights):
    f = features(2, 5, 7, 9)
    w = torch.ones(1, 1, 7, 9, dtype=f.dtype) if weights is None else weights
    found = Moments.of(f, weights)
    torch.testing.assert_close(found.sum[..., 0], (w * f).sum((2, 3)))
    torch.testing.assert_close(found.second, torch.einsum("nchw,ndhw->ncd", w * f, f))


def test_weights_of_zero_and_one_select_pixels():
    f = features(1, 4, 6, 8)
    mask = torch.zeros(1, 1, 6, 8)
    mask[..., :5] = 1
    for a, b in zip(Moments.of(f, mask).tensors, Moments.of(f[..., :5]).tensors, strict=True):
        torch.testing.assert_close(a, b)


def test_constant_weights_change_no_statistic():
    f = features(1, 4, 6, 8)
    weighted = Moments.of(f, torch.full((1, 1, 6, 8), 0.3))
    torch.testing.assert_close(weighted.covariance, Moments.of(f).covariance)


def test_blend_is_a_mean_over_pictures_of_any_size():
    small, large = Moments.of(features(1, 3, 4, 4)), Moments.of(features(1, 3, 20, 30))
    mixed = blend([small, large], [1, 3])
    torch.testing.assert_close(mixed.gram, 0.25 * small.gram + 0.75 * large.gram)
    torch.testing.assert_close(mixed.mean, 0.25 * small.mean + 0.75 * large.mean)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_accumulated_in_float32(dtype):
    f = torch.full((1, 2, 256, 256), 30.0, dtype=dtype)  # the sum of squares is 59 million: inf in float16
    moments = Moments.of(f)
    assert moments.second.dtype == torch.float32
    torch.testing.assert_close(moments.gram, torch.full((1, 2, 2), 900.0))


def test_bfloat16_sums_and_gradients_keep_its_digits():
    f = torch.randn(1, 8, 256, 256, generator=torch.Generator().manual_seed(1)).relu().bfloat16()
    slopes = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(2))

    def sums_and_gradient(f):
        f = f.clone().requires_grad_()
        found = Moments.of(f)
        (found.second * slopes[0] + found.sum * slopes[1]).sum().backward()
        return found.sum, found.second, f.grad.double()

    for found, exact, digits in zip(
        sums_and_gradient(f), sums_and_gradient(f.double()), (1e-6, 1e-3, 2**-8), strict=True
    ):
        assert (found - exact).norm() < digits * exact.norm()
