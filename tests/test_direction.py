"""Strokes along the photograph's structure: directions, turned paintings, divided regions, the measure."""

import numpy as np
import pytest
import torch
from conftest import goes_on, make_net, make_picture
from hypothesis import given, settings
from hypothesis import strategies as st

from nstlib import InputError, Settings, Style, StyleTransfer, load_image, stylize_tiles
from nstlib.directions import angles, directions
from nstlib.features import Plan
from nstlib.metrics import strokes_along
from nstlib.terms import Region
from nstlib.transfer.direction import COUNT, Direction, turned

CONTENT, STYLE, OTHER = make_picture(51, 64, 1), make_picture(60, 61, 2), make_picture(64, 50, 3)
LEFT = np.broadcast_to(np.linspace(0, 1, 64) < 0.4, (51, 64))
OPTIONS = {"size": 64, "iterations": 4, "levels": 1, "precision": "float64", "optimizer": "Adam"}


def stripes(degrees, height=90, width=120, period=8):
    """A picture that runs at so many degrees from the x axis, upwards to the right, shape (1, 3, H, W)."""
    y, x = np.mgrid[:height, :width]
    along = np.radians(degrees)
    wave = 0.5 + 0.4 * np.sin(2 * np.pi / period * (x * np.sin(along) + y * np.cos(along)))
    return torch.from_numpy(wave).float().expand(1, 3, -1, -1).contiguous()


def transfer_of(style=STYLE, **options):
    return StyleTransfer(CONTENT, style, backbone=make_net(torch.float64), **{**OPTIONS, **options})


def inner(x):
    """What is nowhere near the border."""
    return x[..., 20:-20, 20:-20]


def difference(one, other):
    """Of angles, in degrees, up to 90."""
    return ((one - other + 90) % 180 - 90).abs()


@given(degrees=st.floats(0, 180))
@settings(max_examples=15, deadline=None)
def test_the_direction_of_stripes_is_theirs(degrees):
    angle, clear = angles(directions(stripes(degrees)), (90, 120))
    assert difference(inner(angle), degrees).max() < 3
    assert clear.max() <= 1 + 1e-6
    assert inner(clear).min() > 0.8


def test_what_has_no_direction_is_not_clear():
    assert directions(torch.full((1, 3, 40, 50), 0.3)).abs().max() == 0
    rings = torch.cos(torch.hypot(*torch.meshgrid(torch.arange(-60.0, 61), torch.arange(-60.0, 61), indexing="ij")))
    angle, clear = angles(directions((0.5 + 0.4 * rings).expand(1, 3, -1, -1)), (121, 121))
    assert clear[0, 0, 60, 60] < 0.05 < 0.5 < clear[0, 0, 60, 100]
    assert difference(angle[0, 0, 60, 100], 90) < 5
    assert difference(angle[0, 0, 100, 100], 45) < 5


@pytest.mark.parametrize("strength", [1, 0.3])
@pytest.mark.parametrize("size", [(51, 64), (26, 32), (80, 100)])
def test_parts_are_a_partition_of_unity(strength, size):
    parts = Direction(load_image(CONTENT), strength).parts(size)
    assert parts.shape == (1, 1 + COUNT, *size)
    assert parts.min() >= -1e-6
    torch.testing.assert_close(parts.sum(1), torch.ones(1, *size))
    assert parts[:, 1:].sum(1).max() <= strength + 1e-6


@pytest.mark.parametrize(("degrees", "shares"), [(0, (1, 0, 0, 0)), (90, (0, 0, 1, 0)), (22.5, (0.5, 0.5, 0, 0))])
def test_parts_are_those_of_the_direction_and_its_neighbours(degrees, shares):
    parts = inner(Direction(stripes(degrees), 1).parts((90, 120)))[0, 1:]
    found = parts.sum((1, 2)) / parts.sum()
    assert found == pytest.approx(shares, abs=0.07)


def test_regions_are_divided_and_their_least_share_with_them():
    mask = torch.from_numpy(LEFT.copy()).float()[None, None]
    regions = [Region(mask, (1.0, 2.0), 0.5), Region(1 - mask, (3.0, 0.0))]
    divided = Direction(load_image(CONTENT), 0.8).divided(regions, (51, 64))
    for index, region in enumerate(regions):
        parts = divided[index * (1 + COUNT) : (index + 1) * (1 + COUNT)]
        torch.testing.assert_close(sum(part.mask for part in parts), region.mask)
        assert sum(part.least for part in parts) == pytest.approx(region.least)
        assert {part.weight for part in parts} == {region.weight}
        for number, part in enumerate(parts):
            blend = np.reshape(part.blend, (2, 1 + COUNT))
            assert tuple(blend[:, number]) == region.blend
            assert blend.sum() == sum(region.blend)


@pytest.mark.parametrize("weights", [None, torch.from_numpy(LEFT.copy()).float()[None, None]])
def test_turned_copies_hold_every_pixel_once_for_each_direction(weights):
    exemplar = turned(load_image(CONTENT), weights)
    weight = torch.ones(1, 1, 51, 64) if weights is None else weights
    _, clear = angles(directions(load_image(CONTENT)), (51, 64))
    counts = [sum(ways[way].sum().item() for _, ways in exemplar.copies) for way in range(1 + COUNT)]
    assert counts[0] == pytest.approx(weight.sum().item())
    running = (weight * (clear + 0.01 * (1 - clear))).sum().item()
    assert counts[1:] == pytest.approx([running] * COUNT, rel=0.02)
    for picture, ways in exemplar.copies:
        assert {way.shape[2:] for way in ways} == {picture.shape[2:]}
        assert all(way.min() >= 0 and way.max() <= 1 + 1e-6 for way in ways)
    assert torch.equal(exemplar.copies[0][0], load_image(CONTENT))


@pytest.mark.parametrize("degrees", [0, 20, 100])
def test_a_painting_is_turned_to_each_direction(degrees):
    """What counts for a direction runs in it, within half a step, whatever the painting's own."""
    seen = []
    for picture, (_, *ways) in turned(stripes(degrees), None).copies:
        angle, _ = angles(directions(picture), picture.shape[2:])
        for step, way in enumerate(ways):
            if way.sum() > 5000:
                assert difference(angle[way > 0.7], 45 * step).median() < 22.6
                seen.append(step)
    assert sorted(seen) == [*range(COUNT)]


def test_a_painting_without_direction_is_shown_as_it_is():
    plain = torch.full((1, 3, 40, 50), 0.3)
    (_, (whole, *ways)), *others = turned(plain, None).copies
    assert torch.equal(whole, torch.ones(1, 1, 40, 50))
    assert all(way.std() == 0 < way.mean() for way in ways)
    assert all(way.sum() == 0 for _, ways in others for way in ways)


def test_corners_beyond_a_turned_painting_do_not_count():
    """A white painting is white in every direction: no black corner comes in."""
    white = torch.ones(1, 3, 40, 70)
    white[..., ::4, :] = 0.9
    for picture, ways in turned(white, None).copies:
        assert picture.min() > 0.85
        for way in ways:
            assert way.sum() <= 40 * 70 * 1.02


# The whole


def test_strength_0_is_as_without():
    transfer = transfer_of(direction=0)
    assert transfer._scene.regions((51, 64)) == transfer._scene.layout.at((51, 64))
    (exemplar,) = transfer._scene.exemplars((51, 64))
    ((_, ways),) = exemplar.copies
    assert ways == [None]
    assert len(transfer.settings.fixed) == len(Settings().fixed)


@pytest.mark.parametrize(("plan", "size"), [(Plan(5, 16), 64), (Plan(2, 32), 61), (Plan(3, 16), 79)])
def test_tiled_is_untiled(plan, size):
    styles = [Style(STYLE, where=LEFT), Style(OTHER, weight=2, brush=0.5)]
    options = {"direction": 0.8, "size": size, "protect": LEFT}
    whole, tiled = transfer_of(styles, memory="full", **options), transfer_of(styles, plan=plan, **options)
    losses = [[step.losses for step in transfer][-1] for transfer in (whole, tiled)]
    torch.testing.assert_close(tiled.image, whole.image, rtol=0, atol=1e-5)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_a_killed_transfer_goes_on(tmp_path):
    goes_on(lambda: transfer_of(direction=0.7), tmp_path / "state.pt")
    with pytest.raises(InputError, match="other pictures or settings"):
        transfer_of(direction=0.6).load_checkpoint(tmp_path / "state.pt")


def test_stylize_tiles_has_no_direction():
    with pytest.raises(InputError, match="stylize_tiles has no direction"):
        stylize_tiles(CONTENT, STYLE, direction=0.5, tile=48, size=64, backbone=make_net())


# The measure


@pytest.mark.parametrize(("degrees", "share"), [(0, 1), (15, 1), (30, 0), (90, 0), (170, 1)])
def test_stripes_along_the_photograph_count_and_others_do_not(degrees, share):
    assert strokes_along(stripes(degrees), stripes(0)) == pytest.approx(share, abs=0.03)


def test_noise_has_the_share_of_chance():
    noise = torch.rand(1, 3, 300, 300, generator=torch.Generator().manual_seed(0))
    for within in (10, 22, 45):
        assert strokes_along(noise, stripes(30), within) == pytest.approx(within / 90, abs=0.01)


def test_the_measure_refuses_what_has_no_directions():
    for image, photo in ((torch.rand(1, 3, 50, 50), torch.ones(1, 3, 50, 50)), (torch.ones(1, 3, 9, 9), stripes(0))):
        with pytest.raises(InputError, match="plain, or the photograph has no structure"):
            strokes_along(image, photo)
    with pytest.raises(InputError, match="shape"):
        strokes_along(torch.rand(3, 50, 50), stripes(0))
    with pytest.raises(InputError, match="within must be"):
        strokes_along(torch.rand(1, 3, 50, 50), stripes(0), 91)
