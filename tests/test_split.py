"""Split and stitch: the identity, and a style shared by all tiles."""

import itertools

import numpy as np
import pytest
import torch
from conftest import Hooked, make_net, make_picture
from hypothesis import given, settings
from hypothesis import strategies as st

from nstlib import InputError, Style, load_backbone, load_image, samples, stylize
from nstlib.features import STYLE_LAYERS
from nstlib.features.tiling import FULL
from nstlib.terms.measures import style_moments
from nstlib.transfer.split import Grid, stylize_tiles


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 50), st.data())
def test_stitching_what_was_split_is_the_identity(height, width, tile, data):
    grid = Grid(height, width, tile, data.draw(st.integers(0, tile - 1)))
    image = torch.rand(2, 3, height, width)
    total = torch.zeros(height, width, dtype=torch.float64)
    for window, box in zip(grid.windows(), grid.boxes, strict=True):
        total[box] += window[0, 0]
    torch.testing.assert_close(total, torch.ones_like(total))  # no pixel counts twice
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
    place = (torch.arange(28) + 0.5) / 28
    torch.testing.assert_close(row[36:64], (torch.pi / 2 * place).sin() ** 2)  # a raised cosine, without corners


def test_wrong_overlap_is_refused():
    with pytest.raises(InputError, match="overlap must be from 0 to below the tile's 32 pixels"):
        Grid(100, 100, 32, 32)


def test_one_tile_is_plain_stylization():
    content, style = make_picture(48, 64, 1), make_picture(48, 64, 2)
    options = {"size": 64, "iterations": 5, "backbone": "compact", "progress": False}
    whole = stylize(content, style, levels=1, margin=0, memory="full", **options)
    tiled = stylize_tiles(content, style, tile=64, overlap=0, rounds=1, **options)
    np.testing.assert_array_equal(whole, tiled)


def test_shared_moments_give_the_whole_picture_the_style():
    pictures = samples.content("astronaut"), samples.style("starry_night")
    content, style = (np.array(picture.resize((128, 96))) for picture in pictures)
    content[:, :64] //= 4  # two halves that differ
    options = {"size": 128, "iterations": 20, "backbone": "compact", "progress": False}
    tiling = {"tile": 64, "overlap": 16, "rounds": 2}
    net = load_backbone("compact")
    target = style_moments(net, load_image(style), STYLE_LAYERS, FULL)

    def distance(picture):
        found = style_moments(net, load_image(picture), STYLE_LAYERS, FULL)
        return sum(
            ((a.gram - b.gram).norm() / b.gram.norm()).item()
            for a, b in ((found[layer], target[layer]) for layer in STYLE_LAYERS)
        )

    shared, alone = (stylize_tiles(content, style, share_moments=share, **tiling, **options) for share in (True, False))
    assert distance(shared) < 0.4 * distance(content)
    # Sharing leaves the halves their own character: the dark one stays darker.
    dark = [np.asarray(p)[:, :64].mean() / np.asarray(p)[:, 64:].mean() for p in (shared, alone)]
    assert dark[0] < 0.85 * dark[1]


def test_colours_and_several_styles():
    content, styles = make_picture(48, 64, 1), [make_picture(48, 64, 2), make_picture(48, 64, 3)]
    options = {"size": 64, "iterations": 5, "backbone": "compact", "progress": False, "color": "luminance"}
    whole = stylize(content, styles, levels=1, margin=0, memory="full", **options)
    np.testing.assert_array_equal(whole, stylize_tiles(content, styles, tile=64, overlap=0, rounds=1, **options))


OPTIONS = {"size": 128, "tile": 48, "overlap": 16, "rounds": 1, "progress": False}


def test_a_picture_that_has_the_style_stays_as_it_is():
    """Tiles that share their moments find nothing to do; those that do not, all of it."""
    picture = make_picture(96, 128, 1)
    picture[:, :32] //= 4  # the tiles differ, and what they share differs from the rest
    picture[:, 96:] //= 2
    options = {"size": 128, "tile": 96, "overlap": 64, "rounds": 1, "progress": False, "backbone": make_net()}
    options |= {"style_layers": ["relu1_1"], "content_weight": 0, "tv_weight": 0, "iterations": 4}
    options |= {"optimizer": "SGD", "learning_rate": 1e-3}

    def moved(**more):
        return np.abs(np.asarray(stylize_tiles(picture, picture, **options, **more), float) - picture).mean()

    assert moved(share_moments=False) > 2
    assert moved() < 0.01


def interrupt(x):
    raise KeyboardInterrupt


def exhaust(x):
    raise MemoryError("out of memory")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (interrupt, "interrupted: this is the picture so far"),
        (exhaust, "out of memory: this is the picture so far"),
        (lambda x: x * torch.nan, "became nan: the picture is"),
    ],
)
def test_interrupted_it_gives_back_the_tiles_so_far(act, message):
    content, style = make_picture(64, 128, 1), make_picture(64, 64, 2)
    net, runs = make_net(kind=Hooked), itertools.count()
    # Three segments a run: the style, the first tile's content and its two iterations, the second tile's.
    net.hook = lambda x: act(x) if 3 * (1 + 2 * 3) - 2 <= next(runs) < 60 else x
    options = {"size": 128, "tile": 32, "overlap": 0, "rounds": 1, "iterations": 2, "share_moments": False}
    with pytest.warns(UserWarning) as caught:
        picture = stylize_tiles(content, style, backbone=net, progress=False, **options)
    assert message in str(caught[-1].message)
    assert caught[-1].filename == __file__  # the line that called it
    changed = (np.asarray(picture) != content).any(2)
    assert changed[:32, :32].mean() > 0.5
    assert not changed[32:].any()


def test_every_setting_is_obeyed():
    content, style, net = make_picture(64, 96, 1), make_picture(64, 96, 2), make_net()

    def paint(content=content, style=style, **more):
        options = {**OPTIONS, "size": 64, "iterations": 2, **more}
        return np.asarray(stylize_tiles(content, style, backbone=net, **options))

    plain = paint()
    assert np.array_equal(plain, paint())
    noise = {"init": "noise"}
    assert np.array_equal(paint(**noise, seed=1), paint(**noise, seed=1))
    for changed in (
        {"size": 60}, {"content_weight": 50}, {"style_weight": 1}, {"tv_weight": 1000}, {"style_layers": ["relu1_1"]},
        {"content_layers": ["relu1_1"], "content_weight": 50}, {"style_loss": "mean_std"}, {"optimizer": "Adam"},
        {"learning_rate": 0.1}, {"iterations": 1}, {"init": "noise"}, {"init": style}, {"color": "histogram"},
        {"color": "luminance", "color_strength": 0.5}, {"brush": 0.5},
        {"preset": "gatys2016", "pooling": "max", "padding": "replicate"},
        {"style": [style, Style(content, weight=3)]},
    ):  # fmt: skip
        assert not np.array_equal(plain, paint(**changed)), changed
    assert not np.array_equal(paint(**noise, seed=1), paint(**noise, seed=2))
    assert not np.array_equal(paint(color="luminance"), paint(color="luminance", color_strength=0.5))
    np.testing.assert_allclose(paint(memory="tiled", tile=100).astype(int), paint(tile=100).astype(int), atol=2)


def test_memory_bounds_what_the_network_sees_at_once():
    largest = []
    net = make_net(kind=Hooked)
    net.hook = lambda x: largest.append(x.shape[-1]) or x
    content = make_picture(300, 400)
    options = {**OPTIONS, "tile": 300, "size": 400, "iterations": 1, "backbone": net}
    stylize_tiles(content, content[:64, :64], memory="full", **options)
    assert max(largest) == 300
    largest.clear()
    stylize_tiles(content, content[:64, :64], memory="tiled", **options)
    assert max(largest) < 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 2}, "paints at one size: levels must be 1, received 2"),
        ({"rounds": 0}, "rounds must be a whole number of at least 1, received 0"),
        ({"rounds": 1.5}, "rounds must be a whole number"),
        ({"tile": 0}, "tile must be a whole number of at least 1, received 0"),
        ({"tile": 50.5}, "tile must be a whole number"),
        ({"overlap": -1}, "overlap must be from 0 to below the tile's 48 pixels"),
        (
            {"style": [Style(make_picture(64, 64), where=lambda h, w: np.tri(h, w)), make_picture(64, 64, 3)]},
            "has no regions",
        ),
        ({"style_blend": (1, 2)}, "the weight of a style is its own"),
        ({"style": []}, "at least one style picture"),
        ({"style_weigth": 1}, "did you mean 'style_weight'"),
        ({"device": "cuda:7"}, "not available|invalid"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(options, message):
    options = {"style": make_picture(64, 64), **OPTIONS, "backbone": make_net(), **options}
    with pytest.raises(InputError, match=message):
        stylize_tiles(make_picture(96, 128), **options)


def test_transparency_survives():
    content = np.full((96, 128, 4), (200, 100, 50, 128), np.uint8)
    content[:, :60, 3] = 0  # whole tiles of it cannot be seen
    still = {"style_weight": 0, "tv_weight": 0, "optimizer": "Adam", "learning_rate": 1e-9, "iterations": 2}
    for share in (True, False):
        picture = stylize_tiles(
            content, make_picture(64, 64), backbone=make_net(), share_moments=share, **OPTIONS, **still
        )
        np.testing.assert_allclose(np.asarray(picture).astype(int), content, atol=1)


def test_small_tiles_are_refused():
    with pytest.raises(InputError, match="tiles need at least 16 pixels a side, received 8"):
        stylize_tiles(make_picture(64, 64), make_picture(64, 64), tile=8, overlap=0, size=64, backbone="compact")
