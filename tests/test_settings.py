"""Settings: one declaration a field, checked on every assignment."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstlib import InputError
from nstlib.transfer.settings import FIELDS, LIVE, PRESETS, Settings, make_settings

#: Values that some fields take and most do not; the fields that take each.
ODD = {
    "None": (None, {"size", "learning_rate", "levels", "weights", "network", "style_blend"}),
    # Which layers there are only the network knows.
    "a text": ("abc", {"init", "weights", "network", "content_layers", "style_layers"}),
    "an empty list": ([], {"init"}),
    "a list": ([1, "x"], {"init"}),
    "a dict": ({"relu1_1": "heavy"}, {"init"}),
    "NaN": (float("nan"), set()),
    "infinity": (float("inf"), set()),
    "minus one": (-1, {"seed"}),
    "a fraction": (1.5, {f"{kind}_weight" for kind in ("content", "style", "tv")} | {"learning_rate", "style_scale"}),
    "a truth": (True, {"unitless", "compile"}),
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
    for field in FIELDS.values():
        assert len(field.metadata["help"]) > 10
        assert callable(field.metadata["check"])
    assert LIVE == (
        "content_weight", "style_weight", "tv_weight", "content_layers", "style_layers", "optimizer", "learning_rate",
    )  # fmt: skip


@given(
    st.sampled_from([np.int8, np.int64, np.uint16]), st.integers(1, 100),
    st.sampled_from([np.float16, np.float32, np.float64]), st.floats(0, 1000, width=16),
)  # fmt: skip
def test_numbers_of_numpy_become_pythons(whole, size, real, weight):
    settings = make_settings(size=whole(size), style_weight=real(weight), style_layers={"relu1_1": real(1)})
    assert (settings.size, settings.style_weight) == (size, weight)
    assert json.loads(json.dumps(settings.as_dict()))["style_weight"] == weight
    assert make_settings(style_scale=1) == make_settings(style_scale=1.0)


def test_layers_by_name_or_weight():
    assert make_settings(style_layers="relu1_1").style_layers == {"relu1_1": 1.0}
    assert make_settings(style_layers=("relu1_1", "relu2_1")).style_layers == {"relu1_1": 1.0, "relu2_1": 1.0}
    assert make_settings(content_layers={"relu4_2": 3}).content_layers == {"relu4_2": 3.0}
    with pytest.raises(InputError, match="content_layers needs a weight above 0"):
        make_settings(content_layers={"relu4_2": 0})


def test_settings_that_do_not_go_together():
    with pytest.raises(InputError, match="unitless=False knows the paper's style_loss='gram' alone"):
        make_settings(unitless=False, style_loss="wasserstein")


def test_presets_are_settings():
    for preset, values in PRESETS.items():
        settings = make_settings(preset)
        assert all(getattr(settings, name) == value for name, value in values.items())
    with pytest.raises(InputError, match="did you mean 'gatys2016'"):
        make_settings("gatys_2016")
    with pytest.raises(InputError, match=r"unknown option 'style_wieght'.*did you mean 'style_weight'"):
        make_settings(style_wieght=3)
