"""Settings: declared once, checked on every assignment, and known wherever settings are listed."""

import dataclasses
import json
import runpy

import ipywidgets
import numpy as np
import pytest
from conftest import ROOT, make_picture
from hypothesis import given
from hypothesis import strategies as st

from nstlib import InputError, StyleTransfer, load_backbone
from nstlib.arguments import make_parser
from nstlib.features.pretrained import COMPACT_WEIGHTS
from nstlib.losses import STYLE_LOSSES, gram_loss
from nstlib.transfer.canvas import CANVASES, Pixels
from nstlib.transfer.optimizers import OPTIMIZERS
from nstlib.transfer.presets import PRESETS, make_settings
from nstlib.transfer.settings import FIELDS, LIVE, Settings
from nstlib.widgets import Studio

#: Values that some fields take and most do not; the fields that take each.
ODD = {
    "None": (None, {"size", "learning_rate", "levels", "weights", "network"}),
    # Which layers there are only the network knows.
    "a text": ("abc", {"init", "weights", "network", "content_layers", "style_layers"}),
    "an empty list": ([], {"init"}),
    "a list": ([1, "x"], {"init"}),
    "a dict": ({"relu1_1": "heavy"}, {"init"}),
    "NaN": (float("nan"), set()),
    "infinity": (float("inf"), set()),
    "minus one": (-1, {"seed"}),
    "a fraction": (1.5, {f"{kind}_weight" for kind in ("content", "style", "tv")} | {"learning_rate", "brush"}),
    "a truth": (True, {"unitless", "compile", "colorless_grain"}),
    "more than a float holds": (10**400, set()),
    "an object": (object(), {"init"}),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", FIELDS)
def test_every_field_refuses_what_makes_no_sense(name, kind):
    value, takers = ODD[kind]
    settings = Settings()
    if name in takers:
        setattr(settings, name, value)
        return
    before = getattr(settings, name)
    # A network of a wrong type is a TypeError, as everywhere in Python; all else is a wrong value.
    expected = TypeError if name == "backbone" and not isinstance(value, str) else InputError
    with pytest.raises(expected) as caught:
        setattr(settings, name, value)
    assert name.partition("_")[0] in str(caught.value)
    assert getattr(settings, name) == before
    with pytest.raises(expected):
        make_settings(**{name: value})


def test_every_field_says_what_it_is():
    assert set(FIELDS) == {field.name for field in dataclasses.fields(Settings)}
    assert all(len(field.metadata["help"]) > 10 for field in FIELDS.values())
    assert LIVE == (
        "content_weight", "style_weight", "tv_weight", "content_layers", "style_layers", "optimizer", "learning_rate",
        "protection",
    )  # fmt: skip


@given(
    st.sampled_from([np.int8, np.int64, np.uint16]), st.integers(1, 100),
    st.sampled_from([np.float16, np.float32, np.float64]), st.floats(0, 1000, width=16),
)  # fmt: skip
def test_numbers_of_numpy_become_pythons(whole, size, real, weight):
    settings = make_settings(size=whole(size), style_weight=real(weight), style_layers={"relu1_1": real(1)})
    assert (settings.size, settings.style_weight) == (size, weight)
    assert json.loads(json.dumps(settings.as_dict()))["style_weight"] == weight
    assert make_settings(brush=1) == make_settings(brush=1.0)


def test_settings_of_earlier_versions_are_read_where_they_changed_nothing():
    """Pictures saved then paint again; what they did otherwise is named anew."""
    assert make_settings(style_scale=1.0, style_blend=None) == Settings()
    with pytest.raises(InputError, match=r"style_scale is gone: brush .* Style\(picture, brush=2\)"):
        make_settings(style_scale=2)
    with pytest.raises(InputError, match=r"style_blend is gone: .* Style\(picture, weight=3\)"):
        make_settings(style_blend=(3, 1))


def test_layers_by_name_or_weight():
    assert make_settings(style_layers="relu1_1").style_layers == {"relu1_1": 1.0}
    assert make_settings(style_layers=("relu1_1", "relu2_1")).style_layers == {"relu1_1": 1.0, "relu2_1": 1.0}
    assert make_settings(content_layers={"relu4_2": 3}).content_layers == {"relu4_2": 3.0}
    with pytest.raises(InputError, match="content_layers needs a weight above 0"):
        make_settings(content_layers={"relu4_2": 0})


def test_settings_that_do_not_go_together():
    with pytest.raises(InputError, match="unitless=False is for style_loss='gram', received 'wasserstein'"):
        make_settings(unitless=False, style_loss="wasserstein")


def test_presets_are_settings():
    for preset, values in PRESETS.items():
        settings = make_settings(preset)
        assert all(getattr(settings, name) == value for name, value in values.items())
    with pytest.raises(InputError, match="did you mean 'gatys2016'"):
        make_settings("gatys_2016")
    with pytest.raises(InputError, match=r"unknown option 'style_wieght'.*did you mean 'style_weight'"):
        make_settings(style_wieght=3)


# Text

layers = st.dictionaries(st.from_regex(r"(conv|relu)[1-5]_[1-4]", fullmatch=True), st.floats(0, 1e9), min_size=1)
VALUES = {
    "size": st.none() | st.integers(1), "levels": st.none() | st.integers(1),
    "learning_rate": st.none() | st.floats(1e-12, 1e300), "style_weight": st.floats(0, 1e300),
    "color_strength": st.floats(0, 1), "seed": st.integers(-(2**63), 2**63 - 1),
    "style_layers": layers.filter(lambda value: sum(value.values())),
    "memory": st.one_of(
        st.sampled_from(["auto", "tiled"]), st.integers(1), st.integers(2**53, 2**70),
        st.integers(1, 10**6).map(lambda size: size << 20),
    ),
    "weights": st.none() | st.text(min_size=1), "network": st.none() | st.text(min_size=1),
    "init": st.sampled_from(["noise", "start.png"]), "device": st.sampled_from(["auto", "cuda:1"]),
    "optimizer": st.sampled_from(list(OPTIMIZERS)), "backbone": st.just("vgg16"), "unitless": st.booleans(),
}  # fmt: skip


@given(st.data())
@pytest.mark.parametrize("name", VALUES)
def test_what_is_written_is_read_back(name, data):
    value = getattr(make_settings(**{name: data.draw(VALUES[name])}), name)
    text = FIELDS[name].metadata["write"](value)
    assert isinstance(text, str)
    assert FIELDS[name].metadata["parse"](text) == value


def test_texts_are_short():
    def written(name, value):
        return FIELDS[name].metadata["write"](getattr(make_settings(**{name: value}), name))

    assert written("style_weight", 20) == "20"
    assert written("tv_weight", 0.1 + 0.2) == "0.30000000000000004"
    assert written("style_layers", {"relu1_1": 1, "relu2_1": 0.5}) == "relu1_1,relu2_1=0.5"
    assert written("memory", 3 << 29) == "1536MB"
    assert (written("size", None), written("levels", None)) == ("original", "auto")
    assert written("init", make_picture(8, 8)) is None
    assert written("backbone", load_backbone("compact")) is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("size", "huge", "expected a whole number of at least 1 or original, received 'huge'"),
        ("seed", "1.5", "expected a whole number from"),
        ("style_weight", "much", "expected a number of at least 0, received 'much'"),
        ("unitless", "true", "expected True or False, received 'true'"),
        ("style_layers", "relu1_1=", "expected layers, each with a weight if not 1"),
        ("style_layers", "=1", "expected layers, each with a weight if not 1"),
        ("style_layers", "", "expected layers, each with a weight if not 1"),
        ("memory", "2GBGB", "expected auto, full, tiled or a number of bytes such as 2GB, received '2GBGB'"),
    ],
)
def test_a_text_that_means_nothing_is_refused(name, text, message):
    with pytest.raises(InputError) as caught:
        FIELDS[name].metadata["parse"](text)
    assert message in str(caught.value)


# Everywhere

CONTENT, STYLE = make_picture(48, 64, 1), make_picture(48, 64, 2)
BASE = {"size": 64, "iterations": 3, "backbone": "compact"}
#: For each setting a value other than the one in BASE or the default.
OTHER = {
    "size": 128, "content_weight": 2.0, "style_weight": 0.5, "tv_weight": 0.0, "content_layers": {"relu4_2": 2.0},
    "style_layers": {"relu1_1": 0.5, "relu2_1": 1.0, "relu3_1": 0.0, "relu4_1": 2.0, "relu5_1": 1.0},
    "style_loss": "wasserstein", "unitless": False, "optimizer": "Adam", "learning_rate": 0.025, "iterations": 7,
    "levels": 2, "init": "noise", "backbone": "vgg16", "weights": str(COMPACT_WEIGHTS), "network": "0123456789abcdef",
    "pooling": "average", "padding": "zeros", "margin": 4, "color": "pca", "color_strength": 0.5,
    "brush": 0.75, "breadth": 0.5, "direction": 0.25, "colorless_grain": True, "protection": 0.5,
    "seed": 5, "device": "cpu", "precision": "float64", "memory": "tiled", "compile": True,
    "canvas": "another",
}  # fmt: skip


@pytest.fixture
def another_canvas(monkeypatch):
    monkeypatch.setitem(CANVASES, "another", Pixels)


#: What may be another when a checkpoint is resumed.
MAY_CHANGE = {
    "content_weight", "style_weight", "tv_weight", "content_layers", "style_layers", "optimizer", "learning_rate",
    "backbone", "weights", "network", "device", "precision", "memory", "compile", "protection",
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_an_option(name, another_canvas):
    metadata, flag = FIELDS[name].metadata, f"--{name.replace('_', '-')}"
    value = OTHER[name]
    given = [flag if value else f"--no-{flag[2:]}"] if isinstance(value, bool) else [flag, metadata["write"](value)]
    assert vars(make_parser().parse_args(["a", "b", *given]))[name] == value
    text = " ".join(make_parser().format_help().split())
    assert f"{flag} " in text.replace(",", " ")
    assert metadata["help"] in text.replace("- ", "-")
    if metadata["none"]:
        assert vars(make_parser().parse_args(["a", "b", flag, metadata["none"]]))[name] is None


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_in_the_studio(name, another_canvas):
    studio, value = Studio(CONTENT, STYLE, **BASE), OTHER[name]
    for layer, weight in value.items() if name == "style_layers" else ():
        studio.controls[layer].value = weight
    if name != "style_layers":
        control = studio.controls[name]
        control.value = FIELDS[name].metadata["write"](value) if isinstance(control, ipywidgets.Text) else value
    assert studio.settings == make_settings(**{**BASE, name: value})
    studio.close()


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_checked_before_a_checkpoint_is_resumed(name, tmp_path, another_canvas):
    transfer = StyleTransfer(CONTENT, STYLE, **BASE)
    transfer.save_checkpoint(tmp_path / "state.pt")
    same_network = {"backbone": load_backbone("compact"), "network": transfer.as_dict()["network"]}
    other = StyleTransfer(CONTENT, STYLE, **{**BASE, name: same_network.get(name, OTHER[name])})
    if name in MAY_CHANGE:
        other.load_checkpoint(tmp_path / "state.pt")
        return
    with pytest.raises(InputError, match="checkpoint of other pictures or settings"):
        other.load_checkpoint(tmp_path / "state.pt")


def test_every_setting_refuses_something():
    assert all(any(name not in takers for _, takers in ODD.values()) for name in FIELDS)


def test_every_setting_is_documented():
    page = (ROOT / "docs" / "settings.md").read_text()
    assert page == runpy.run_path(str(ROOT / "docs" / "write_settings.py"))["page"]()
    assert all(f"| `{name}`" in page for name in FIELDS)


def test_what_is_added_to_a_table_can_be_used_at_once(monkeypatch):
    monkeypatch.setitem(STYLE_LOSSES, "twice", lambda moments, target: 2 * gram_loss(moments, target))
    monkeypatch.setitem(OPTIMIZERS, "mine", OPTIMIZERS["Adam"])
    options = {**BASE, "style_loss": "twice", "optimizer": "mine"}
    text = make_parser().format_help()
    assert "|twice" in text
    assert "|mine" in text
    studio = Studio(CONTENT, STYLE, **BASE)
    studio.controls["style_loss"].value = "twice"
    studio.controls["optimizer"].value = "mine"
    assert studio.settings == make_settings(**options)
    studio.close()
    mine, usual = (next(StyleTransfer(CONTENT, STYLE, **given)).losses["style"] for given in (options, BASE))
    assert mine == pytest.approx(2 * usual)
    with pytest.raises(InputError, match="choose from gram, mean_std, wasserstein, twice"):
        make_settings(style_loss="once")


def test_style_strength_is_another_way_to_write_beta_over_alpha():
    settings = make_settings()
    assert settings.style_strength == 0.5
    for strength in (0, 0.25, 0.8, 1):
        settings.style_strength = strength
        alpha, beta = settings.content_weight, settings.style_weight
        assert settings.style_strength == pytest.approx(strength)
        assert beta * (1 - strength) == pytest.approx(20 * alpha * strength)
        assert beta + 20 * alpha == pytest.approx(40)  # the smoothing stays in proportion
    settings.content_weight, settings.style_weight = 3, 20
    assert settings.style_strength == pytest.approx(0.25)
    settings.content_weight = settings.style_weight = 0
    assert settings.style_strength == 0
    settings.style_strength = 0.5
    assert (settings.content_weight, settings.style_weight) == (1, 20)
    assert "style_strength" not in settings.as_dict()


def test_style_strength_may_change_while_a_transfer_runs():
    settings = make_settings(style_strength=0.8)
    settings.fix()
    settings.style_strength = 0.2
    assert settings.style_weight == pytest.approx(8)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "much", None, True])
def test_style_strength_is_a_number_from_0_to_1(value):
    with pytest.raises((InputError, TypeError), match="style_strength"):
        make_settings(style_strength=value)


def test_style_strength_beside_a_weight_it_stands_for_is_refused():
    with pytest.raises(InputError, match="another way to write style_weight: give one or the other"):
        make_settings(style_strength=0.3, style_weight=2)
