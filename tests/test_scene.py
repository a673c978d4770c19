"""The pictures of a transfer: transparency, colours, sizes that the library derives."""

import time

import numpy as np
import pytest
import torch
from conftest import make_net, make_picture

from nstlib import InputError, StyleTransfer, load_image, stylize
from nstlib.color import COLORS, match_histogram
from nstlib.images import resize
from nstlib.moments import Moments
from nstlib.transfer.presets import make_settings
from nstlib.transfer.scene import Scene

STYLE = make_picture(64, 64, 2)
FAST = {"size": 64, "iterations": 3, "levels": 1, "progress": False}


def cut_out(height=60, width=80):
    """A green object on transparent ground whose hidden colour is red, and the object alone."""
    picture = np.zeros((height, width, 4), np.uint8)
    picture[..., 0] = 255
    inner = (slice(height // 4, 3 * height // 4), slice(width // 4, 3 * width // 4))
    picture[inner] = (40, 120, 40, 255)
    picture[(*inner, 1)] += (make_picture(height, width)[..., 1] // 8)[inner]
    return picture, picture[inner][..., :3].copy()


def test_colour_and_alpha_come_back():
    """Half-transparent pixels keep their colours: nothing is composited into the result."""
    content = np.full((64, 80, 4), (200, 100, 50, 128), np.uint8)
    for size in (80, 40, 100):
        transfer = StyleTransfer(content, STYLE, backbone=make_net(), size=size, iterations=1)
        np.testing.assert_allclose(
            np.asarray(transfer.picture), np.broadcast_to(content[0, 0], (*transfer.size, 4)), atol=1
        )
    options = {**FAST, "style_weight": 0, "tv_weight": 0, "learning_rate": 1e-9, "optimizer": "Adam"}
    picture = np.asarray(stylize(content, STYLE, backbone=make_net(), **options))
    np.testing.assert_allclose(picture, np.broadcast_to(content[0, 0], picture.shape), atol=1)


def test_hidden_colours_bleed_nowhere():
    picture, _ = cut_out()
    transfer = StyleTransfer(picture, STYLE, backbone=make_net(), size=40, iterations=1)
    image, alpha = transfer.image, transfer.transparency
    assert (image[:, 0] * alpha[:, 0]).max() < 0.3  # red nowhere
    redder = picture.copy()
    redder[..., :3][picture[..., 3] == 0] = (0, 0, 255)
    options = {**FAST, "backbone": make_net(), "style_layers": ["relu1_1", "relu3_1"]}
    first, second = (np.asarray(stylize(content, STYLE, **options)).astype(int) for content in (picture, redder))
    seen = first[..., 3] > 0
    np.testing.assert_allclose(first[seen], second[seen], atol=1)


@pytest.mark.parametrize("mode", [mode for mode in COLORS if mode not in ("style", "histogram_after")])
def test_what_cannot_be_seen_is_no_colour(mode):
    """A cut-out object recolours the style as the object alone does."""
    picture, inner = cut_out()
    settings = make_settings(color=mode, size=80)
    whole, alone = (Scene(content, STYLE, settings).styles((64, 64))[0][0] for content in (picture, inner))
    torch.testing.assert_close(whole, alone, atol=0.02, rtol=0)


def test_histogram_afterwards_is_that_of_what_can_be_seen():
    picture, inner = cut_out()
    scene = Scene(picture, STYLE, make_settings(color="histogram_after", size=None))
    painted = torch.rand(1, 3, 60, 80)
    result, expected = scene.finish(painted, (60, 80)), load_image(inner)
    seen = scene.transparency((60, 80))[0, 0] > 0.5
    torch.testing.assert_close(result[..., seen].mean(2), expected.mean((2, 3)), atol=0.01, rtol=0)
    torch.testing.assert_close(result[..., ~seen], painted[..., ~seen])


def test_a_transparent_style_counts_where_it_can_be_seen():
    """Its moments are those of its opaque half alone, but for what the network sees across the border."""
    inner = make_picture(64, 64, 5)
    style = np.zeros((64, 192, 4), np.uint8)
    style[:, 64:128, :3], style[:, 64:128, 3] = inner, 255
    options = {"backbone": make_net(), "style_layers": ["relu1_1"], "size": 192, "iterations": 1, "levels": 1}
    content = make_picture(64, 192, 7)
    cut, alone, on_white = (
        next(StyleTransfer(content, picture, **options)).losses["style"]
        for picture in (style, inner, load_image(style))
    )
    assert abs(cut - alone) < 0.2 * abs(on_white - alone)


def test_the_opaque_part_of_the_content_gets_the_style():
    """Not the picture as a whole, with its white ground."""
    picture, _ = cut_out(64, 64)
    net = make_net()
    transfer = StyleTransfer(picture, STYLE, backbone=net, size=64, iterations=60, style_layers=["relu1_1"], levels=1)
    list(transfer)
    inner = (..., slice(18, 46), slice(18, 46))

    def distance(image):
        features = net(image, ["relu1_1"])["relu1_1"]
        found, goal = Moments.of(features).gram, Moments.of(net(load_image(STYLE), ["relu1_1"])["relu1_1"]).gram
        return ((found - goal).norm() / goal.norm()).item()

    assert distance(transfer.image[inner]) < 0.2 * distance(load_image(picture)[inner])


def test_a_picture_that_cannot_be_seen_is_refused():
    hidden = np.zeros((64, 64, 4), np.uint8)
    with pytest.raises(InputError, match="the content is transparent everywhere"):
        stylize(hidden, STYLE, backbone=make_net(), **FAST)
    with pytest.raises(InputError, match="a style picture is transparent everywhere"):
        stylize(STYLE, [STYLE, hidden], backbone=make_net(), **FAST)


@pytest.mark.parametrize(("height", "width"), [(60, 2000), (2000, 60), (20, 1200)])
def test_narrow_pictures_get_a_pyramid_that_the_network_can_see(height, width):
    transfer = StyleTransfer(make_picture(height, width), STYLE, backbone=make_net(), size=None, iterations=10)
    assert transfer.sizes[-1] == (height, width)
    assert min(transfer.sizes[0]) >= 16
    with pytest.raises(InputError, match="fewer levels"):  # what the user names is not changed behind their back
        StyleTransfer(make_picture(height, width), STYLE, backbone=make_net(), size=None, iterations=10, levels=6)


def test_small_styles_are_as_large_as_the_network_needs():
    with pytest.warns(UserWarning, match=r"brush=0.1 of style 1 is out of reach, its strokes are those of brush=2.5"):
        transfer = StyleTransfer(STYLE, make_picture(40, 400), backbone=make_net(), size=64, brush=0.1, iterations=1)
    assert transfer._scene.style_sizes((64, 64)) == [(16, 160)]
    with pytest.raises(InputError, match="a style picture would be 80 x 8 pixels"):
        StyleTransfer(STYLE, make_picture(8, 80), backbone=make_net(), size=64)


def test_counts_of_the_pyramid_are_whole_and_add_up():
    from nstlib.transfer.scene import pyramid

    for levels in range(1, 15):
        for iterations in (levels, levels + 1, levels + 3, 250):
            sizes, counts = pyramid((2**18, 2**18), make_settings(levels=levels, iterations=iterations), 1)
            assert len(sizes) == len(counts) == levels
            assert min(counts) >= 1
            assert sum(counts) == iterations


def test_large_pictures_are_reduced_before_anything_else():
    """Recolouring twelve megapixels would take longer than painting them small."""
    large, options = make_picture(1500, 2000), {"backbone": make_net(), "size": 64, "color": "luminance"}
    StyleTransfer(STYLE, STYLE, **options)
    started = time.process_time()
    load_image(large)
    loading, started = time.process_time() - started, time.process_time()
    StyleTransfer(large, large, **options)
    assert time.process_time() - started < 4 * loading + 1


def test_reduced_styles_are_those_of_the_original():
    painting = make_picture(300, 300, 4)
    scene = Scene(STYLE, painting, make_settings(size=64))
    torch.testing.assert_close(scene.styles((64, 64))[0][0], resize(load_image(painting), (64, 64)), atol=0.01, rtol=0)
    matched = Scene(STYLE, painting, make_settings(size=64, color="histogram")).styles((64, 64))[0][0]
    expected = match_histogram(resize(load_image(painting), (64, 64)), load_image(STYLE))
    torch.testing.assert_close(matched, expected, atol=0.01, rtol=0)
