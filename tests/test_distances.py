"""Distances in the features of a network: SciPy's and the textbook's computations, tiles, and sanity rows."""

import numpy as np
import pytest
import torch
from conftest import make_net, make_picture
from scipy.linalg import sqrtm
from scipy.special import rel_entr, softmax

from nstlib import InputError, load_backbone, load_image, samples
from nstlib.features import STYLE_LAYERS, Plan
from nstlib.images import resize
from nstlib.metrics import content_distance, edges_kept, frechet_distance, structural_distance, style_distance
from nstlib.metrics.distances import TEMPERATURE

IMAGE, STYLE = (load_image(make_picture(96, 112, seed)) for seed in (1, 2))
TILED = Plan(5, 48)


@pytest.fixture(scope="module")
def net():
    return make_net(torch.float32, padding="replicate")


def features(net, image, layer):
    """Array (places, channels)."""
    return net(image, [layer])[layer][0].flatten(1).T.double().numpy()


def test_style_distance_is_the_textbooks(net):
    expected = []
    for layer in STYLE_LAYERS:
        found, goal = (features(net, x, layer) for x in (IMAGE, STYLE))
        a, b = found.T @ found / len(found), goal.T @ goal / len(goal)
        expected.append(((a - b) ** 2).sum() / (b**2).sum())
    assert style_distance(IMAGE, STYLE, net) == pytest.approx(np.mean(expected), rel=1e-4)
    assert style_distance(STYLE, STYLE, net) == 0
    with pytest.raises(InputError, match="did you mean 'gram'"):
        style_distance(IMAGE, STYLE, net, "gramm")


def test_content_distance_is_the_textbooks(net):
    found, goal = (features(net, x, "relu4_2") for x in (IMAGE, STYLE))
    expected = ((found - goal) ** 2).sum() / (goal**2).sum()
    assert content_distance(IMAGE, STYLE, net) == pytest.approx(expected, rel=1e-4)
    assert content_distance(STYLE, STYLE, net) == 0
    for distance in (content_distance, structural_distance):
        with pytest.raises(InputError, match="resize the photograph to the painting's size"):
            distance(IMAGE, STYLE[..., 1:], net)


def test_frechet_distance_is_scipys(net):
    found, goal = (features(net, x, "relu3_1") for x in (IMAGE, STYLE))
    (m, s), (n, t) = ((x.mean(0), np.cov(x.T, bias=True)) for x in (found, goal))
    expected = ((m - n) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real)
    expected /= (n**2).sum() + np.trace(t)
    assert frechet_distance(IMAGE, STYLE, net) == pytest.approx(expected, rel=5e-3)  # of the ridge
    assert frechet_distance(STYLE, STYLE, net) == pytest.approx(0, abs=1e-6)


def test_structural_distance_is_scipys(net):
    found, goal = (features(net, x, "relu3_1") for x in (IMAGE, STYLE))
    p, q = (
        softmax((x / np.linalg.norm(x, axis=1, keepdims=True)) @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T
                / TEMPERATURE, axis=1)
        for x in (goal, found)
    )  # fmt: skip
    assert len(found) > 512  # more than one block of rows
    assert structural_distance(IMAGE, STYLE, net, side=112) == pytest.approx(rel_entr(p, q).sum(1).mean(), rel=1e-3)
    assert structural_distance(STYLE, STYLE, net) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("distance", [style_distance, content_distance, frechet_distance])
def test_tiles_change_nothing(net, distance):
    assert distance(IMAGE, STYLE, net, plan=TILED) == pytest.approx(distance(IMAGE, STYLE, net), rel=1e-4)


def test_neither_the_photograph_nor_the_painting_wins():
    """Each is best on one axis of every pair of measures and plainly loses on the other."""
    net = load_backbone("compact")
    photograph = resize(load_image(samples.content("astronaut")), (160, 160))
    painting = resize(load_image(samples.style("starry_night")), (160, 160))
    wrong = resize(load_image(samples.content("coffee")), (160, 160))
    assert style_distance(photograph, painting, net) > 0.3
    assert frechet_distance(photograph, painting, net) > 0.1
    assert style_distance(painting, painting, net) == content_distance(photograph, photograph, net) == 0
    assert content_distance(painting, photograph, net) > 1
    for other in (painting, wrong):
        assert structural_distance(other, photograph, net) > 0.1
        assert edges_kept(other, photograph) < 0.3
