"""Losses: closed forms, independent libraries, finite differences."""

import numpy as np
import pytest
import scipy.linalg
import torch

from nstlib.losses import STYLE_LOSSES, content_loss, gram_loss, total_variation, wasserstein_loss
from nstlib.moments import Moments


def maps(seed, *shape, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=STYLE_LOSSES)
def loss(request):
    return STYLE_LOSSES[request.param]


def test_equal_moments_cost_nothing(loss):
    moments = Moments.of(maps(0, 1, 4, 9, 9))
    assert loss(moments, moments).item() == pytest.approx(0, abs=1e-9)


def test_scale_of_the_features_does_not_matter(loss):
    a, b = maps(0, 1, 4, 9, 9), maps(1, 1, 4, 9, 9)
    expected = loss(Moments.of(a), Moments.of(b)).item()
    assert expected > 0
    assert loss(Moments.of(100 * a), Moments.of(100 * b)).item() == pytest.approx(expected, rel=1e-4)


def test_a_batch_is_its_pictures(loss):
    a, b = maps(0, 3, 4, 9, 9), maps(1, 3, 4, 9, 9)
    singles = [loss(Moments.of(a[i : i + 1]), Moments.of(b[i : i + 1])) for i in range(3)]
    torch.testing.assert_close(loss(Moments.of(a), Moments.of(b)), torch.cat(singles))


def test_gradient(loss):
    target = Moments.of(maps(1, 1, 3, 6, 6))
    assert torch.autograd.gradcheck(lambda f: loss(Moments.of(f), target), maps(0, 1, 3, 5, 5).requires_grad_())


@pytest.mark.parametrize("flat", ["picture", "style", "both"])
def test_constant_maps_have_a_finite_gradient(loss, flat):
    f = torch.full((1, 4, 6, 6), 0.3) if flat != "style" else maps(0, 1, 4, 6, 6).float()
    target = torch.full((1, 4, 6, 6), 0.7) if flat != "picture" else maps(1, 1, 4, 6, 6).float()
    f = f.clone().requires_grad_()
    value = loss(Moments.of(f), Moments.of(target)).sum()
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(f.grad).all()


def test_gram_loss_of_doubled_features():
    f = maps(0, 1, 4, 9, 9)
    assert gram_loss(Moments.of(2 * f), Moments.of(f)).item() == pytest.approx(9)  # (4 - 1)^2


def test_wasserstein_against_scipy():
    f, g = maps(0, 1, 5, 20, 20), 2 * maps(1, 1, 5, 20, 20) + 1
    a, b = (np.cov(x[0].flatten(1).numpy(), bias=True) for x in (f, g))
    means = [x[0].flatten(1).mean(1).numpy() for x in (f, g)]
    root = scipy.linalg.sqrtm(b)
    spread = np.trace(a + b - 2 * scipy.linalg.sqrtm(root @ a @ root).real)
    expected = (((means[0] - means[1]) ** 2).sum() + spread) / ((means[1] ** 2).sum() + np.trace(b))
    assert wasserstein_loss(Moments.of(f), Moments.of(g)).item() == pytest.approx(expected, rel=1e-3)


def test_wasserstein_of_one_dimension():
    # Two Gaussians on a line: (m - m*)^2 + (s - s*)^2.
    f = torch.tensor([0.0, 4.0], dtype=torch.float64).view(1, 1, 1, 2)  # mean 2, deviation 2
    g = torch.tensor([0.0, 2.0], dtype=torch.float64).view(1, 1, 1, 2)  # mean 1, deviation 1
    assert wasserstein_loss(Moments.of(f), Moments.of(g)).item() == pytest.approx(2 / 2, rel=1e-3)


def test_content_loss_is_relative():
    f, g = maps(0, 1, 4, 5, 5), maps(1, 1, 4, 5, 5)
    value = content_loss((f - g).square().sum(), g.square().sum())
    assert value.item() == pytest.approx(((f - g).norm() / g.norm()).item() ** 2)


def test_total_variation_by_hand():
    image = torch.tensor([[0.0, 1.0], [0.0, 3.0]]).expand(1, 3, 2, 2)
    # Per channel: rows differ by 0 and 2, columns by 1 and 3; four values.
    assert total_variation(image).item() == pytest.approx((4 + 1 + 9) / 4)
    assert total_variation(torch.full((1, 3, 5, 5), 0.4)).item() == 0
    assert torch.autograd.gradcheck(total_variation, maps(0, 1, 3, 4, 5).requires_grad_())
