"""Distances in the features of a network: closed forms, SciPy, plain computation, and pictures whose order is known."""

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from conftest import make_net, make_picture

from nstlib import InputError, load_backbone, load_image, samples
from nstlib.features import STYLE_LAYERS, Plan
from nstlib.images import fit_size, resize
from nstlib.metrics import (
    content_distance,
    edges_kept,
    frechet_distance,
    grain,
    structural_distance,
    style_distance,
    summary,
)

TILED = Plan(tiled_blocks=5, tile=64)


@pytest.fixture
def pair():
    """Two pictures of one size, in float64."""
    return [load_image(make_picture(90, 110, seed)).double() for seed in (1, 2)]


def vectors(net, image, layer):
    """The feature vectors of all locations, (P, C), as an array."""
    return net(image, [layer])[layer][0].flatten(1).T.numpy()


@pytest.mark.parametrize(
    "distance",
    [content_distance, frechet_distance, structural_distance, style_distance],
)
def test_a_picture_equals_itself(small_net, pair, distance):
    assert distance(pair[0], pair[0], small_net) == pytest.approx(0, abs=1e-9)
    assert distance(*pair, small_net) > 1e-3


def test_style_distance_is_the_mean_over_layers(small_net, pair):
    expected = []
    for layer in STYLE_LAYERS:
        a, b = (f.T @ f / len(f) for f in (vectors(small_net, image, layer) for image in pair))
        expected.append(((a - b) ** 2).sum() / (b**2).sum())
    assert style_distance(*pair, small_net) == pytest.approx(np.mean(expected), rel=1e-9)


def test_style_distance_of_means_and_deviations(small_net, pair):
    expected = []
    for layer in STYLE_LAYERS:
        a, b = (np.stack([f.mean(0), f.std(0)]) for f in (vectors(small_net, image, layer) for image in pair))
        expected.append(((a - b) ** 2).sum() / (b**2).sum())
    # The loss has a floor of 1e-4 of the mean variance below each root.
    assert style_distance(*pair, small_net, "mean_std") == pytest.approx(np.mean(expected), rel=1e-2)


def test_content_distance(small_net, pair):
    a, b = (vectors(small_net, image, "relu4_2") for image in pair)
    assert content_distance(*pair, small_net) == pytest.approx(((a - b) ** 2).sum() / (b**2).sum(), rel=1e-9)


def test_masks_choose_the_pixels_that_count(small_net, pair):
    """Computed once more, with the mask at the size of each layer."""
    mask, other = torch.rand(2, 1, 1, 90, 110, dtype=torch.float64)

    def weighted(image, layer, weights):
        values = vectors(small_net, image, layer)
        size = [side >> small_net.downsampling(layer) for side in (90, 110)]
        return values, F.adaptive_avg_pool2d(weights, size).numpy().reshape(-1, 1)

    (a, w), (b, _) = (weighted(image, "relu4_2", mask) for image in pair)
    expected = (w * (a - b) ** 2).sum() / (w * b**2).sum()
    assert content_distance(*pair, small_net, mask=mask) == pytest.approx(expected, rel=1e-6)
    expected = []
    for layer in STYLE_LAYERS:
        found = [weighted(image, layer, weights) for image, weights in zip(pair, (mask, other), strict=True)]
        a, b = ((w * f).T @ f / w.sum() for f, w in found)
        expected.append(((a - b) ** 2).sum() / (b**2).sum())
    found = style_distance(*pair, small_net, mask=mask, style_mask=other)
    assert found == pytest.approx(np.mean(expected), rel=1e-6)
    for distance in (content_distance, style_distance):
        with pytest.raises(InputError, match=r"a mask must have the shape \(1, 1, 90, 110\)"):
            distance(*pair, small_net, mask=mask[..., :50])
        with pytest.raises(InputError, match="above 0 somewhere"):
            distance(*pair, small_net, mask=0 * mask)


def test_frechet_distance_against_scipy(small_net, pair):
    a, b = (vectors(small_net, image, "relu3_1") for image in pair)
    means, (s, goal) = a.mean(0) - b.mean(0), (np.cov(f.T, bias=True) for f in (a, b))
    ridge = 1e-4 * goal.diagonal().mean() * np.eye(len(goal))
    s, goal = s + ridge, goal + ridge
    spread = np.trace(s + goal - 2 * scipy.linalg.sqrtm(s @ goal).real)
    expected = (means @ means + spread) / (b.mean(0) @ b.mean(0) + np.trace(goal))
    assert frechet_distance(*pair, small_net) == pytest.approx(expected, rel=1e-6)


def test_structural_distance_is_the_mean_divergence_of_rows(small_net, pair):
    rows = []
    for image in pair:
        f = vectors(small_net, resize(image, fit_size(90, 110, 120)), "relu3_1")
        f = f / np.linalg.norm(f, axis=1, keepdims=True)
        weights = np.exp(f @ f.T / 0.1)
        rows.append(weights / weights.sum(1, keepdims=True))
    image, content = rows
    expected = (content * np.log(content / image)).sum(1).mean()
    assert len(image) > 512  # more than the rows that are held at a time
    assert structural_distance(*pair, small_net, side=120) == pytest.approx(expected, rel=1e-9)


def test_structural_distance_does_not_see_the_size_of_a_picture(small_net, pair):
    larger = resize(pair[0], (180, 220))
    assert structural_distance(larger, pair[1], small_net, side=64) == pytest.approx(
        structural_distance(*pair, small_net, side=64), rel=0.05
    )


@pytest.mark.parametrize("kind", ["gram", "mean_std", "wasserstein"])
def test_style_in_tiles(small_net, pair, kind):
    whole, tiled = (style_distance(*pair, small_net, kind, **plan) for plan in ({}, {"plan": TILED}))
    assert tiled == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("distance", [content_distance, frechet_distance])
def test_in_tiles(small_net, pair, distance):
    assert distance(*pair, small_net, plan=TILED) == pytest.approx(distance(*pair, small_net), rel=1e-5)


def test_half_precision_is_summed_in_single():
    """The sums over this many pixels are beyond the range of float16."""
    pair = [load_image(make_picture(260, 260, seed)) for seed in (1, 2)]
    net = make_net()
    whole = content_distance(*pair, net, "relu1_1"), style_distance(*pair, net)
    net = net.half()
    assert (content_distance(*pair, net, "relu1_1"), style_distance(*pair, net)) == pytest.approx(whole, rel=0.01)


def test_what_cannot_be_measured(small_net, pair):
    image, style = pair
    with pytest.raises(InputError, match="the content at the size of the image"):
        content_distance(image, style[..., 1:], small_net)
    with pytest.raises(InputError, match="unknown kind of style distance 'grim'"):
        style_distance(image, style, small_net, "grim")
    with pytest.raises(InputError, match="unknown layer 'relu9_1'"):
        frechet_distance(image, style, small_net, "relu9_1")
    with pytest.raises(InputError, match="relu5_1 needs a picture .* at least 16 pixels a side, received .*8, 110"):
        style_distance(image[:, :, :8], style, small_net)
    with pytest.raises(InputError, match="relu3_1 needs a picture"):
        structural_distance(image, style, small_net, side=3)


@pytest.mark.parametrize(("photograph", "painting"), [("astronaut", "embers"), ("coffee", "swirls")])
def test_no_measure_alone_is_to_be_trusted(photograph, painting):
    """Doing nothing keeps all content and has no style; pasting the style has all style and keeps no content."""
    net = load_backbone("compact")
    photo, style = (load_image(picture) for picture in (samples.content(photograph), samples.style(painting)))
    photo = resize(photo, fit_size(*photo.shape[2:], 128))
    style, pasted = resize(style, (128, 128)), resize(style, photo.shape[2:])
    assert style_distance(photo, style, net) > 3 * style_distance(pasted, style, net)
    assert frechet_distance(photo, style, net) > 3 * frechet_distance(pasted, style, net)
    assert content_distance(photo, photo, net) == 0
    assert content_distance(pasted, photo, net) > 1
    assert structural_distance(photo, photo, net) < 1e-5
    assert structural_distance(pasted, photo, net) > 0.3
    assert edges_kept(photo, photo) == pytest.approx(1)
    assert edges_kept(pasted, photo) < 0.1
    assert grain(pasted, photo) > 2 * grain(photo, photo)


def test_a_summary_of_any_pictures(small_net, pair):
    image, content = pair
    style = resize(content, (220, 180))
    found = summary(image.float(), resize(content, (180, 220)), style, small_net)
    reduced = resize(style.float(), (110, 90))
    content = resize(resize(content, (180, 220)).float(), (90, 110))
    expected = style_distance(image.float(), reduced, small_net), content_distance(image.float(), content, small_net)
    assert found.startswith("style {:.3f}, content {:.2f}, grain ".format(*expected))
