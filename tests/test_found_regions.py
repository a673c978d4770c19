"""Regions found in a photograph: by colours, from scribbles, by themselves; and how they are shown."""

import io
import urllib.error
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image, ImageDraw
from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights, lraspp_mobilenet_v3_large

from nstlib import InputError, Style, regions, samples, stylize
from nstlib.masks import load_mask
from nstlib.regions.command import check_way, save_masks, spread

WEIGHTS = LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1
NOISE = make_picture(90, 120) // 16
AREAS = np.zeros((90, 120), int)
AREAS[:, 50:], AREAS[60:] = 1, 2
BLOCKS = np.array([(200, 60, 40), (40, 60, 200), (60, 180, 60)])[AREAS].astype(np.uint8) + NOISE


def agrees(mask, area):
    return ((mask > 0.5) == area).mean()


def test_segments_are_the_areas_of_a_picture():
    masks = regions.segments(BLOCKS, 3)
    np.testing.assert_allclose(sum(masks), 1, atol=1e-5)
    assert all(mask.shape == (90, 120) and mask.dtype == np.float32 for mask in masks)
    assert [mask.sum() for mask in masks] == sorted((mask.sum() for mask in masks), reverse=True)
    for index in range(3):
        assert max(agrees(mask, index == AREAS) for mask in masks) > 0.97
    with pytest.raises(InputError, match="fewer than 5000"):
        regions.segments(BLOCKS, 5000)


def test_scribbles_grow_to_the_edges():
    labels = np.zeros((90, 120), int)
    labels[10:50, 20], labels[10:50, 100], labels[80, 10:110] = 1, 2, 3
    masks = regions.scribbles(BLOCKS, labels)
    np.testing.assert_allclose(sum(masks), 1, atol=1e-5)
    for index, mask in enumerate(masks):
        assert agrees(mask, index == AREAS) > 0.97
    for wrong, message in (
        (labels[:50], r"of shape \(90, 120\), as the photograph, received int64 of shape \(50, 120\)"),
        (labels / 1.0, "must be whole numbers"),
        (labels * 0, "at least two regions"),
        (labels * (labels != 2), r"there is no \[2\]"),
        (labels - 1, "at least two regions"),
    ):
        with pytest.raises(InputError, match=message):
            regions.scribbles(BLOCKS, wrong)


def test_thin_scribbles_of_large_photographs_count():
    large = np.repeat(np.repeat(BLOCKS, 8, 0), 8, 1)
    labels = np.zeros(large.shape[:2], int)
    labels[101:300, 101], labels[101:300, 801], labels[-51, 101:-101] = 1, 2, 3
    masks = regions.scribbles(large, labels)
    assert agrees(masks[1][::8, ::8], AREAS == 1) > 0.97


LINES = {"red": (20, 10, 20, 50), "blue": (100, 10, 100, 50), "#00ff00": (10, 80, 110, 80)}


def drawn_over(ground, width=7, scale=1):
    """Scribbles on a picture, PIL: one in each of the areas of BLOCKS, if that is enlarged by ``scale``."""
    picture = Image.fromarray(ground)
    draw = ImageDraw.Draw(picture)
    for colour, line in LINES.items():
        draw.line([scale * x for x in line], colour, width)
    return picture


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_scribbles_of_a_picture_go_by_their_colours():
    """Drawn over the photograph, also with a transparent corner, or on a transparent ground, with lines of any width;
    and saved as JPEG."""
    opaque = np.dstack([BLOCKS, np.full((90, 120), 255, np.uint8)])
    corner = opaque.copy()
    corner[:9, :9, 3] = 0
    glass = np.zeros((90, 120, 4), np.uint8)
    areas = sorted((index == AREAS for index in range(3)), key=lambda area: -area.sum())
    for photo, picture in (
        (BLOCKS, saved(drawn_over(BLOCKS), "JPEG", quality=90)),
        (BLOCKS, drawn_over(BLOCKS, 2)),
        (BLOCKS, saved(drawn_over(glass, 1), "PNG")),
        (BLOCKS, drawn_over(opaque)),
        (Image.fromarray(corner), drawn_over(corner)),
    ):
        for mask, area in zip(regions.scribbles(photo, picture), areas, strict=True):
            assert agrees(mask, area) > 0.97


@pytest.mark.parametrize("quality", [75, 90])
def test_scribbles_on_a_photograph_saved_as_jpeg(quality):
    """Neither its noise nor the soft edges of the lines are scribbles; a line thinner than the others is one."""
    photo = samples.content("astronaut")
    picture = drawn_over(np.asarray(photo), 5, scale=4)
    ImageDraw.Draw(picture).line((440, 20, 500, 60), "yellow", 2)
    from_jpeg, expected = (
        regions.scribbles(photo, saved(picture, "JPEG", quality=quality)),
        regions.scribbles(photo, picture),
    )
    assert len(from_jpeg) == len(expected) == 4
    for mask in expected:
        assert max(agrees(other, mask > 0.5) for other in from_jpeg) > 0.95


def test_labels_may_be_any_whole_numbers():
    labels = np.zeros((90, 120), int)
    labels[10:50, 20], labels[10:50, 100], labels[80, 10:110] = 1, 2, 3
    expected = regions.scribbles(BLOCKS, labels)
    for same in (labels.tolist(), torch.from_numpy(labels), labels.astype(np.uint8)):
        np.testing.assert_array_equal(regions.scribbles(BLOCKS, same), expected)


def test_pictures_without_scribbles_say_so():
    for picture, message in (
        (np.zeros((90, 120, 3), np.uint8), "most of the picture is drawn over"),
        (BLOCKS, "two plain colours"),
        (BLOCKS[:50], "120 x 50 pixels, and the photograph 120 x 90"),
    ):
        with pytest.raises(InputError, match=message):
            regions.scribbles(BLOCKS, picture)


def test_each_style_gets_a_region(monkeypatch, tmp_path):
    one, other = Style("one.png", brush=2), Style("other.png")
    drawn_over(BLOCKS).save(tmp_path / "scribbles.png")
    scribbled = f"scribbles:{tmp_path / 'scribbles.png'}"
    for way, given, expected in (
        ("segments", [one, other], regions.segments(BLOCKS, 2)),
        (scribbled, [one, other, one], regions.scribbles(BLOCKS, tmp_path / "scribbles.png")),
    ):
        found = spread(way, BLOCKS, given)
        assert [style.picture for style in found] == [style.picture for style in given]
        assert found[0].brush == 2
        np.testing.assert_array_equal([style.where for style in found], expected)
    painting = np.flip(BLOCKS, 1)
    found = spread("palette:3", BLOCKS, [Style(painting)])
    places, parts = regions.palette(BLOCKS, painting, 3)
    np.testing.assert_array_equal([style.where for style in found], places)
    np.testing.assert_array_equal([style.of for style in found], parts)
    left, right = np.zeros((2, 90, 120), np.float32)
    left[:, :40], right[:, 60:] = 1, 1
    masks = {"cat": right, "chair": left, "background": 1 - left - right}
    monkeypatch.setattr("nstlib.regions.command.objects", lambda photo: masks)
    found = spread("objects:chair", BLOCKS, [one, other])
    np.testing.assert_array_equal([style.where for style in found], [left, 1 - left])
    found = spread("objects:cat,background", BLOCKS, [one, other])
    np.testing.assert_array_equal([style.where for style in found], [right, masks["background"]])
    for way, given, message in (
        ("segment", [one], "must be one of segments, palette"),
        ("scribbles", [one], "must be one of"),
        ("segments", [replace(one, where=left), other], "styles that have no masks"),
        ("palette", [one, other], "of one painting"),
        ("palette:two", [Style(painting)], "must be a whole number, received 'two'"),
        (scribbled, [one, other], "3 regions for 2 styles"),
        ("objects:dog", [one], "no 'dog' in the photograph, but cat, chair, background"),
        ("objects:cat", [one, other, one], "2 regions for 3 styles"),
    ):
        with pytest.raises(InputError, match=message):
            spread(way, BLOCKS, given)
    with pytest.raises(InputError, match="must be one of segments, palette"):
        check_way("segment")


def test_regions_are_saved_to_be_looked_at(tmp_path):
    painting = np.flip(BLOCKS, 1)
    styles = spread("palette:2", BLOCKS, [Style(painting)])
    said = save_masks(styles, BLOCKS, tmp_path / "masks")
    assert f"--style STYLE@{tmp_path}/masks/1.png@of={tmp_path}/masks/1-of.png and" in said
    names = ["1-of.png", "1.png", "2-of.png", "2.png", "regions.png"]
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == names
    for name, mask in (("1", styles[0].where), ("2-of", styles[1].of)):
        np.testing.assert_allclose(load_mask(tmp_path / f"masks/{name}.png", (90, 120), "it")[0, 0], mask, atol=2e-3)
    with pytest.raises(InputError, match="1.png exists already: choose another folder"):
        save_masks(styles, BLOCKS, tmp_path / "masks")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        save_masks(styles, BLOCKS, tmp_path / "file")


def test_palettes_pair_what_is_alike():
    """The painting's colours in another order, and darker: each finds its own."""
    painting = (np.flip(BLOCKS, 1) * 0.8).astype(np.uint8)
    places, parts = regions.palette(BLOCKS, painting, 3)
    for place, part in zip(places, parts, strict=True):
        assert agrees(place, np.flip(part, 1) > 0.5) > 0.97
    np.testing.assert_allclose(sum(places), 1, atol=1e-5)
    again, _ = regions.palette(BLOCKS, painting, 3)
    assert all((one == other).all() for one, other in zip(places, again, strict=True))
    with pytest.raises(InputError, match="fewer than 4 colours"):
        regions.palette(BLOCKS, np.full((60, 60, 3), 90, np.uint8), 4)


def test_the_areas_of_a_map_of_labels():
    """Saved as JPEG, which changes the colours and blurs the borders."""
    colours = np.array([(250, 10, 10), (10, 10, 10), (30, 120, 250)], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours[AREAS]).save(buffer, "JPEG", quality=60)
    masks = regions.areas(buffer.getvalue())
    np.testing.assert_array_equal(sum(masks), 1)
    shares = [(index == AREAS).mean() for index in range(3)]
    for mask, index in zip(masks, np.argsort(shares)[::-1], strict=True):
        assert mask.dtype == np.float32
        assert agrees(mask, index == AREAS) > 0.97
    grey = np.repeat(np.linspace(0, 1, 120, dtype=np.float32)[None], 90, 0)
    mask, rest = regions.areas(grey)
    np.testing.assert_allclose(mask, grey, atol=1e-6)
    np.testing.assert_allclose(mask + rest, 1)
    noise = np.random.default_rng(0).integers(0, 3, (90, 120)).astype(np.uint8)
    red = np.full((9, 9, 3), (200, 0, 0), np.uint8)
    for plain, message in ((grey * 0, "the same everywhere"), (noise, "the same everywhere"), (red, "two areas")):
        with pytest.raises(InputError, match=message):
            regions.areas(plain)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The file in torch hub's cache where the network's weights would be; nothing can be downloaded."""

    def offline(*arguments, **options):
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints" / Path(WEIGHTS.url).name


def test_objects_are_what_the_network_names(hub):
    """With random weights, whose shares are computed once more here."""
    torch.manual_seed(0)
    with torch.device("cpu"):
        network = lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=21).eval()
    torch.save(network.state_dict(), hub)
    found = regions.objects(BLOCKS)
    with torch.no_grad():
        picture = WEIGHTS.transforms()(torch.from_numpy(BLOCKS).permute(2, 0, 1)[None])
        shares = network(picture)["out"].softmax(1)
    seen = torch.bincount(shares.argmax(1).flatten(), minlength=21) / shares[0, 0].numel()
    expected = {WEIGHTS.meta["categories"][k]: k for k in range(1, 21) if seen[k] >= 0.005}
    assert {*found} == {*expected, "background"}
    assert [*found][-1] == "background"
    small = torch.nn.functional.interpolate(shares, (90, 120), mode="area")[0].numpy()
    for name, index in expected.items():
        assert found[name].dtype == np.float32
        assert found[name].shape == (90, 120)
        np.testing.assert_allclose(found[name], small[index], atol=0.05)
    np.testing.assert_allclose(sum(found.values()), 1, atol=1e-6)
    state = {name: 0 * value for name, value in network.state_dict().items()}
    for name, weight in (("background", 9.0), ("person", 9.0)):
        state["classifier.low_classifier.bias"] = torch.tensor([weight * (c == name) for c in names_of(WEIGHTS)])
        torch.save(state, hub)
        if name == "person":
            assert [*regions.objects(BLOCKS)] == ["person", "background"]
        else:
            with pytest.raises(InputError, match=r"nothing in the photograph that the network knows \(aeroplane"):
                regions.objects(BLOCKS)


def names_of(weights):
    return [name.strip("_") for name in weights.meta["categories"]]


def test_without_a_download_it_is_said_what_else_there_is(hub):
    with pytest.raises(InputError, match=r"could not be downloaded.*no network here.*segments or scribbles"):
        regions.objects(BLOCKS)
    hub.write_bytes(b"half a file")
    with pytest.raises(InputError, match="neither a safetensors file nor one of torch"):
        regions.objects(BLOCKS)
    torch.save({"weight": torch.ones(3)}, hub)
    with pytest.raises(InputError, match="do not fit"):
        regions.objects(BLOCKS)


def test_regions_are_shown_over_the_photograph():
    left = (np.arange(120) < 60) * np.ones((90, 1))
    shown = np.asarray(regions.show(BLOCKS, [left, 1 - left])).astype(int)
    assert shown.shape == (90, 120, 3)
    assert np.abs(shown[:, :60].mean((0, 1)) - shown[:, 60:].mean((0, 1))).max() > 40
    assert (np.asarray(regions.show(BLOCKS, [0 * left])).astype(int) - BLOCKS).max() <= 1
    with pytest.raises(InputError, match="as the photograph"):
        regions.show(BLOCKS, [left[:50]])
    named = np.asarray(regions.show(BLOCKS, {"cat": left, "": 1 - left}, left))
    changed = (named != shown).any(-1)
    assert changed[30:60, 10:50].any()  # its name, in the middle of it
    assert (named[:, 59:61] == 255).all()  # the line around what is protected
    assert not changed[:, 62:].any()


def test_what_is_found_can_be_painted():
    painting = make_picture(64, 64, 2)
    places, parts = regions.palette(BLOCKS, painting, 2)
    styles = [Style(painting, where=place, of=part) for place, part in zip(places, parts, strict=True)]
    options = {"size": 64, "iterations": 2, "backbone": "compact", "progress": False}
    assert stylize(BLOCKS, styles, **options).size == (64, 48)
