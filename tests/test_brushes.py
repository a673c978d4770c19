"""Brushes: maps of sizes, strokes larger than the painting's pixels or the network allow, from fine to broad."""

import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import Hooked, goes_on, make_net, make_picture, painted, same
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from nstlib import InputError, Moments, Style, StyleTransfer, load_image, stylize_tiles
from nstlib.features import Plan
from nstlib.losses import gram_loss
from nstlib.metrics import stroke_length
from nstlib.styles import sources_of
from nstlib.transfer.paintings import Painting

CONTENT, STYLE, OTHER = make_picture(67, 80, 1), make_picture(84, 90, 2), make_picture(100, 80, 3)
LEFT = np.broadcast_to(np.arange(80) < 32, (67, 80))
FADE = np.broadcast_to(np.linspace(0, 1, 80), (67, 80))
OPTIONS = {"size": 80, "iterations": 3, "levels": 1, "precision": "float64", "optimizer": "Adam"}


def transfer_of(styles, **options):
    return StyleTransfer(CONTENT, styles, backbone=make_net(torch.float64), **{**OPTIONS, **options})


def paint(styles, **options):
    return painted(transfer_of(styles, **options))


def constant(value):
    return np.full((67, 80), value, np.float32)


# Maps of sizes


@pytest.mark.parametrize("size", [0.5, 0.8, 2.0])
def test_a_constant_map_is_a_number(size):
    number = paint(Style(STYLE, brush=size))
    same(paint(Style(STYLE, brush=(size, size, FADE))), number)
    same(paint(Style(STYLE, brush=(size / 2, size, constant(1)))), number)
    same(paint(Style(STYLE, brush=(2 * size, size / 2, constant(0.5)))), number)
    same(paint(Style(STYLE, brush=(0.5 * size, 0.5 * size, FADE)), brush=2), number)


def test_a_map_of_two_sizes_is_two_regions():
    left, right = Style(STYLE, where=LEFT, brush=1), Style(STYLE, where=~LEFT, brush=0.5)
    regions = paint([left, right])
    same(paint(Style(STYLE, brush=(0.5, 1, LEFT))), regions)
    same(paint(Style(STYLE, brush=(1, 0.5, ~LEFT))), regions)
    swapped = paint(Style(STYLE, brush=(0.5, 1, ~LEFT)))
    assert (swapped[0] - regions[0]).abs().max() > 0.01
    same(paint([Style(STYLE, where=~LEFT, brush=1), Style(STYLE, where=LEFT, brush=0.5)]), swapped)


def test_sizes_of_a_map_are_at_most_an_octave_apart():
    assert Style(STYLE, brush=(0.5, 4, FADE)).brushes == pytest.approx((0.5, 1, 2, 4))
    assert Style(STYLE, brush=(3, 1, FADE)).brushes == pytest.approx((3, 3**0.5, 1))
    assert Style(STYLE, brush=3).brushes == (3,)


def test_each_pixel_is_shared_by_the_two_sizes_next_to_its_own():
    regions = transfer_of(Style(STYLE, brush=(0.25, 1, FADE)))._scene.layout.at((67, 80))
    masks = torch.cat([region.mask for region in regions], 1)[0, :, 30]
    torch.testing.assert_close(masks.sum(0), torch.ones(80), atol=1e-3, rtol=0)
    octaves = (masks * torch.tensor([-2.0, -1, 0])[:, None]).sum(0)
    torch.testing.assert_close(octaves, torch.linspace(-2, 0, 80), atol=0.1, rtol=0)
    assert masks[0, :5].min() > 0.8
    assert masks[1, 38:42].min() > 0.8


def test_a_map_divides_the_region_of_its_style():
    regions = transfer_of([Style(STYLE, where=LEFT, brush=(0.5, 1, FADE)), OTHER])._scene.layout.at((67, 80))
    fine, coarse, other = (region.mask[0, 0, 30] for region in regions)
    torch.testing.assert_close(fine + coarse + other, torch.ones(80), atol=1e-3, rtol=0)
    assert other[:25].max() < 0.1
    assert (fine + coarse)[40:].max() < 0.1


def test_maps_with_colours_of_the_photograph():
    """Nothing has the size between the two: it has no place from which to take colours."""
    map_, regions = (0.25, 1, LEFT), [Style(STYLE, where=LEFT), Style(STYLE, where=~LEFT, brush=0.25)]
    same(paint(Style(STYLE, brush=map_), color="symmetric"), paint(regions, color="symmetric"))


@pytest.mark.parametrize(("plan", "options"), [(Plan(5, 16), {}), (Plan(2, 32), {"size": 77}), (Plan(3, 16), {})])
def test_tiled_brushes_are_the_untiled_ones(plan, options):
    styles = [Style(STYLE, brush=(0.5, 3, FADE)), Style(OTHER, where=LEFT, brush=1.7)]
    options = {"breadth": 0.5, **options}
    image, losses = paint(styles, plan=plan, **options)
    expected, goals = paint(styles, memory="full", **options)
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)
    assert losses[-1] == pytest.approx(goals[-1], rel=1e-5)


def test_devices_that_share_a_picture_share_its_brushes():
    styles, options = Style(STYLE, brush=(0.5, 3, FADE)), {"breadth": 0.5}
    same(paint(styles, device="cpu,cpu", **options), paint(styles, **options))


def test_a_killed_transfer_goes_on_with_its_brushes(tmp_path):
    def again(brush=(0.5, 3, FADE), breadth=0.3):
        return transfer_of(Style(STYLE, brush=brush), breadth=breadth)

    goes_on(again, tmp_path / "state.pt", steps=1)
    for other in ({"brush": (0.5, 3, LEFT)}, {"brush": (0.5, 2.9, FADE)}, {"brush": 3}, {"breadth": 0.2}):
        with pytest.raises(InputError, match="other pictures or settings"):
            again(**other).load_checkpoint(tmp_path / "state.pt")


# Strokes larger than the painting allows


def gram_distance(content, factor, style, size):
    """Gram loss of the first layer between a picture reduced ``factor`` times and a style of this size."""
    net = make_net(torch.float64)
    picture, painting = load_image(content).double(), load_image(style).double()
    options = {"mode": "bicubic", "antialias": True, "align_corners": False}
    if factor > 1:
        picture = F.interpolate(picture, (math.ceil(67 / factor), 80 // factor), **options).clamp(0, 1)
    if size != painting.shape[2:]:
        painting = F.interpolate(load_image(style), size, **options).clamp(0, 1).double()
    found, goal = (Moments.of(net(x, ["relu1_1"])["relu1_1"]) for x in (picture, painting))
    return gram_loss(found, goal).item()


#: How many times a brush of 90 / 80 doubles the 80 pixels that are enough of the painting's 90.
BEYOND = math.log2(90 / 80)


@pytest.mark.parametrize(
    ("brush", "breadth", "parts"),
    [
        (1, 0, [(1, (75, 80), 1)]),
        # Larger strokes than its own: the picture is reduced until 90 / brush pixels of its 90 are enough.
        (90 / 80, 0, [(1, (84, 90), 1 - BEYOND), (2, (42, 45), BEYOND)]),
        (2**0.5, 0, [(1, (84, 90), BEYOND), (2, (53, 57), 1 - BEYOND)]),
        (2 * 90 / 80, 0, [(4, (42, 45), 1)]),
        (4 * 90 / 80, 0, [(4, (84, 90), 1)]),
        (90 / 80, 1, [(1, (84, 90), 1 - BEYOND), (2, (42, 45), 1), (4, (21, 22), 1)]),
        (90 / 80, 0.5, [(1, (84, 90), 1 - BEYOND), (2, (42, 45), 9 / 16), (4, (21, 22), 9 / 32)]),
    ],
)
def test_the_loss_is_that_of_the_reduced_pictures(brush, breadth, parts):
    options = {"style_layers": ["relu1_1"], "style_loss": "gram", "breadth": breadth, "margin": 0}
    found = next(transfer_of(Style(STYLE, brush=brush), **options)).losses["style"]
    total = sum(share for *_, share in parts)
    expected = sum(share / total * gram_distance(CONTENT, factor, STYLE, size) for factor, size, share in parts)
    assert found == pytest.approx(expected, rel=1e-5)


def test_styles_that_blend_may_need_different_reductions():
    options = {"style_layers": ["relu1_1"], "style_loss": "gram", "margin": 0}
    styles = [Style(STYLE, brush=2 * 90 / 80, weight=3), OTHER]
    found = next(transfer_of(styles, **options)).losses["style"]
    expected = 0.75 * gram_distance(CONTENT, 4, STYLE, (42, 45)) + 0.25 * gram_distance(CONTENT, 1, OTHER, (80, 64))
    assert found == pytest.approx(expected, rel=1e-5)


def test_no_broader_strokes_no_further_pass():
    seen = []
    net = make_net(kind=Hooked)
    net.hook = lambda x: seen.append(x.shape) or x
    for breadth, expected in ((0, [(67, 80)]), (0.01, [(17, 20), (34, 40), (67, 80)])):
        options = {"size": 80, "levels": 1, "margin": 0, "breadth": breadth, "memory": "full"}
        transfer = StyleTransfer(CONTENT, STYLE, backbone=net, **options)
        next(transfer)
        seen.clear()
        next(transfer)
        assert sorted(tuple(shape[2:]) for shape in seen if shape[1] == 3) == expected


@given(st.floats(0.05, 20), st.floats(0, 1), st.sampled_from([(200, 300), (64, 64), (40, 90)]))
def test_shares_of_reductions_add_up_and_have_no_jumps(brush, breadth, size):
    def shown_with(brush, breadth):
        return Painting(load_image(STYLE), None, None, size, brush=brush, breadth=breadth, least=16).beside(size)

    shown = shown_with(brush, breadth)
    assert sum(share for *_, share in shown) == pytest.approx(1)
    for (height, width), reduction, share in shown:
        assert 0 <= share <= 1
        assert (height, width) <= (84, 90)
        assert min(height, width) >= 16
        assert reduction == 1 or math.ceil(min(size) / reduction) >= 16
    pair = (shown_with(brush * change, 0) for change in (1, 1.001))
    shares, others = ({reduction: share for _, reduction, share in shown} for shown in pair)
    # The largest step is where the first reduction sets in.
    assert all(abs(shares.get(n, 0) - others.get(n, 0)) < 0.08 for n in (1, 2, 4))


@given(st.floats(0.2, 8), st.floats(1.01, 2), st.sampled_from([(50, 60), (84, 90), (160, 180), (300, 320)]))
def test_a_larger_brush_never_asks_for_smaller_strokes(brush, times, size):
    def strokes(brush):
        shown = Painting(load_image(STYLE), None, None, size, brush=brush, least=4).beside(size)
        return sum(share * math.log2(max(own) * reduction) for own, reduction, share in shown)

    # Sizes are whole pixels: of 20, in the quarter of a small picture, one more is 5 %.
    assert strokes(brush * times) > strokes(brush) - 0.08


def test_what_is_out_of_reach_is_said_for_each_size_of_a_map():
    with pytest.warns(UserWarning, match=r"brush=8 of style 1 is out of reach, its strokes are those of brush=4.5"):
        transfer_of(Style(STYLE, brush=(1, 8, FADE)))
    with pytest.warns(UserWarning, match=r"brush=0.15 of style 2 is out of reach, its strokes are those of brush=0.2"):
        transfer_of([STYLE, Style(STYLE, brush=(0.15, 1, FADE))])


def test_what_is_out_of_reach_is_said_once_for_each_end_of_a_map():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        transfer_of(Style(STYLE, brush=(0.01, 100, FADE)))
    assert [str(one.message).partition(" of style")[0] for one in told] == ["brush=0.01", "brush=100"]


def test_the_pyramid_reduces_only_where_it_must():
    transfer = transfer_of(Style(STYLE, brush=1.1), levels=2, size=None)
    assert [[n for _, (_, n, _) in transfer._scene._shown(size)] for size in ((34, 40), (67, 80))] == [[1], [1, 2]]


# What is refused


def test_brushes_are_read_from_text():
    assert Style.parse("a.jpg@brush=0.5,4,near.png").brush == (0.5, 4, "near.png")
    assert Style.parse("a.jpg@sky.png@brush=0.5,4,labels.png#red").brush == (0.5, 4, ("labels.png", "red"))
    with pytest.raises(InputError, match="the brush of a style must be a number, received 'x'"):
        Style.parse("a.jpg@brush=x,4,near.png")
    assert sources_of(Style("a", brush=(1, 2, "near.png"))) == ["a", None, None, "near.png"]


def test_what_makes_no_sense_is_refused_by_name():
    for brush, message in (
        ((1, 2), r"the brush of a style must be a number or \(black, white, mask\), received \(1, 2\)"),
        ((0, 2, FADE), "a size in the brush of a style must be a number above 0, received 0"),
        ((1, "x", FADE), "a size in the brush of a style must be a number above 0, received 'x'"),
        (FADE, "the brush of a style must be a number above 0"),
    ):
        with pytest.raises(InputError, match=message):
            Style(STYLE, brush=brush)
    with pytest.raises(InputError, match="the map in the brush of style 2 is 80 x 10 pixels"):
        transfer_of([STYLE, Style(STYLE, brush=(0.5, 1, np.ones((10, 80))))])
    tiles = {"tile": 64, "overlap": 8, "iterations": 2, "size": 80, "backbone": make_net(), "progress": False}
    with pytest.raises(InputError, match="stylize_tiles has no regions: leave out where= and maps of brushes"):
        stylize_tiles(CONTENT, Style(STYLE, brush=(0.5, 1, FADE)), **tiles)
    with pytest.raises(InputError, match="stylize_tiles has no breadth"):
        stylize_tiles(CONTENT, STYLE, breadth=1, **tiles)


def test_a_map_is_a_file_too(tmp_path):
    Image.fromarray(np.uint8(255 * LEFT)).save(tmp_path / "near.png")
    Image.fromarray(STYLE).save(tmp_path / "style.png")
    from_files = Style.parse(f"{tmp_path}/style.png@brush=0.5,1,{tmp_path}/near.png")
    same(paint(from_files), paint(Style(STYLE, brush=(0.5, 1, LEFT))))


# The measure


@pytest.mark.parametrize("sigma", [1.5, 3])
@pytest.mark.parametrize("size", [(400, 400), (300, 600)])
def test_the_length_of_blurred_noise_is_the_width_of_its_blur(sigma, size):
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 1, size), sigma, mode="wrap")
    grey = torch.as_tensor(0.5 + 0.1 * noise / noise.std()).expand(1, 3, -1, -1)
    width = 2 * sigma * math.log(4) ** 0.5
    assert stroke_length(grey) == pytest.approx(width, rel=0.06)
    photograph = load_image(make_picture(*size)).double()
    assert stroke_length(photograph + grey - 0.5, photograph) == pytest.approx(width, rel=0.06)


def test_a_smooth_picture_has_no_strokes():
    with pytest.raises(InputError, match="it has no strokes"):
        stroke_length(torch.full((1, 3, 64, 64), 0.5))
