"""Fine and coarse layers from different paintings, grain without colour, grain and motif as weights."""

import numpy as np
import pytest
import torch
from conftest import make_net, make_picture
from hypothesis import given
from hypothesis import strategies as st

import nstlib.__main__ as cli
from nstlib import InputError, Moments, Settings, Style, StyleTransfer, load_image, read_settings
from nstlib.features import Plan
from nstlib.features.backbone import STYLE_LAYERS
from nstlib.losses import STYLE_LOSSES
from nstlib.moments import blend
from nstlib.terms.texture import compared
from nstlib.transfer.presets import make_settings

CONTENT, STYLE, OTHER = make_picture(51, 64, 1), make_picture(51, 64, 2), make_picture(51, 64, 3)
LEFT = np.broadcast_to(np.linspace(0, 1, 64) < 0.4, (51, 64))
OPTIONS = {"size": 64, "iterations": 4, "levels": 1, "precision": "float64", "optimizer": "Adam"}
FINE, COARSE = STYLE_LAYERS[:2], STYLE_LAYERS[2:]


def transfer_of(styles, **options):
    return StyleTransfer(CONTENT, styles, backbone=make_net(torch.float64), **{**OPTIONS, **options})


def moments_of(picture):
    """By hand: ``{layer: Moments}`` of its feature maps."""
    maps = make_net(torch.float64)(load_image(picture).double(), list(STYLE_LAYERS))
    return {layer: Moments.of(maps[layer]) for layer in STYLE_LAYERS}


def targets_of(styles, **options):
    transfer = transfer_of(styles, **options)
    next(transfer)
    return [goals for _, goals, *_ in transfer.targets["style"][51, 64]]


# Layers of different paintings


def test_layers_of_two_paintings_are_each_their_own():
    (goals,) = targets_of([Style(STYLE, layers="fine"), Style(OTHER, layers="coarse", weight=3)])
    fine, coarse = moments_of(STYLE), moments_of(OTHER)
    for layer in STYLE_LAYERS:
        expected = (fine if layer in FINE else coarse)[layer]
        torch.testing.assert_close(goals[layer].gram, expected.gram)
        torch.testing.assert_close(goals[layer].mean, expected.mean)


def test_a_style_of_all_layers_is_blended_with_one_of_some():
    (goals,) = targets_of([Style(STYLE, layers="fine", weight=3), OTHER])
    both = [moments_of(STYLE), moments_of(OTHER)]
    for layer in STYLE_LAYERS:
        weights = (3, 1) if layer in FINE else (0, 1)
        torch.testing.assert_close(goals[layer].gram, blend([one[layer] for one in both], weights).gram)


def test_layers_without_a_style_have_no_loss():
    """The grain of a painting alone: the loss is that of the fine layers, whose weights are shares of all."""
    found = next(transfer_of(Style(STYLE, layers="fine"))).losses["style"]
    weights = dict.fromkeys(STYLE_LAYERS, 1e-12) | dict.fromkeys(FINE, 1.0)
    alone = next(transfer_of(STYLE, style_layers=weights)).losses["style"]
    assert found == pytest.approx(alone * len(FINE) / sum(Settings().style_layers.values()), rel=1e-6)
    (goals,) = targets_of(Style(STYLE, layers="fine"))
    assert [layer for layer in STYLE_LAYERS if goals[layer] is None] == list(COARSE)


def test_layers_in_regions_tiled_and_resumed(tmp_path):
    styles = [Style(STYLE, where=LEFT, layers="fine"), Style(STYLE, where=LEFT, layers="coarse", brush=0.5), OTHER]
    whole, tiled, resumed = (transfer_of(styles, **o) for o in ({"memory": "full"}, {"plan": Plan(3, 16)}, {}))
    list(whole)
    next(tiled)
    tiled.save_checkpoint(tmp_path / "state.pt")
    list(tiled)
    torch.testing.assert_close(tiled.image, whole.image, rtol=0, atol=1e-5)
    resumed.load_checkpoint(tmp_path / "state.pt")
    list(resumed)
    torch.testing.assert_close(resumed.image, whole.image, rtol=0, atol=1e-5)
    other = [Style(STYLE, where=LEFT, layers="coarse"), Style(STYLE, where=LEFT, layers="fine", brush=0.5), OTHER]
    with pytest.raises(InputError, match="other pictures or settings"):
        transfer_of(other).load_checkpoint(tmp_path / "state.pt")


def test_the_same_painting_for_both_kinds_is_the_painting():
    both = [Style(STYLE, where=LEFT, layers="fine"), Style(STYLE, where=LEFT, layers="coarse"), OTHER]
    one = [Style(STYLE, where=LEFT), OTHER]
    found, expected = (next(transfer_of(styles)).losses["style"] for styles in (both, one))
    assert found == pytest.approx(expected)


def test_layers_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="unknown layers of a style 'middle'; choose from fine, coarse"):
        Style(STYLE, layers="middle")
    with pytest.raises(InputError, match="style 2 is for the fine layers, and style_layers has none of them"):
        transfer_of([OTHER, Style(STYLE, layers="fine")], style_layers="relu3_1")


# Grain without colour


@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_colorless_grain_does_not_see_means(style_loss):
    """A style loss of the first layer alone: moved by a constant, the covariance stays and so does the loss."""
    weights = torch.tensor([0.2, 0.3, 0.5, 0.1]).view(1, 4, 1, 1).double()
    transfer = transfer_of(STYLE, style_loss=style_loss, colorless_grain=True)
    term = transfer.terms["style"]
    features, goal = torch.rand(2, 1, 4, 9, 8, dtype=torch.float64)
    found = [
        term._distance(compared(Moments.of(f), "relu2_1", transfer.settings), Moments.of(goal).centred)
        for f in (features, features + weights)
    ]
    torch.testing.assert_close(found[0], found[1])
    assert found[0] > 1e-4
    kept = [compared(Moments.of(f), "relu3_1", transfer.settings).mean for f in (features, features + weights)]
    torch.testing.assert_close(kept[1] - kept[0], weights[..., 0])


def test_targets_of_colorless_grain_are_covariances():
    (goals,) = targets_of([STYLE, Style(OTHER, weight=3)], colorless_grain=True)
    both = [moments_of(STYLE), moments_of(OTHER)]
    for layer in STYLE_LAYERS:
        if layer in FINE:
            # Of each painting by itself: that they differ in colour is no grain.
            expected = sum(one[layer].covariance * share for one, share in zip(both, (0.25, 0.75), strict=True))
            torch.testing.assert_close(goals[layer].gram, expected)
            assert goals[layer].mean.abs().max() == 0
        else:
            torch.testing.assert_close(goals[layer].gram, blend([one[layer] for one in both], (1, 3)).gram)


def test_centred_moments_are_those_of_centred_features():
    features, mask = torch.rand(2, 3, 9, 8, dtype=torch.float64), torch.rand(1, 1, 9, 8, dtype=torch.float64)
    mean = (features * mask).sum((2, 3), True) / mask.sum()
    found, expected = Moments.of(features, mask).centred, Moments.of(features - mean, mask)
    torch.testing.assert_close(found.second, expected.second)
    torch.testing.assert_close(found.sum, torch.zeros_like(found.sum))
    torch.testing.assert_close(found.centred.second, found.second)


# Grain and motif


def test_grain_and_motif_are_weights_of_layers():
    settings = make_settings(grain=2, motif=0)
    assert list(settings.style_layers.values()) == [2, 2, 1, 0, 0]
    assert (settings.grain, settings.motif) == (2, 0)
    settings.motif = 0.5  # all were 0: they become half of what they are by default
    assert list(settings.style_layers.values()) == [2, 2, 1, 0.5, 0.1]
    assert not {"grain", "motif"} & set(settings.as_dict())
    uneven = make_settings(style_layers={"relu1_1": 1, "relu2_1": 3, "relu4_1": 2}, grain=4)
    assert uneven.style_layers == {"relu1_1": 2, "relu2_1": 6, "relu4_1": 2}


@given(st.lists(st.floats(0.01, 100), min_size=5, max_size=5), st.floats(0, 100))
def test_grain_leaves_proportions_and_other_layers(weights, value):
    layers = dict(zip(STYLE_LAYERS, weights, strict=True))
    settings = Settings(style_layers=layers)
    settings.grain = value
    found = settings.style_layers
    assert settings.grain == pytest.approx(value)
    assert found["relu1_1"] * layers["relu2_1"] == pytest.approx(found["relu2_1"] * layers["relu1_1"])
    assert [found[layer] for layer in COARSE] == [layers[layer] for layer in COARSE]


def test_grain_may_change_while_a_transfer_runs():
    transfer = transfer_of(STYLE)
    next(transfer)
    transfer.settings.grain = 3
    assert next(transfer).losses["total"] > 0
    assert transfer.settings.style_layers["relu2_1"] == 3


def test_grain_without_its_layers_is_refused():
    settings = Settings(style_layers="relu3_1")
    assert (settings.grain, settings.motif) == (None, None)
    for name in ("grain", "motif"):
        with pytest.raises(InputError, match=f"{name} is the weight of the .* but style_layers has none of them"):
            setattr(settings, name, 1)
    for value in (-1, "much", None):
        with pytest.raises(InputError, match="grain must be a number of at least 0"):
            make_settings(grain=value)
    with pytest.raises(InputError, match="style_layers needs a weight above 0"):
        make_settings(style_layers="relu1_1", grain=0)


def test_the_command_line(tmp_path):
    small = ["--size", "64", "--iterations", "2", "--backbone", "compact", "--quiet"]
    styles = ["--style", "sample:swirls@layers=fine", "--style", "sample:embers@layers=coarse"]
    options = ["--grain", "2", "--motif", "0.5", "--direction", "0.5", "--colorless-grain"]
    assert cli.main(["sample:chelsea", *styles, *options, *small, "-o", str(tmp_path / "a.png")]) == 0
    saved = read_settings(tmp_path / "a.png")
    assert list(saved["style_layers"].values()) == [2, 2, 1, 0.5, 0.1]
    assert (saved["direction"], saved["colorless_grain"]) == (0.5, True)
    assert Style.parse("a.jpg@layers=fine@weight=2").layers == "fine"
    with pytest.raises(InputError, match="layers of a style"):
        Style.parse("a.jpg@layers=middle")
