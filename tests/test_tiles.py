"""Split and stitch: the identity, and a style shared by all tiles."""

import numpy as np
import pytest
import torch
from conftest import make_picture
from hypothesis import given, settings
from hypothesis import strategies as st

from nstlib import Diverged, InputError, load_backbone, load_image, stylize, tiles
from nstlib.objective import style_moments
from nstlib.settings import make_settings
from nstlib.tiles import Grid, seam_ratio, stylize_tiles
from nstlib.tiling import FULL


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 50), st.data())
def test_stitching_what_was_split_is_the_identity(height, width, tile, data):
    grid = Grid(height, width, tile, data.draw(st.integers(0, tile - 1)))
    image = torch.rand(2, 3, height, width)
    torch.testing.assert_close(grid.stitch(grid.split(image)), image, atol=1e-6, rtol=0)


def test_neighbours_overlap_as_asked():
    starts = [columns.start for _, columns in Grid(64, 1000, 64, 16).boxes]
    stops = [columns.stop for _, columns in Grid(64, 1000, 64, 16).boxes]
    assert starts[0] == 0
    assert stops[-1] == 1000
    assert min(a - b for a, b in zip(stops, starts[1:], strict=False)) >= 16


def test_stitching_fades_smoothly():
    grid = Grid(32, 100, 64, 28)
    left, right = torch.zeros(1, 1, 32, 64), torch.ones(1, 1, 32, 64)
    row = grid.stitch([left, right])[0, 0, 0]
    assert row.diff().min() >= 0
    assert row.diff().max() < 0.08  # a hard edge would be 1
    assert (row[0], row[-1]) == (0, 1)


def test_wrong_overlap_is_refused():
    with pytest.raises(InputError, match="overlap must be from 0 to below the tile's 32 pixels"):
        Grid(100, 100, 32, 32)


def test_one_tile_is_plain_stylization():
    content, style = make_picture(48, 64, 1), make_picture(48, 64, 2)
    options = {"size": 64, "iterations": 5, "backbone": "compact", "progress": False}
    whole = stylize(content, style, levels=1, memory="full", **options)
    tiled = stylize_tiles(content, style, tile=64, overlap=0, rounds=1, **options)
    np.testing.assert_array_equal(whole, tiled)


def test_shared_moments_give_the_whole_picture_the_style():
    content, style = make_picture(96, 128, 1), make_picture(96, 128, 2)
    content[:, :64] //= 4  # two halves that differ
    options = {"size": 128, "iterations": 100, "backbone": "compact", "progress": False}
    tiling = {"tile": 64, "overlap": 16, "rounds": 2}
    net = load_backbone("compact")
    target = style_moments(net, load_image(style), make_settings(), FULL)

    def distance(picture):
        found = style_moments(net, load_image(picture), make_settings(), FULL)
        return sum(((a.gram - b.gram).norm() / b.gram.norm()).item() for a, b in zip(found, target, strict=True))

    shared, alone = (stylize_tiles(content, style, share_moments=share, **tiling, **options) for share in (True, False))
    assert distance(shared) < 0.4 * distance(content)
    # Sharing leaves the halves their own character: the dark one stays darker.
    dark = [np.asarray(p)[:, :64].mean() / np.asarray(p)[:, 64:].mean() for p in (shared, alone)]
    assert dark[0] < 0.85 * dark[1]


def test_seam_ratio():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 400, 600)
    grid = Grid(400, 600, 160, 40)
    assert grid.seams == ([140, 260], [135, 245, 355, 465])
    assert seam_ratio(image, grid.seams) == pytest.approx(1, abs=0.03)
    hard = image.clone()
    for (rows, columns), random in zip(grid.boxes, torch.rand(len(grid.boxes)), strict=True):
        hard[..., rows, columns] += random
    starts = [[box[axis].start for box in grid.boxes] for axis in (0, 1)]
    assert seam_ratio(hard, [sorted({*axis} - {0}) for axis in starts]) > 1.2
    noise = grid.stitch([torch.rand_like(tile) for tile in grid.split(image)])
    assert seam_ratio(noise, grid.seams, around=60) < 0.8  # where two noises are blended there is less energy
    with pytest.raises(InputError, match="no tile borders"):
        seam_ratio(image, Grid(400, 600, 600, 0).seams)


def test_colours_and_several_styles():
    content, styles = make_picture(48, 64, 1), [make_picture(48, 64, 2), make_picture(48, 64, 3)]
    options = {"size": 64, "iterations": 5, "backbone": "compact", "progress": False, "color": "luminance"}
    whole = stylize(content, styles, levels=1, memory="full", **options)
    np.testing.assert_array_equal(whole, stylize_tiles(content, styles, tile=64, overlap=0, rounds=1, **options))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Diverged("the loss became nan")])
def test_interrupted_it_gives_back_the_tiles_so_far(monkeypatch, error):
    calls = iter(range(9))

    def paint(objective, image, settings, iterations):
        if next(calls) == 2:
            raise error
        return torch.ones_like(image)

    monkeypatch.setattr(tiles, "_paint", paint)
    content, style = make_picture(64, 128, 1), make_picture(64, 64, 2)
    options = {"size": 128, "tile": 32, "overlap": 0, "backbone": "compact", "progress": False}
    with pytest.warns(UserWarning, match="(interrupted|became nan): this is the picture so far"):
        picture = stylize_tiles(content, style, **options)
    np.testing.assert_array_equal(np.asarray(picture)[:32, :64], 255)
    np.testing.assert_array_equal(np.asarray(picture)[32:], content[32:])


def test_a_loss_that_is_not_finite_stops_it(monkeypatch):
    content, style = make_picture(64, 64, 1), make_picture(64, 64, 2)
    options = {"size": 64, "backbone": "compact", "progress": False}
    with pytest.warns(UserWarning, match="no longer a finite number"):
        picture = stylize_tiles(content, style, style_weight=1e38, iterations=4, **options)
    assert np.isfinite(np.asarray(picture)).all()


def test_small_tiles_are_refused():
    with pytest.raises(InputError, match="need at least 16 pixels a side, received 8"):
        stylize_tiles(make_picture(64, 64), make_picture(64, 64), tile=8, overlap=0, size=64, backbone="compact")
