"""Colours: closed forms for the linear maps, scikit-image for histograms, Lab for luminance."""

import numpy as np
import pytest
import torch
from conftest import make_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import exposure
from skimage.color import rgb2lab

from nstlib import InputError, StyleTransfer, color, load_image, samples, stylize
from nstlib.color import LINEAR_METHODS, linear_transfer, luminance, match_histogram, match_luminance, with_chroma
from nstlib.images import resize

PHOTO = load_image(samples.content("coffee"))[..., ::2, ::2]
PAINTING = load_image(samples.style("swirls", size=150))


def lab(image):
    return rgb2lab(image[0].permute(1, 2, 0).double().numpy())


def statistics(image):
    pixels = image[0].flatten(1).double().numpy()
    return pixels.mean(1), np.cov(pixels, bias=True)


@pytest.mark.parametrize("method", LINEAR_METHODS)
def test_linear_transfer_gives_the_targets_mean_and_covariance(method):
    result = linear_transfer(PAINTING.double(), PHOTO.double(), method)
    for found, wanted in zip(statistics(result), statistics(PHOTO), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_symmetric_transfer_moves_colours_least():
    def moved(method):
        return (linear_transfer(PAINTING, PHOTO, method) - PAINTING).square().mean()

    assert moved("symmetric") < min(moved("cholesky"), moved("pca"))


@pytest.mark.parametrize("method", LINEAR_METHODS)
@pytest.mark.parametrize("flat", ["constant", "grey"])
def test_flat_colours_stay_finite(method, flat):
    image = torch.full((1, 3, 20, 30), 0.4) if flat == "constant" else PAINTING[:, :1].expand(-1, 3, -1, -1)
    for source, target in ((image, PHOTO), (PHOTO, image), (image, image)):
        result = linear_transfer(source.double(), target.double(), method)
        assert result.isfinite().all()
        np.testing.assert_allclose(statistics(result)[0], statistics(target)[0], atol=1e-6)
    # A grey picture becomes another one's shades, of the right variance along that one line.
    np.testing.assert_allclose(statistics(linear_transfer(PHOTO.double(), image.double(), method))[1],
                               statistics(image)[1], atol=1e-6)  # fmt: skip


def test_histograms_are_scikit_images():
    expected = exposure.match_histograms(
        PAINTING[0].permute(1, 2, 0).double().numpy(), PHOTO[0].permute(1, 2, 0).double().numpy(), channel_axis=-1
    )
    np.testing.assert_allclose(match_histogram(PAINTING, PHOTO)[0].permute(1, 2, 0), expected, atol=1e-6)


def test_luminance_keeps_lightness_and_drops_chroma():
    found, wanted = lab(luminance(PHOTO)), lab(PHOTO)
    np.testing.assert_allclose(found[..., 0], wanted[..., 0], atol=0.02)
    assert abs(found[..., 1:]).max() < 0.05


def test_match_luminance():
    found, wanted = lab(match_luminance(PAINTING, PHOTO))[..., 0], lab(PHOTO)[..., 0]
    assert found.mean() == pytest.approx(wanted.mean(), abs=1.5)  # but for what is clipped at black and white
    assert found.std() == pytest.approx(wanted.std(), rel=0.1)
    assert match_luminance(torch.full((1, 3, 8, 8), 0.5), PHOTO).isfinite().all()


def test_chroma_of_a_luminance_painting_is_the_contents():
    options = {"size": 96, "iterations": 3, "init": "style", "backbone": "compact", "progress": False}
    content = lab(resize(PHOTO, (64, 96)))

    def error(**more):
        picture = load_image(stylize(PHOTO, PAINTING, **options, **more))  # rounded to 8 bits
        return np.median(abs(lab(picture) - content)[..., 1:])

    assert error(color="luminance") < 1
    assert error() > 5


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.floats(0, 1)] * 3), st.tuples(*[st.floats(0, 1)] * 3))
def test_with_chroma_keeps_lightness_and_hue(shade, tint):
    image, source = (torch.tensor(x).view(1, 3, 1, 1).double() for x in (shade, tint))
    result, wanted, light = lab(with_chroma(image, source)), lab(source), lab(image)
    assert result[0, 0, 0] == pytest.approx(light[0, 0, 0], abs=0.1)
    chroma, goal = np.hypot(*result[0, 0, 1:]), np.hypot(*wanted[0, 0, 1:])
    assert chroma <= goal + 0.05
    assert result[0, 0, 1:] @ wanted[0, 0, 1:] == pytest.approx(chroma * goal, abs=0.05 * (1 + goal))


@pytest.mark.parametrize("mode", color.COLORS)
def test_every_mode_paints_and_strength_blends(mode):
    def paint(**options):
        transfer = StyleTransfer(
            PHOTO, PAINTING, size=64, levels=2, iterations=4, init="style", backbone="compact", **options
        )
        list(transfer)
        assert transfer.image.isfinite().all()
        assert transfer.image.shape == (1, 3, *transfer.size)
        return transfer.image

    plain, full = paint(), paint(color=mode)
    torch.testing.assert_close(paint(color=mode, color_strength=0), plain, atol=0.02, rtol=0)
    content = PHOTO.mean((2, 3))
    if mode != "style":
        assert (full.mean((2, 3)) - content).abs().sum() < (plain.mean((2, 3)) - content).abs().sum()


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="unknown color 'sepia'; choose from style, histogram"):
        stylize(PHOTO, PAINTING, color="sepia")
    with pytest.raises(InputError, match="color_strength must be a number from 0 to 1"):
        stylize(PHOTO, PAINTING, color="pca", color_strength=1.5)
    with pytest.raises(InputError, match="unknown method"):
        linear_transfer(PHOTO, PAINTING, "magic")


def test_recolouring_repeats():
    image = load_image(make_picture(30, 40, seed=3))
    assert all(torch.equal(linear_transfer(image, PHOTO, m), linear_transfer(image, PHOTO, m)) for m in LINEAR_METHODS)
