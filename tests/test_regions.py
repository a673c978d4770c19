"""Several styles, each where it belongs: masks, regions, blends, what of a painting counts, protection."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import goes_on, make_net, make_picture, painted, same
from PIL import Image

from nstlib import InputError, Moments, Style, StyleTransfer, load_image, stylize, stylize_tiles
from nstlib.features import Plan
from nstlib.losses import STYLE_LOSSES
from nstlib.masks import fit_edges, load_mask
from nstlib.styles import sources_of
from nstlib.transfer.settings import Settings

CONTENT, STYLE, OTHER = make_picture(51, 64, 1), make_picture(60, 61, 2), make_picture(64, 50, 3)
LEFT = np.broadcast_to(np.linspace(0, 1, 64) < 0.4, (51, 64))
OPTIONS = {"size": 64, "iterations": 4, "levels": 1, "precision": "float64", "optimizer": "Adam"}


def constant(value):
    return np.full((51, 64), value, np.float32)


def paint(styles, content=CONTENT, **options):
    return painted(StyleTransfer(content, styles, backbone=make_net(torch.float64), **{**OPTIONS, **options}))


# What regions must be


@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_constant_masks_are_no_masks(style_loss):
    alone = paint(STYLE, style_loss=style_loss)
    same(paint(Style(STYLE, where=constant(1)), style_loss=style_loss), alone)
    same(paint([Style(STYLE, where=constant(0.5)), Style(STYLE, where=constant(0.5))], style_loss=style_loss), alone)
    both = [Style(STYLE, weight=3), Style(OTHER)]
    masked = [Style(STYLE, weight=3, where=constant(1)), Style(OTHER, where=constant(1))]
    same(paint(masked, style_loss=style_loss), paint(both, style_loss=style_loss))


def test_half_masks_of_one_style_are_no_mask():
    alone = paint(STYLE)
    same(paint([Style(STYLE, where=LEFT), Style(STYLE, where=~LEFT)]), alone)
    same(paint([Style(STYLE, where=LEFT), STYLE]), alone)
    assert paint([Style(STYLE, where=LEFT), OTHER])[1][0]["style"] != pytest.approx(alone[1][0]["style"], rel=0.01)


def test_swapped_masks_swap_styles():
    one = paint([Style(STYLE, where=LEFT), Style(OTHER, where=~LEFT)])
    same(paint([Style(OTHER, where=~LEFT), Style(STYLE, where=LEFT)]), one)
    mirrored = paint([Style(STYLE, where=~LEFT), Style(OTHER, where=LEFT)])
    assert (one[0] - mirrored[0]).abs().max() > 0.01
    same(paint([Style(STYLE, where=LEFT), OTHER]), one)  # without a mask: what the others leave


@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
@pytest.mark.parametrize(("plan", "size"), [(Plan(5, 16), 64), (Plan(2, 32), 61), (Plan(3, 16), 79)])
def test_tiled_regions_are_the_untiled_ones(style_loss, plan, size):
    styles = [Style(STYLE, where=LEFT), Style(OTHER, where=constant(0.3), weight=2), Style(STYLE, brush=0.5)]
    masks = {
        "style_loss": style_loss,
        "size": size,
        "protect": LEFT.T[:, :].repeat(2, 0)[:51, :51].repeat(2, 1)[:, :64],
    }
    image, losses = paint(styles, plan=plan, **masks)
    expected, goals = paint(styles, memory="full", **masks)
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)
    assert losses[-1] == pytest.approx(goals[-1], rel=1e-5)


CORNER = np.zeros((51, 64), bool)
CORNER[:3, :3] = True
SMALL = np.zeros((51, 64), bool)
SMALL[:6, :6] = True


@pytest.mark.parametrize("place", [LEFT, SMALL, CORNER], ids=["large", "below the least share", "tiny"])
def test_the_loss_is_that_of_each_region_by_its_share(place):
    """Computed once more, region by region, from maps of the first layer."""
    styles = [Style(STYLE, where=place, weight=1), Style(OTHER, where=0.25 * ~place, weight=3)]
    options = {"style_layers": ["relu1_1"], "style_loss": "gram", "margin": 0}
    transfer = StyleTransfer(CONTENT, styles, backbone=make_net(torch.float64), **{**OPTIONS, **options})
    found = next(transfer).losses["style"]
    net = make_net(torch.float64)

    def moments(picture, mask=None):
        return Moments.of(net(load_image(picture).double(), ["relu1_1"])["relu1_1"], mask)

    expected = 0.0
    for region, picture in zip(transfer._scene.layout.at((51, 64)), (STYLE, OTHER), strict=True):
        mask, goal = region.mask.double(), moments(picture if picture is STYLE else OTHER)
        share = max(mask.mean(), min(0.02, 3 * mask.mean()))
        expected += share * region.weight * STYLE_LOSSES["gram"](moments(CONTENT, mask), goal)
    assert [region.weight for region in transfer._scene.layout.at((51, 64))] == [0.5, 1.5]
    assert found == pytest.approx(expected.item(), rel=1e-6)


def test_nothing_is_painted_where_no_style_is():
    options = {"content_weight": 0, "tv_weight": 0, "iterations": 3, "style_layers": ["relu1_1"]}
    image, _ = paint([Style(STYLE, where=LEFT), Style(OTHER, where=~LEFT, weight=0)], **options)
    change = (image - load_image(CONTENT)).abs().mean((0, 1, 2))
    assert change[40:].max() == 0
    assert change[:20].min() > 0


def test_overlapping_regions_share_what_they_overlap():
    styles = [Style(STYLE, where=LEFT), Style(OTHER, where=constant(1))]
    regions = StyleTransfer(CONTENT, styles, backbone=make_net(), **OPTIONS)._scene.layout.at((51, 64))
    total = sum(region.mask for region in regions)
    assert total.max() <= 1 + 1e-6
    torch.testing.assert_close(regions[0].mask[..., :20], torch.full((1, 1, 51, 20), 0.5), atol=0.05, rtol=0)
    assert regions[1].mask[..., 40:].min() > 0.95


def test_of_shows_a_part_of_the_painting():
    """Its moments are those of that part alone, but for what the network sees across the border."""
    painting, part = np.concatenate([STYLE, OTHER[:60]], 1), np.arange(111) < 61
    options = {**OPTIONS, "style_layers": ["relu1_1"], "size": 111}

    def goal(**given):
        transfer = StyleTransfer(CONTENT, Style(**given), backbone=make_net(torch.float64), **options)
        next(transfer)
        ((_, moments, *_),) = transfer.targets["style"][transfer.size]
        return moments["relu1_1"].gram

    found, whole = goal(picture=painting, of=np.broadcast_to(part, (60, 111))), goal(picture=painting)
    alone = goal(picture=STYLE, brush=61 / 111)
    assert (found - alone).norm() < 0.2 * (whole - alone).norm()


def test_colours_are_those_of_the_region():
    """The style of the left gets the colours of the left."""
    content = np.concatenate([np.full((64, 32, 3), (200, 40, 40)), np.full((64, 32, 3), (40, 40, 200))], 1)
    content = (content + make_picture(64, 64) // 16).astype(np.uint8)
    left = np.broadcast_to(np.arange(64) < 32, (64, 64))
    styles = [Style(STYLE, where=left), Style(STYLE, where=~left, weight=2)]
    transfer = StyleTransfer(content, styles, color="symmetric", backbone=make_net(), **OPTIONS)
    means = [picture.mean((0, 2, 3)) for picture, _ in transfer._scene.styles((64, 64))]
    assert means[0][0] > means[0][2] + 0.3
    assert means[1][2] > means[1][0] + 0.3


def test_a_protected_part_stays_closer_to_the_photograph():
    options = {"iterations": 15, "style_weight": 100, "optimizer": "LBFGS", "content_layers": ["relu1_1"]}
    (image, _), (kept, _) = paint(STYLE, **options), paint(STYLE, **options, protect=LEFT)
    change, less = ((x - load_image(CONTENT)).square().mean((0, 1, 2)) for x in (image, kept))
    assert less[:20].mean() < 0.6 * change[:20].mean()
    assert less[32:].mean() > 0.8 * change[32:].mean()
    same(paint(STYLE, protect=constant(1e-9)), paint(STYLE), 1e-5)


def test_how_much_is_protected_may_change_on_the_way():
    """Of a picture in the making, its losses are those of a transfer that began with it and this protection."""

    def transfer_of(**options):
        options = {
            "backbone": make_net(torch.float64),
            "precision": "float64",
            **OPTIONS,
            "optimizer": "LBFGS",
            "margin": 0,
            **options,
        }
        return StyleTransfer(CONTENT, STYLE, **options)

    steered, plain = transfer_of(protect=LEFT, protection=0), transfer_of()
    for _ in range(2):
        losses, unprotected = next(steered).losses, next(plain).losses
        assert losses == pytest.approx(unprotected, rel=1e-5)
    targets = steered.targets["style"][steered.size]
    for protection in (1, 0.25):
        now = steered.image
        steered.settings.protection = protection
        fresh = transfer_of(protect=LEFT, protection=protection, init=now)
        assert next(steered).losses == pytest.approx(next(fresh).losses, rel=1e-5)
        assert steered.targets["style"][steered.size] is targets


def test_what_is_protected_counts_more_for_the_content_and_less_for_the_style():
    plain, kept = (
        next(
            StyleTransfer(CONTENT, STYLE, init="style", protect=mask, backbone=make_net(torch.float64), **OPTIONS)
        ).losses
        for mask in (None, constant(1))
    )
    assert kept["content"] == pytest.approx(4 * plain["content"])
    assert kept["style"] == pytest.approx(0.1 * plain["style"])


def test_a_killed_transfer_goes_on_with_its_regions(tmp_path):
    def transfer_of(left=LEFT, brush=0.75, protect=LEFT):
        styles = [Style(STYLE, where=left, brush=brush), OTHER]
        return StyleTransfer(CONTENT, styles, protect=protect, backbone=make_net(torch.float64), **OPTIONS)

    goes_on(transfer_of, tmp_path / "state.pt")
    for other in ({"left": ~LEFT}, {"brush": 0.7}, {"protect": None}, {"protect": ~LEFT}):
        with pytest.raises(InputError, match="other pictures or settings"):
            transfer_of(**other).load_checkpoint(tmp_path / "state.pt")


def test_targets_of_other_regions_are_refused():
    first = StyleTransfer(CONTENT, [Style(STYLE, where=LEFT), OTHER], backbone=make_net(), **OPTIONS)
    next(first)
    shared = {"style": first.targets["style"]}
    again = StyleTransfer(CONTENT, [Style(STYLE, where=LEFT), OTHER], targets=shared, backbone=make_net(), **OPTIONS)
    assert next(again).losses["total"] > 0
    with pytest.raises(InputError, match="those of 2 regions, the styles of this transfer have 1"):
        next(StyleTransfer(CONTENT, STYLE, targets=shared, backbone=make_net(), **OPTIONS))


def test_the_pyramid_and_half_precision_have_regions_too():
    styles = [Style(STYLE, where=LEFT), Style(OTHER)]
    options = {"iterations": 12, "optimizer": "LBFGS"}
    for given in ({"levels": 2, "size": 100}, {"precision": "bfloat16"}):
        _, losses = paint(styles, **{**options, **given})
        assert losses[11]["style"] < losses[6]["style"] < losses[0]["style"]


# Masks


def test_masks_of_every_kind_are_one(tmp_path):
    Image.fromarray(np.uint8(255 * LEFT)).save(tmp_path / "mask.png")
    labels = np.where(LEFT[..., None], (255, 0, 0), (0, 0, 255)).astype(np.uint8)
    Image.fromarray(labels).save(tmp_path / "labels.png")
    expected = torch.from_numpy(LEFT.copy()).float()[None, None]
    for source in (
        LEFT, np.float64(LEFT), np.uint8(255 * LEFT), torch.from_numpy(LEFT.copy()), expected, expected[0],
        tmp_path / "mask.png", str(tmp_path / "mask.png"), Image.open(tmp_path / "mask.png"),
        (tmp_path / "labels.png", "red"), (labels, "#ff0000"), (labels, "#f00"),
        lambda height, width: LEFT, lambda height, width: torch.from_numpy(LEFT.copy()).float(),
    ):  # fmt: skip
        assert torch.equal(load_mask(source, (51, 64), "the mask"), expected), source


def test_labels_are_found_in_blurred_and_noisy_maps(tmp_path):
    """JPEG and resizing leave colours at the borders that no one named."""
    areas = np.zeros((90, 120), int)
    areas[:, 40:80], areas[50:, 80:] = 1, 2
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255)], np.uint8)
    Image.fromarray(colours[areas]).resize((121, 91), Image.Resampling.BILINEAR).save(tmp_path / "map.jpg", quality=50)
    for index, name in enumerate(("red", "lime", "blue")):
        found = load_mask((tmp_path / "map.jpg", name), (90, 120), "the mask")
        found = np.asarray(Image.fromarray(found[0, 0].numpy()).resize((120, 90), Image.Resampling.NEAREST))
        assert (found != (areas == index)).mean() < 0.02
    with pytest.raises(InputError, match=r"the mask: nothing in the map is yellow; its colours are #.*, #.*, #"):
        load_mask((tmp_path / "map.jpg", "yellow"), (90, 120), "the mask")


def test_a_mask_of_another_size_is_resized_if_its_proportions_fit():
    large = np.repeat(np.repeat(LEFT, 3, 0), 3, 1)
    # Single pixels at the border may differ: Adam takes a full step, however small a gradient is.
    resized, right, wrong = (paint([Style(STYLE, where=mask), OTHER])[0] for mask in (large, LEFT, ~LEFT))
    assert (resized - right).abs().mean() < 0.2 * (wrong - right).abs().mean()
    for shape in ((50, 64), (51, 65), (102, 128), (17, 21)):
        assert load_mask(np.ones(shape), (51, 64), "the mask").shape[2:] == shape
    for shape in ((51, 60), (64, 51), (51, 51), (3, 4000)):
        with pytest.raises(InputError, match=f"the mask is {shape[1]} x {shape[0]} pixels, and its picture 64 x 51"):
            load_mask(np.ones(shape), (51, 64), "the mask")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (constant(0), "the mask of style 1 is empty"),
        (constant(np.nan), "the mask of style 1: the picture has 3264 values that are NaN"),
        (constant(-0.5), "the mask of style 1: floats must lie in"),
        (constant(2), "the mask of style 1: floats must lie in"),
        (LEFT.astype(np.uint8), "the mask of style 1: it holds nothing but 0 and 1 of 255: convert it to bool"),
        (LEFT.astype(int), "the mask of style 1: expected uint8, uint16 or floats"),
        (np.ones((10, 64)), "the mask of style 1 is 64 x 10 pixels, and its picture 64 x 51"),
        ("nothing.png", "the mask of style 1: no such file: nothing.png"),
        (3, "the mask of style 1: expected a path"),
        (lambda height, width: None, "the mask of style 1: expected a path"),
        ((CONTENT, "no colour"), "the mask of style 1: 'no colour' is no colour"),
    ],
)
def test_bad_masks_are_refused_by_name(mask, message):
    with pytest.raises(InputError, match=message):
        StyleTransfer(CONTENT, [Style(STYLE, where=mask), OTHER], backbone=make_net(), **OPTIONS)
    with pytest.raises(InputError, match=message.replace("of style 1", "of protect")):
        StyleTransfer(CONTENT, STYLE, protect=mask, backbone=make_net(), **OPTIONS)


def test_what_makes_no_sense_is_refused_by_name():
    for given, message in (
        ({"weight": -1}, "the weight of a style must be a number of at least 0"),
        ({"brush": 0}, "the brush of a style must be a number above 0"),
        ({"brush": "x"}, "the brush of a style"),
    ):
        with pytest.raises(InputError, match=message):
            Style(STYLE, **given)
    for styles, message in (
        ([], "at least one style picture is needed"),
        ([Style(STYLE, weight=0), Style(OTHER, weight=0)], "at least one style needs a weight above 0"),
        ([Style(STYLE, where=constant(1)), OTHER], "style 2 has no mask, and those of the others leave it no place"),
        (Style(STYLE, of=np.zeros((60, 61))), "the mask on style 1 is empty"),
        (Style(STYLE, of=np.ones((6, 61))), "the mask on style 1 is 61 x 6 pixels"),
    ):
        with pytest.raises(InputError, match=message):
            StyleTransfer(CONTENT, styles, backbone=make_net(), **OPTIONS)


def test_edges_are_those_of_the_photograph():
    """A blurred mask gets the photograph's edge; where there is none, a hard one becomes soft."""
    photo = torch.full((1, 3, 200, 300), 0.2)
    photo[..., 150:] = 0.8
    sharp = (photo[:, :1] > 0.5).float()
    blurred = F.avg_pool2d(F.pad(sharp, (3, 3, 0, 0), "replicate"), (1, 7), 1)
    hard = torch.zeros_like(sharp)
    hard[:, :, 100:] = 1
    masks = torch.cat([blurred, 1 - blurred, hard, torch.full_like(hard, 0.3)], 1)
    fitted = fit_edges(masks, photo)
    assert (fitted[0, 0].diff()[:, 149] > 3 * blurred[0, 0].diff()[:, 149]).all()
    torch.testing.assert_close(fitted[:, 0] + fitted[:, 1], torch.ones(1, 200, 300), atol=1e-4, rtol=0)
    steps = fitted[0, 2, :, 10].diff()
    assert 0.05 < steps.max() < 0.3
    assert fitted[0, 2, 90, 10] == pytest.approx(0, abs=1e-3)
    assert torch.equal(fitted[:, 3], masks[:, 3])


def test_the_guided_filter_is_that_of_the_paper():
    """Computed once more, window by window, at the size at which it is fitted."""
    photo = load_image(make_picture(20, 30)).double()
    mask = torch.rand(1, 1, 20, 30, dtype=torch.float64)
    expected, count = torch.zeros(20, 30, dtype=torch.float64), torch.zeros(20, 30)
    image = photo[0].permute(1, 2, 0)
    models = {}
    for i in range(20):
        for j in range(30):
            window = (slice(max(0, i - 1), i + 2), slice(max(0, j - 1), j + 2))
            colours, values = image[window].reshape(-1, 3), mask[0, 0][window].reshape(-1)
            spread = colours - colours.mean(0)
            covariance = spread.T @ spread / len(spread) + 1e-3 * torch.eye(3, dtype=torch.float64)
            slope = torch.linalg.solve(covariance, spread.T @ (values - values.mean()) / len(spread))
            models[i, j] = slope, values.mean() - slope @ colours.mean(0)
    for (i, j), (slope, offset) in models.items():
        for k in range(max(0, i - 1), min(20, i + 2)):
            for m in range(max(0, j - 1), min(30, j + 2)):
                expected[k, m] += slope @ image[k, m] + offset
                count[k, m] += 1
    found = fit_edges(mask.float(), photo.float())[0, 0]
    torch.testing.assert_close(found, (expected / count).clamp(0, 1).float(), atol=1e-3, rtol=0)


# Command line, other ways to paint


def test_styles_are_read_from_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(STYLE).save("a@b.png")

    def fields(text):
        style = Style.parse(text)
        return style.picture, style.where, style.of, style.weight, style.brush

    assert fields("a@b.png") == ("a@b.png", None, None, 1, 1)
    assert fields("a@b.png@sky.png@weight=2") == ("a@b.png", "sky.png", None, 2, 1)
    assert fields("a.jpg@sky.png") == ("a.jpg", "sky.png", None, 1, 1)
    assert fields("a.jpg@weight=3@of=p.png@brush=0.5") == ("a.jpg", None, "p.png", 3, 0.5)
    assert fields("a.jpg@labels.png#ff0000@weight=2") == ("a.jpg", ("labels.png", "#ff0000"), None, 2, 1)
    assert fields("a.jpg@where=labels.png#red") == ("a.jpg", ("labels.png", "red"), None, 1, 1)
    (tmp_path / "@me").mkdir()
    Image.fromarray(STYLE).save("@me/c.png")
    assert fields("@me/c.png@sky.png") == ("@me/c.png", "sky.png", None, 1, 1)
    host = "https://host/@user/pic.jpg"
    assert fields(host) == (host, None, None, 1, 1)
    assert fields(f"{host}@2x") == (f"{host}@2x", None, None, 1, 1)
    assert fields(f"{host}@where={host}@weight=2@of=p.png") == (host, host, "p.png", 2, 1)
    assert fields(f"sample:swirls@{host}@weight=2") == ("sample:swirls", host, None, 2, 1)
    for text in ("a.jpg@", "a.jpg@x.png@y.png", "a.jpg@weight="):
        with pytest.raises(InputError, match="expected PICTURE@MASK"):
            Style.parse(text)
    with pytest.raises(InputError, match="the weight of a style must be a number, received 'much'"):
        Style.parse("a.jpg@weight=much")
    assert sources_of([Style("a", where=("b", "red"), of="c"), "d"]) == ["a", "b", "red", "c", "d"]


def test_stylize_tiles_refuses_regions_and_keeps_blends():
    options = {"tile": 48, "overlap": 8, "iterations": 2, "size": 64, "backbone": make_net(), "progress": False}
    with pytest.raises(InputError, match="stylize_tiles has no regions"):
        stylize_tiles(CONTENT, [Style(STYLE, where=LEFT), OTHER], **options)
    blended, alone = (stylize_tiles(CONTENT, [Style(STYLE, weight=w), OTHER], **options) for w in (3, 0))
    assert (np.asarray(blended) != np.asarray(alone)).any()


def test_stylize_does_not_overwrite_a_mask(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.uint8(255 * LEFT)).save(path)
    for given in ({"style": [Style(STYLE, where=path), OTHER]}, {"style": STYLE, "protect": str(path)}):
        with pytest.raises(InputError, match="would destroy"):
            stylize(CONTENT, checkpoint=str(path), **given)


def test_brush_out_of_reach_is_said_by_name():
    assert Settings(brush=2).brush == 2
    with pytest.warns(UserWarning, match="brush=4 of style 2 is out of reach, its strokes are those of brush=2.1"):
        StyleTransfer(
            CONTENT, [STYLE, Style(OTHER, brush=2)], brush=2, backbone=make_net(), **{**OPTIONS, "size": 61 // 2}
        )
