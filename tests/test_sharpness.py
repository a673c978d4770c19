"""Grain, edges and lines of pictures whose answers are known by hand."""

import numpy as np
import pytest
import torch

from nstlib import InputError, load_image, samples
from nstlib.metrics import edges_kept, grain, lines_kept


def grey(values):
    return torch.as_tensor(values, dtype=torch.float32).expand(1, 3, *np.shape(values)[-2:])


def wave(period, size=128, amplitude=0.2):
    """Cosines along the columns that the border mirrors."""
    x = np.arange(size) + 0.5
    return grey(np.tile(0.5 + amplitude * np.cos(2 * np.pi * x / period), (size, 1)))


@pytest.mark.parametrize("turned", [False, True])
def test_grain_is_what_is_finer_than_four_pixels(turned):
    fine, coarse = wave(3.2), wave(5.12)
    if turned:
        fine, coarse = fine.mT, coarse.mT
    assert grain(fine) == pytest.approx(255 * 0.2 / 2**0.5, rel=0.02)
    assert grain(coarse) == pytest.approx(0, abs=0.5)
    assert grain(grey(np.full((20, 30), 0.7))) == pytest.approx(0, abs=1e-4)


def test_a_ramp_has_no_grain_at_its_border():
    assert grain(grey(np.tile(np.linspace(0, 1, 100), (80, 1)))) < 0.1


def test_grain_where_the_photograph_is_flat():
    photograph = torch.rand(1, 3, 64, 160, generator=torch.Generator().manual_seed(0))
    photograph[..., :16, :64] = 0.5  # four of forty blocks
    image = grey(np.full((64, 160), 0.5)).clone()
    image[..., :16, :64] = wave(2.5, 64)[..., :16, :64]
    assert grain(image, photograph) == pytest.approx(255 * 0.2 / 2**0.5, rel=0.1)
    image = 1 - image
    image[..., 16:, :] = wave(2.5, 160)[..., :48, :]
    image[..., :16, :] = 0.5
    assert grain(image, photograph) < 0.3 * grain(image)
    with pytest.raises(InputError, match="choose a smaller block"):
        grain(image[..., :15, :], photograph)


def test_edges():
    photograph = load_image(samples.content("coffee"))
    assert edges_kept(photograph, photograph) == pytest.approx(1)
    # Its edges are as they were, whatever its brightness, contrast and size.
    assert edges_kept(0.2 + 0.5 * (1 - photograph), photograph) == pytest.approx(1, abs=1e-3)
    assert 0.3 < edges_kept((photograph + 0.1 * torch.randn(photograph.shape)).clamp(0, 1), photograph) < 0.95
    assert abs(edges_kept(torch.rand_like(photograph), photograph)) < 0.1
    assert abs(edges_kept(torch.full_like(photograph, 0.5), photograph)) < 0.2
    with pytest.raises(InputError, match="at least 7 pixels"):
        edges_kept(photograph[..., :6, :], photograph)


def stripes(degrees):
    """Broad stripes with straight edges."""
    y, x = np.mgrid[:160, :160] - 80
    angle = np.radians(degrees)
    return grey(np.tanh(3 * np.sin((x * np.cos(angle) + y * np.sin(angle)) / 8)) / 2 + 0.5)


@pytest.mark.parametrize("turn", [5, -12, 40])
@pytest.mark.parametrize("start", [0, 33, 88])
def test_lines_that_turn(start, turn):
    assert lines_kept(stripes(start + turn), stripes(start)) == pytest.approx(abs(turn), abs=1)


def test_lines():
    photograph = load_image(samples.content("rocket"))
    assert lines_kept(photograph, photograph) == 0
    assert lines_kept(1 - photograph, photograph) < 1
    noise = torch.rand(photograph.shape, generator=torch.Generator().manual_seed(0))
    assert lines_kept(noise, photograph) == pytest.approx(45, abs=20)
    with pytest.raises(InputError, match="no straight line of at least 10 pixels"):
        lines_kept(photograph[..., :80, :80], grey(np.full((80, 80), 0.5)))
