"""Moments against numpy, and that they add."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.integers(1, 8), st.integers(1, 8))
def test_parts_add_up_to_the_whole(row, column):
    f = features(1, 3, 9, 9)
    parts = [f[..., :row, :], f[..., row:, :column], f[..., row:, column:]]
    total = Moments.of(parts[0]) + Moments.of(parts[1]) + Moments.of(parts[2])
    for a, b in zip(total.tensors, Moments.of(f).tensors, strict=True):
        torch.testing.assert_close(a, b)


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
