"""Grain, edges and lines: waves of known frequency, turned pictures, scikit-image."""

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image, ImageDraw
from skimage.metrics import structural_similarity
from skimage.transform import rotate

from nstlib import InputError, load_image, samples
from nstlib.images import resize
from nstlib.metrics import edges_kept, grain, lines_kept


def grey(values):
    """A grey picture (1, 3, H, W) of an array (H, W)."""
    return torch.as_tensor(np.array(values), dtype=torch.float64).expand(1, 3, -1, -1)


def wave(down, across, amplitude=0.2, size=(128, 160)):
    """A standing wave of these frequencies in cycles per pixel that mirrors at the borders."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return 0.5 + amplitude * np.cos(2 * np.pi * down * y) * np.cos(2 * np.pi * across * x)


@pytest.mark.parametrize(
    ("down", "across", "rms"),
    [
        (0, 0.375, 0.2 / 2**0.5),
        (0.40625, 0, 0.2 / 2**0.5),
        (0.25, 0.25, 0.2 / 2),  # radially 0.35
        (0, 0.25, 0.1 / 2**0.5),  # the middle of the cut
        (0, 0.1875, 0),
        (0.125, 0.125, 0),
        (0, 0, 0),
    ],
)
def test_grain_of_waves(down, across, rms):
    assert grain(grey(wave(down, across))) == pytest.approx(255 * rms, abs=1e-6)


def test_grain_of_white_noise_is_its_share_of_the_spectrum():
    random = np.random.default_rng(0)
    noise = grey(0.5 + random.normal(0, 0.1, (256, 256)))
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(512)))
    smooth = 0.5 - 0.5 * np.cos(np.pi * ((radius - 0.2) / 0.1).clip(0, 1))
    assert grain(noise) == pytest.approx(25.5 * np.sqrt((smooth**2).mean()), rel=0.01)


def test_grain_counts_only_where_the_photograph_is_flattest():
    photograph = np.full((64, 160), 0.5)
    photograph[:, 80:] += np.random.default_rng(0).normal(0, 0.1, (64, 80))
    image = np.full((64, 160), 0.5)
    image[:, 80:] = wave(0, 0.375, size=(64, 80))
    assert grain(grey(image)) > 20
    # The filter sees half a wave across the border: what is left there is little.
    assert grain(grey(image), grey(photograph), share=0.4) < 0.02 * grain(grey(image))
    assert grain(grey(image), grey(photograph), share=1) == pytest.approx(grain(grey(image)), rel=1e-9)
    assert grain(grey(image), resize(grey(photograph), (128, 320)), share=0.4) < 0.02 * grain(grey(image))


def test_an_edge_does_not_ring_into_flat_places():
    step = grey(np.repeat([[0.2] * 80 + [0.8] * 80], 64, 0))
    assert grain(step) > 3
    assert grain(step, step, share=0.1) < 0.1


def test_edges_kept_is_scikit_images():
    a, b = make_picture(60, 80, 1), make_picture(60, 80, 2)
    pictures = [load_image(array) for array in (a, b)]
    magnitudes = []
    for array in (a, b):
        values = np.pad(array / 255 @ [0.2125, 0.7154, 0.0721], 1, mode="symmetric")
        down = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 4
        windows = np.lib.stride_tricks.sliding_window_view(values, (3, 3))
        slopes = [np.einsum("yxij,ij->yx", windows, kernel) for kernel in (down, down.T)]
        magnitude = np.sqrt((slopes[0] ** 2 + slopes[1] ** 2) / 2)
        magnitudes.append((magnitude - magnitude.mean()) / magnitude.std())
    expected = structural_similarity(*magnitudes, win_size=7, data_range=4)
    assert edges_kept(*pictures) == pytest.approx(expected, abs=1e-5)


def test_edges_stay_under_other_tones():
    photograph = load_image(samples.content("coffee"))
    assert edges_kept(photograph, photograph) == pytest.approx(1)
    assert edges_kept(1 - photograph, photograph) == pytest.approx(1)
    assert edges_kept(0.4 * photograph + 0.3, photograph) == pytest.approx(1)
    assert edges_kept(photograph.flip(3), photograph) < 0.2
    assert abs(edges_kept(torch.full_like(photograph, 0.5), photograph)) < 0.2


def house(side=256):
    """A picture of rectangles and a roof."""
    picture = Image.new("RGB", (side, side), (200, 210, 230))
    pen = ImageDraw.Draw(picture)
    for left in (40, 100, 160):
        pen.rectangle([left, 80, left + 40, 200], fill=(120, 60 + left, 40))
    pen.polygon([(30, 80), (130, 30), (220, 80)], fill=(60, 60, 70))
    return np.array(picture, dtype=np.float32) / 255


@pytest.mark.parametrize(("degrees", "least", "most"), [(0, 0, 1e-6), (2, 1.5, 4), (5, 4, 9), (-5, 4, 9), (45, 30, 60)])
def test_lines_of_a_turned_picture(degrees, least, most):
    turned = load_image(rotate(house(), degrees, mode="edge").clip(0, 1))
    assert least <= lines_kept(turned, load_image(house())) <= most


def test_stripes_turned_by_five_degrees():
    y, x = np.mgrid[:256, :256] / 32
    angle = np.radians(5)
    stripes = 0.5 + 0.4 * np.sign(np.sin(2 * np.pi * x + 1))
    turned = 0.5 + 0.4 * np.sign(np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) + 1))
    assert lines_kept(grey(turned), grey(stripes)) == pytest.approx(5, abs=0.7)
    assert lines_kept(grey(stripes.T), grey(stripes)) == pytest.approx(90, abs=1)


def test_lines_in_other_tones_and_without_any():
    photograph = load_image(house())
    torch.manual_seed(0)
    assert lines_kept(1 - photograph, photograph) == pytest.approx(0, abs=1e-3)
    assert lines_kept(torch.rand_like(photograph), photograph) == pytest.approx(45, abs=6)
    assert lines_kept(torch.full_like(photograph, 0.5), photograph) == pytest.approx(45)


def test_photographs_without_lines():
    image = load_image(house())
    y, x = np.mgrid[:200, :200]
    circle = (np.hypot(y - 100, x - 100) < 60) * 1.0
    torch.manual_seed(0)  # of noise in which some edges line up by chance
    for photograph in (grey(circle), torch.rand(1, 3, 200, 300), torch.zeros(1, 3, 200, 200)):
        with pytest.raises(InputError, match="no straight lines"):
            lines_kept(image, photograph)


def test_pictures_that_cannot_be_measured():
    image = torch.rand(1, 3, 20, 30)
    for measure in (grain, lambda x: edges_kept(x, image), lambda x: lines_kept(x, image)):
        with pytest.raises(InputError, match=r"expected a picture of shape \(1, 3, H, W\)"):
            measure(image[:, :1])
    with pytest.raises(InputError, match="at least 7 pixels a side"):
        edges_kept(image[..., :6], image)
    with pytest.raises(InputError, match="at least 32 pixels a side, that of a block"):
        grain(image, image, block=32)
    with pytest.raises(InputError, match="share must be a number from 0 to 1"):
        grain(image, image, share=2)
