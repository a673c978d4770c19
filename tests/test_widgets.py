"""The studio without a browser: what its controls do to the transfer, and what it shows."""

import datetime
import gc
import html
import io
import re
import string
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
import tifffile
import torch
from conftest import make_net, make_picture
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import TABLEAU_COLORS
from PIL import Image, ImageColor

import nstlib
from nstlib import Backbone, InputError, Style, StyleTransfer, regions
from nstlib.transfer.derived import DERIVED
from nstlib.transfer.memory import peak_memory
from nstlib.transfer.optimizers import OPTIMIZERS
from nstlib.transfer.presets import make_settings
from nstlib.transfer.settings import LIVE, Settings
from nstlib.widgets import Studio, cells, shelf, speeds
from nstlib.widgets.comparison import ACTUAL, Comparison, compose
from nstlib.widgets.controls import as_keywords
from nstlib.widgets.curves import Curves, plot_losses
from nstlib.widgets.snapshots import PLAIN, bytes_of, caption
from nstlib.widgets.speeds import SPEEDS, measure, needs

LONG = 100_000  # iterations that no test waits for
CONTENT, STYLE = make_picture(48, 64, 1), make_picture(48, 64, 2)
NET = make_net()

# ipywidgets 7 in a newer notebook server.
pytestmark = pytest.mark.filterwarnings("ignore:The `ipykernel.comm.Comm` class has been deprecated")


@pytest.fixture
def make_studio():
    """Studios of small pictures that are closed at the end, with all their threads."""
    studios = []

    def make(content=CONTENT, style=STYLE, **options):
        studios.append(Studio(content, style, **{"size": 64, "levels": 1, "iterations": 6, **options}))
        return studios[-1]

    yield make
    GATE.set()
    for studio in studios:
        studio.close()
    assert not own_threads()


@pytest.fixture
def studio(make_studio):
    return make_studio()


class Slow(Backbone):
    """Every pass through the network waits for GATE, and says so in HELD."""

    def run(self, *args, **options):
        if not GATE.is_set():
            HELD.set()
            GATE.wait(60)
        return super().run(*args, **options)


class Faulty(Backbone):
    """The twelfth pass through the network goes wrong."""

    passes, fault = 0, None

    def run(self, x, *args, **options):
        self.passes += 1
        return super().run(self.fault(x) if self.passes > 12 else x, *args, **options)


GATE, HELD = threading.Event(), threading.Event()
GATE.set()


def hold():
    """Begin an iteration that does not end."""
    HELD.clear()
    GATE.clear()
    assert HELD.wait(60)


def net_of(kind):
    net = kind(((4, 5), (6, 7), (8, 8, 9, 9), (10,) * 4, (11,)), deepest="relu5_1").requires_grad_(False)
    net.load_state_dict(NET.state_dict())
    return net


def pick(picker, sample):
    picker.thumbnails.buttons[f"sample:{sample}"].click()


def own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("nstlib")]


def painting_threads():
    return [thread for thread in threading.enumerate() if thread.name == "nstlib"]


def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def shown(widget):
    """All the text that a panel shows, as HTML."""
    own = widget.value if isinstance(widget, ipywidgets.HTML) else ""
    return own + "".join(shown(child) for child in getattr(widget, "children", ()))


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def upload(picker, name, data):
    """What a front end does with a file, by the protocol of the ipywidgets at hand."""
    file = {"name": name, "type": "image/png", "size": len(data), "content": memoryview(data)}
    file["last_modified"] = datetime.datetime.now()
    seven = ipywidgets.__version__.startswith("7")
    picker.upload.set_trait("value", {name: {"metadata": file, "content": data}} if seven else (file,))


# What it paints


def test_paints_in_the_background_what_stylize_paints(studio):
    before = studio.view.picture.value
    studio.start()
    assert studio.buttons["start"].disabled
    assert studio.wait(60)
    expected = nstlib.stylize(
        CONTENT, STYLE, size=64, iterations=6, levels=1, backbone="compact", progress=False
    )  # fmt: skip
    np.testing.assert_array_equal(studio.picture, expected)
    assert studio.view.picture.value != before
    assert studio.view.picture.value[:2] == b"\xff\xd8"
    assert "done after 6 iterations" in studio.status
    assert studio.view.progress.value == 1
    assert not studio.buttons["start"].disabled
    assert studio.message == ""


weights = st.one_of(st.just(0), st.floats(1e-9, 1e9), st.integers(1, 10**6))
options_given = st.fixed_dictionaries(
    {},
    optional={
        "preset": st.sampled_from(["default", "gatys2016"]),
        "content_weight": weights,
        "style_weight": weights,
        "tv_weight": weights,
        "learning_rate": st.one_of(st.none(), st.sampled_from([0.03, 1.0]), st.floats(1e-9, 1e3)),
        "size": st.one_of(st.none(), st.integers(1, 10**5)),
        "iterations": st.integers(1, 10**5),
        "brush": st.floats(1e-3, 100),
        "color_strength": st.floats(0, 1),
        "style_layers": st.dictionaries(
            st.sampled_from(["relu1_1", "relu4_1", "conv3_2"]), st.floats(1e-6, 1e6), min_size=1
        ),
        "optimizer": st.sampled_from(list(OPTIMIZERS)),
        "init": st.sampled_from(["content", "noise", "somewhere.png"]),
        "color": st.sampled_from(["style", "luminance"]),
        "backbone": st.sampled_from(["auto", "vgg16"]),
        "content_layers": st.dictionaries(st.sampled_from(["relu3_1", "conv4_2"]), st.floats(1e-6, 1e6), min_size=1),
        "levels": st.none() | st.integers(1, 5),
        "seed": st.integers(-99, 99),
        "device": st.sampled_from(["cpu", "cuda:1"]),
        "memory": st.sampled_from(["full"]) | st.integers(1, 10**12),
        "weights": st.none() | st.just("vgg.pth"),
    },
)


@settings(max_examples=25, deadline=None)
@given(options_given)
def test_what_is_given_is_what_is_painted(options):
    def read(content, style, **options):
        return make_settings(**options)

    studio = Studio(CONTENT, STYLE, **options)
    small = {} if options.get("preset") == "gatys2016" else {"iterations": SPEEDS["interactive"]["iterations"]}
    assert studio.settings == make_settings(**{"size": 384, "backbone": "compact", **small, **options})
    told = eval(studio.code, {"nstlib": SimpleNamespace(stylize=read), "content": CONTENT, "style": STYLE})
    assert told == studio.settings
    studio.close()


def test_moving_one_control_leaves_all_others_exact(studio, make_studio):
    given = {"tv_weight": 0, "style_weight": 123456.789012345, "size": None, "brush": 0.123456789}
    studio = make_studio(preset="gatys2016", **given)
    studio.controls["content_weight"].value = 2
    studio.controls["relu2_1"].value = 0
    layers = {**dict.fromkeys(["relu1_1", "relu3_1", "relu4_1", "relu5_1"], 0.2), "relu2_1": 0}
    expected = {**given, "content_weight": 2, "style_layers": layers, "levels": 1, "iterations": 6}
    assert studio.settings == make_settings("gatys2016", backbone="compact", **expected)


def test_zero_and_the_original_size_can_be_chosen(studio):
    studio.controls["tv_weight"].value = 0
    studio.controls["size"].value = "original"
    assert (studio.settings.tv_weight, studio.settings.size) == (0, None)
    assert "size=None" in studio.code
    assert "tv_weight=0" in studio.code


def test_transparency_is_painted_too(make_studio):
    cut_out = np.dstack([CONTENT, np.full((48, 64), 128, np.uint8)])
    cut_out[:, :20, 3] = 0
    studio = make_studio(Image.fromarray(cut_out), iterations=2)
    assert studio.content.picture.shape == (48, 64, 4)
    studio.start()
    assert studio.wait(60)
    expected = nstlib.stylize(
        cut_out, STYLE, size=64, iterations=2, levels=1, backbone="compact", progress=False
    )  # fmt: skip
    assert studio.picture.mode == "RGBA"
    np.testing.assert_array_equal(studio.picture, expected)
    preview = np.asarray(Image.open(io.BytesIO(studio.view.picture.value)))
    assert preview[:, :12].min() > 240  # what cannot be seen is shown as white


@pytest.mark.parametrize("kind", [np.asarray, Image.fromarray, png, lambda a: torch.from_numpy(a).permute(2, 0, 1)])
def test_pictures_given_in_code_are_named(make_studio, kind):
    studio = make_studio(kind(CONTENT), kind(STYLE), init=kind(STYLE), backbone=NET, iterations=2)
    assert studio.code == (
        "nstlib.stylize(content, style, size=64, iterations=2, levels=1, init=init, backbone=backbone)"
    )
    names = {"content": kind(CONTENT), "style": kind(STYLE), "init": kind(STYLE), "backbone": NET, "nstlib": nstlib}
    told = eval(studio.code, names)
    studio.start()
    assert studio.wait(60), studio.message
    np.testing.assert_array_equal(studio.picture, told)


def test_code_is_what_the_panel_paints(studio):
    studio.controls["style_weight"].value = 12
    studio.controls["relu1_1"].value = 0.5
    studio.controls["color"].value = "luminance"
    pick(studio.content, "astronaut")
    assert studio.code in html.unescape(shown(studio))
    assert "nstlib.stylize('sample:astronaut', style, size=64, style_weight=12.0" in studio.code
    told = eval(studio.code, {"nstlib": nstlib, "style": STYLE})
    studio.start()
    assert studio.wait(60)
    np.testing.assert_array_equal(told, studio.picture)


def test_wrong_settings_are_refused():
    with pytest.raises(InputError, match="unknown option 'sise'"):
        Studio(sise=3)


# While it paints


def test_sliders_steer_the_running_transfer(make_studio):
    studio = make_studio(iterations=LONG, backbone=NET)
    studio.start()
    until(lambda: "iteration" in studio.status)
    studio.controls["style_weight"].value = 300
    studio.controls["optimizer"].value = "Adam"
    studio.controls["learning_rate"].value = 0.005
    studio.controls["relu5_1"].value = 0

    def some_iterations_later():
        seen = studio.transfer.iteration
        until(lambda: studio.transfer.iteration > seen + 3)
        return studio.transfer.settings

    now = some_iterations_later()
    assert (now.style_weight, now.optimizer, now.learning_rate) == (300, "Adam", 0.005)
    assert now.style_layers["relu5_1"] == 0
    layers = list(Settings().style_layers)
    for layer in layers:  # no style at all is no setting: it is said, and the last sensible one stays
        studio.controls[layer].value = 0
    assert "style_layers needs a weight above 0" in studio.message
    assert sum(some_iterations_later().style_layers.values()) > 0
    studio.controls["relu3_1"].value = 0.5
    assert studio.message == ""
    assert some_iterations_later().style_layers == {**dict.fromkeys(layers, 0), "relu3_1": 0.5}
    studio.stop()
    assert studio.wait(60)
    assert "stopped after" in studio.status
    assert studio.message == ""


def test_layers_of_the_content_may_be_weighed_anew_but_not_exchanged_while_it_runs(make_studio):
    studio = make_studio(iterations=LONG, backbone=NET, content_layers=["relu3_1", "relu4_1"])
    studio.start()
    until(lambda: "iteration" in studio.status)

    def some_iterations_later():
        seen = studio.transfer.iteration
        until(lambda: studio.transfer.iteration > seen + 3)
        return studio.transfer.settings.content_layers

    studio.controls["content_layers"].value = "relu3_1=2,relu4_1=0"
    assert some_iterations_later() == {"relu3_1": 2, "relu4_1": 0}
    studio.controls["content_layers"].value = "relu2_1"
    assert some_iterations_later() == {"relu3_1": 2, "relu4_1": 0}
    assert studio.message == ""
    studio.stop()
    assert studio.wait(60)
    studio.start()
    until(lambda: studio.transfer is not None and studio.transfer.iteration > 3)
    assert some_iterations_later() == {"relu2_1": 1}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("levels", "many", "levels: expected a whole number of at least 1 or auto, received 'many'"),
        ("levels", "0", "levels must be a whole number of at least 1, received 0"),
        ("content_layers", "relu4_2=", "content_layers: expected layers"),
        ("seed", "9" * 5000, "seed: expected a whole number"),
        ("seed", "9" * 4000, "seed must be a whole number"),
    ],
)
def test_a_text_that_makes_no_sense_is_an_error_in_the_panel(studio, name, text, message):
    before, code = studio.controls[name].value, studio.code
    studio.controls[name].value = text
    assert message in studio.message
    assert html.escape(message) in shown(studio)
    studio.start()
    assert message in studio.message
    assert not painting_threads()
    with pytest.raises(InputError, match=name):
        _ = studio.settings
    studio.controls[name].value = before
    assert studio.message == ""
    assert studio.code == code


def test_contradicting_controls_are_not_painted(make_studio):
    studio = make_studio(unitless=False)
    studio.controls["style_loss"].value = "wasserstein"
    assert "unitless=False" in studio.message
    studio.start()
    assert "unitless=False" in studio.message
    assert not painting_threads()


def test_another_optimizer_brings_its_learning_rate(studio):
    studio.controls["learning_rate"].value = 2
    assert studio.settings.learning_rate == 2
    studio.controls["optimizer"].value = "SGD"
    assert studio.settings.learning_rate is None
    assert "optimizer='SGD'" in studio.code


def test_pause_and_resume(make_studio):
    studio = make_studio(iterations=LONG, backbone=NET)
    studio.pause()  # nothing to hold yet
    assert studio.buttons["pause"].description == "Pause"
    studio.start()
    until(lambda: "iteration" in studio.status)
    studio.buttons["pause"].click()
    until(lambda: studio.status.startswith("paused"))
    assert studio.buttons["pause"].description == "Resume"
    held = studio.transfer.iteration
    np.testing.assert_array_equal(studio.picture, studio.transfer.picture)
    assert not studio.wait(0.2)  # alive, and does nothing
    assert studio.transfer.iteration == held
    studio.pause()
    until(lambda: studio.transfer.iteration > held)
    studio.pause()  # stopping works from a pause too
    studio.stop()
    assert studio.wait(60)
    assert studio.picture.size == (64, 48)
    assert studio.buttons["pause"].description == "Pause"
    studio.start()  # and starting again begins anew
    until(lambda: studio.status.startswith("iteration"))


def test_nothing_waits_for_a_long_iteration(make_studio, tmp_path):
    studio = make_studio(iterations=LONG, backbone=net_of(Slow))
    studio.start()
    until(lambda: "iteration" in studio.status)
    studio.pause()
    until(lambda: studio.status.startswith("paused"))
    studio.pause()
    hold()
    studio.file.value = str(tmp_path / "so far.png")
    began = time.monotonic()
    picture = studio.picture
    studio.save()
    studio.stop()
    assert time.monotonic() - began < 10  # the iteration lasts a minute
    assert "saved as" in studio.message
    np.testing.assert_array_equal(Image.open(tmp_path / "so far.png"), picture)
    assert not studio.wait(0.2)
    assert studio.buttons["stop"].disabled
    GATE.set()
    assert studio.wait(60)
    assert "stopped after" in studio.status


def test_a_new_studio_stops_the_one_before_and_waits_for_its_end(make_studio):
    old = make_studio(iterations=LONG, backbone=net_of(Slow))
    old.start()
    until(lambda: "iteration" in old.status)
    hold()
    new = make_studio(iterations=2, backbone=NET)
    new.start()
    assert not new.wait(0.5)
    assert not old.wait(0)
    assert new.transfer is None  # its turn has not come
    GATE.set()
    assert new.wait(60)
    assert old.wait(0)
    assert "done after 2" in new.status
    assert "stopped after" in old.status
    assert old.picture.size == (64, 48)
    assert old.transfer is None
    old.start()  # whichever is started last has its turn
    assert new.transfer is None


def test_a_painting_that_waits_for_its_turn_can_be_stopped(make_studio):
    old = make_studio(iterations=LONG, backbone=net_of(Slow))
    old.start()
    until(lambda: "iteration" in old.status)
    hold()
    new = make_studio(backbone=NET)
    new.start()
    new.stop()
    assert new.wait(30)
    assert new.picture is None
    assert not new.buttons["start"].disabled


def test_start_after_stop_paints_anew(make_studio):
    studio = make_studio(iterations=LONG, backbone=net_of(Slow))
    studio.start()
    until(lambda: "iteration" in studio.status)
    hold()
    studio.stop()
    studio.start()
    GATE.set()
    until(lambda: len(painting_threads()) == 1)
    assert studio.buttons["start"].disabled  # the end of the first is not that of the second
    studio.stop()
    assert studio.wait(60)
    studio.controls["iterations"].value = 2
    studio.start()
    assert studio.wait(60)
    until(lambda: "done after 2" in studio.status)
    assert not painting_threads()
    assert not studio.buttons["start"].disabled


def test_close_lets_go_of_everything():
    studio = Studio(CONTENT, STYLE, size=64, iterations=LONG, backbone=NET)
    studio.start()
    until(lambda: "iteration" in studio.status)
    transfer = weakref.ref(studio.transfer)
    studio.close()
    assert not own_threads()
    gc.collect()
    assert transfer() is None
    assert studio.picture.size == (64, 48)
    panel, studio = weakref.ref(studio), None
    gc.collect()
    assert panel() is None


def test_a_closed_panel_that_is_still_at_hand_holds_the_last_picture_alone(make_studio, monkeypatch, tmp_path):
    monkeypatch.setattr(shelf, "_LAST", {})
    studio = make_studio(iterations=2)
    upload(studio.content, "blocks.png", png(BLOCKS))
    region = find(studio, "segments")[0]
    studio.regions.protection.choice.value = "region 1"
    studio.start()
    assert studio.wait(60)
    studio.snapshots.choose(1)
    studio.snapshots.buttons["branch"].click()
    assert studio.wait(60)
    studio.file.value = str(tmp_path / "a.png")
    studio.save()
    assert "download=" in shown(studio)
    kept = studio.snapshots.kept[1]
    held = {
        "mask": region.area.style.where,
        "photograph": studio.content.picture,
        "snapshot": kept.snapshot,
        "image of the snapshot": kept.snapshot.image,
        "photograph of the snapshot": kept.photograph,
    }
    held = {name: weakref.ref(thing) for name, thing in held.items()}
    uploaded, alone = studio.content.source, bytes(1000)
    del region, kept
    shelf._LAST.clear()
    last = np.asarray(studio.picture)
    studio.close()
    gc.collect()
    assert [name for name, thing in held.items() if thing() is not None] == []
    assert sys.getrefcount(uploaded) == sys.getrefcount(alone)
    assert "download=" not in shown(studio)
    np.testing.assert_array_equal(studio.picture, last)


@pytest.mark.parametrize("named", [lambda name: {"cellId": name}, lambda name: {"colab": {"cell_id": name}}])
def test_a_cell_that_is_run_again_closes_what_it_made_before(make_studio, monkeypatch, named):
    def run(number, name):
        request = {"header": {"msg_id": f"{number}"}, "metadata": named(name) if name else {}}
        monkeypatch.setattr(cells, "get_ipython", lambda: SimpleNamespace(get_parent=lambda: request))

    run(1, "one")
    first, beside = (Studio(CONTENT, STYLE, size=64, levels=1, iterations=2, backbone=NET) for _ in range(2))
    first.start()
    assert first.wait(60)
    run(2, "two")
    elsewhere = make_studio()
    run(3, None)
    nowhere = make_studio()
    elsewhere.start()
    assert elsewhere.wait(60)
    assert first.comm is not None
    assert beside.comm is not None
    held = weakref.ref(first.snapshots.kept[1].snapshot.image)
    first.start()
    assert first.wait(60)  # the last picture is another one
    run(4, "one")
    make_studio()
    until(lambda: not own_threads())
    gc.collect()
    assert held() is None
    assert first.comm is beside.comm is None
    assert elsewhere.comm is not None
    assert nowhere.comm is not None
    assert list(elsewhere.snapshots.kept) == [1]
    with pytest.raises(InputError, match="closed"):
        _ = first.content.picture
    panel, first = weakref.ref(first), None
    gc.collect()
    assert panel() is None


def test_a_panel_that_cannot_be_closed_is_said(make_studio, monkeypatch):
    def run(number):
        request = {"header": {"msg_id": number}, "metadata": {"cellId": "one"}}
        monkeypatch.setattr(cells, "get_ipython", lambda: SimpleNamespace(get_parent=lambda: request))
        return make_studio()

    def run_again():
        run(2)
        until(lambda: "nstlib-close" not in [thread.name for thread in own_threads()])

    first = run(1)
    monkeypatch.setattr(first.speeds, "end", lambda: raise_(OSError("no reply")))
    with pytest.warns(UserWarning, match="is not closed: OSError: no reply"):
        run_again()


def test_without_a_notebook_no_panel_is_closed(make_studio, monkeypatch):
    for shell in (None, SimpleNamespace()):  # a script, IPython in a terminal
        monkeypatch.setattr(cells, "get_ipython", lambda shell=shell: shell)
        one, other = make_studio(), make_studio()
        assert not any(thread.name == "nstlib-close" for thread in own_threads())
        assert one.comm is not None
        assert other.comm is not None


@pytest.mark.parametrize("count", [1, 4, 5])
def test_every_loss_has_a_curve(count):
    names = ("content", "style", "tv", "depth", "total")[:count]
    history = [(i, {name: 10**place / i for place, name in enumerate(names)}) for i in (1, 2, 3)]
    plot = np.asarray(Image.open(io.BytesIO(plot_losses(history))).convert("RGB")).reshape(-1, 3)
    drawn = [(plot == np.array(ImageColor.getrgb(colour))).all(1).sum() for colour in list(TABLEAU_COLORS.values())[:6]]
    assert [index for index, pixels in enumerate(drawn) if pixels > 50] == list(range(count))
    if count == 5:
        assert drawn[4] > 1.2 * max(drawn[:4])  # the total is the thickest


# Choosing pictures


def test_upload(studio):
    button = studio.style.upload
    upload(studio.style, "dots.png", png(make_picture(30, 20, 5)))
    assert studio.style.picture.shape == (30, 20, 3)
    assert "'dots.png'" in studio.code
    assert studio.style.upload is not button
    upload(studio.style, "broken.png", b"<html>not found</html>")
    assert "broken.png" in studio.message
    assert "not a picture" in studio.message


def test_a_failed_choice_is_not_painted_over(studio, tmp_path):
    studio.content.path.value = str(tmp_path / "none.png")
    assert "no such file" in studio.message
    assert studio.content.source == str(tmp_path / "none.png")
    assert "none.png" in studio.code
    studio.controls["tv_weight"].value = 0
    assert "no such file" in studio.message  # still
    studio.start()
    assert "no such file" in studio.message
    assert not painting_threads()
    with pytest.raises(InputError, match="no such file"):
        _ = studio.content.picture
    pick(studio.content, "rocket")
    assert studio.message == ""
    assert studio.content.picture.shape[2] == 3


def test_fields_act_every_time(studio, tmp_path):
    path = tmp_path / "a.png"

    def enter():
        studio.content.path.value = str(path)
        return studio.content.source

    enter()
    assert studio.content.error
    path.write_bytes(png(make_picture(40, 40)))  # it appears
    assert enter() == str(path)
    assert studio.content.picture.shape == (40, 40, 3)
    path.write_bytes(png(make_picture(50, 40)))  # it changes
    enter()
    assert studio.content.picture.shape == (50, 40, 3)
    pick(studio.content, "rocket")
    assert studio.content.source == "sample:rocket"
    assert enter() == str(path)
    pick(studio.content, "rocket")
    assert studio.content.source == "sample:rocket"
    assert studio.content.path.value == ""
    assert "'sample:rocket'" in studio.code


def test_what_has_been_taken_is_said(studio, tmp_path):
    (tmp_path / "<b>.png").write_bytes(png(make_picture(40, 40)))
    studio.content.choose(tmp_path / "<b>.png")
    assert studio.message == ""
    assert "<b>.png" not in shown(studio)  # names are escaped
    assert "&lt;b&gt;.png" in shown(studio.content)
    for source in ("coffee", "sample:astronaut"):
        studio.content.choose(source)
        name = source.removeprefix("sample:")
        chosen = [key for key, one in studio.content.thumbnails.buttons.items() if "nstlib-chosen" in one._dom_classes]
        assert chosen == [f"sample:{name}"]
        assert f">{name}<" in shown(studio.content)
    studio.content.choose("swirls")  # a sample, but of a style: as content, a file that does not exist
    assert "no such file" in studio.message


@pytest.mark.parametrize("source", [3, ["a.png", "b.png"], "http://127.0.0.1:1/a b.png", "http://[", "a\0b.png", b""])
def test_any_error_of_a_choice_is_shown(studio, source):
    studio.style.choose(source)
    assert studio.message.startswith("Style: ")
    assert html.escape(studio.message) in shown(studio)
    upload(studio.style, "dots.png", png(make_picture(30, 20, 5)))
    assert studio.message == ""


# Errors of the painting, and the picture


def test_errors_of_the_thread_are_shown(studio):
    studio.content.choose(make_picture(8, 400))
    studio.start()
    assert studio.wait(60)
    assert "use a larger size" in studio.message
    assert "InputError" not in studio.message  # the text says it all
    assert not studio.buttons["start"].disabled


def raise_(error):
    raise error


@pytest.mark.filterwarnings("ignore:out of memory")  # each plan that is tried
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda x: x * float("nan"), "loss became nan"),
        (lambda x: raise_(MemoryError()), "out of memory: choose a smaller size"),
        (lambda x: raise_(KeyError("broken")), "KeyError: 'broken'"),
    ],
)
def test_a_painting_that_fails_keeps_the_picture_so_far(make_studio, tmp_path, fault, message):
    net = net_of(Faulty)
    net.fault = fault
    studio = make_studio(iterations=LONG, backbone=net)
    studio.start()
    assert studio.wait(60)
    assert message in studio.message
    assert "failed after" in studio.status
    assert not studio.buttons["start"].disabled
    studio.file.value = str(tmp_path / "last.png")
    studio.save()
    assert np.asarray(Image.open(tmp_path / "last.png")).std() > 1


def test_save(studio, tmp_path):
    studio.save()
    assert "no picture yet" in studio.message
    studio.start()
    assert studio.wait(60)
    studio.file.value = str(tmp_path / "out.png")
    studio.save()
    assert 'download="out.png"' in shown(studio)
    np.testing.assert_array_equal(Image.open(tmp_path / "out.png"), studio.picture)
    assert nstlib.read_settings(tmp_path / "out.png")["size"] == 64
    for wrong, why in (("out.doc", "choose one of the suffixes"), ("none/out.png", "does not exist")):
        studio.file.value = str(tmp_path / wrong)
        studio.save()
        assert why in studio.message
    studio.file.value = ""
    studio.save()
    assert "folder" in studio.message


# Comparing, keeping, undoing


def test_modes_show_what_they_say():
    painting, other = Image.new("RGB", (80, 40), "red"), Image.new("RGB", (20, 10), "blue")
    red, blue = (255, 0, 0), (0, 0, 255)
    wiped = np.asarray(compose(painting, other, "wipe", 0.25))
    assert (wiped[:, :18] == blue).all()
    assert (wiped[:, 22:] == red).all()
    assert (wiped[:, 20] == 255).all()  # the border
    for wipe, colour in ((0, red), (1, blue)):
        assert (np.asarray(compose(painting, other, "wipe", wipe)) == colour).all()
    both = np.asarray(compose(painting, other, "side by side"))
    assert (both[:, :80] == blue).all()
    assert (both[:, 84:] == red).all()
    picture = Image.fromarray(make_picture(60, 90, 3))
    part = compose(picture, None, "100 %", x=1, y=0, longest=30)
    np.testing.assert_array_equal(part, np.asarray(picture)[:30, 60:])
    assert compose(picture, None, "painting", longest=45).size == (45, 30)


def test_the_comparison_follows_the_painting(studio):
    comparison = studio.view.comparison
    studio.start()
    assert studio.wait(60)
    alone = studio.view.picture.value
    comparison.mode.value = "wipe"
    wiped = studio.view.picture.value
    assert wiped != alone
    comparison.wipe.value = 0
    assert studio.view.picture.value == alone
    assert comparison.against.options == ("photograph", "snapshot 1")
    comparison.wipe.value = 1
    photograph = studio.view.picture.value
    comparison.against.value = "snapshot 1"
    assert studio.view.picture.value == alone
    assert photograph != alone


def test_a_part_moves_where_there_is_more_than_is_shown():
    comparison = Comparison()
    comparison.show(Image.new("RGB", (ACTUAL + 1, ACTUAL)))
    assert not comparison.x.disabled
    assert comparison.y.disabled


def test_what_ends_is_kept_and_can_be_taken_up_again(studio):
    studio.start()
    assert studio.wait(60)
    first = np.asarray(studio.picture)
    studio.controls["style_weight"].value = 300
    studio.controls["iterations"].value = 4
    studio.start()
    assert studio.wait(60)
    second = np.asarray(studio.picture)
    assert list(studio.snapshots.kept) == [1, 2]
    studio.keep()  # the same picture once more
    assert list(studio.snapshots.kept) == [1, 2]
    strip = studio.snapshots._strip.buttons
    strip[1].click()
    np.testing.assert_array_equal(studio.picture, first)
    studio.snapshots.buttons["restore"].click()
    assert (studio.settings.style_weight, studio.settings.iterations) == (20, 6)
    studio.undo()  # all of it at once
    assert (studio.settings.style_weight, studio.settings.iterations) == (300, 4)
    strip[1].click()
    np.testing.assert_array_equal(studio.picture, second)
    strip[1].click()
    studio.snapshots.buttons["branch"].click()
    assert studio.wait(60)
    expected = nstlib.stylize(
        CONTENT, STYLE, size=64, iterations=4, levels=1, style_weight=300, init=studio.snapshots.kept[1].snapshot.image,
        backbone="compact", progress=False,
    )  # fmt: skip
    np.testing.assert_array_equal(studio.picture, expected)
    assert "# snapshot_1 is the picture kept as 1" in studio.code
    assert studio.code in html.unescape(shown(studio))
    names = {"content": CONTENT, "style": STYLE, "snapshot_1": studio.snapshots.kept[1].snapshot.image}
    np.testing.assert_array_equal(told_by(studio, **names), expected)
    strip[2].click()
    studio.snapshots.buttons["remove"].click()
    assert list(studio.snapshots.kept) == [1, 3]
    assert all(button.disabled for button in studio.snapshots.buttons.values())


def test_a_snapshot_brings_its_pictures_back(studio, tmp_path):
    upload(studio.style, "dots.png", png(STYLE))
    file = tmp_path / "a.png"
    file.write_bytes(png(CONTENT))
    studio.content.path.value = str(file)
    first_code = studio.code
    studio.start()
    assert studio.wait(60)
    first = np.asarray(studio.picture)
    pick(studio.content, "rocket")
    pick(studio.style, "swirls")
    studio.controls["iterations"].value = 2
    studio.start()
    assert studio.wait(60)
    strip, buttons = studio.snapshots._strip.buttons, studio.snapshots.buttons
    strip[1].click()
    buttons["restore"].click()
    assert studio.code == first_code
    studio.start()
    assert studio.wait(60)
    np.testing.assert_array_equal(studio.picture, first)
    strip[2].click()
    buttons["branch"].click()  # of its photograph, but in the style of now
    assert studio.wait(60)
    assert "nstlib.stylize('sample:rocket', 'dots.png'," in studio.code
    assert np.shape(studio.picture) == np.shape(studio.snapshots.kept[2].snapshot.picture)
    file.unlink()
    strip[1].click()
    buttons["restore"].click()
    assert "no such file" in studio.message


def test_the_oldest_snapshots_give_way(studio, monkeypatch):
    picture = 3 * 48 * 64
    monkeypatch.setattr("nstlib.widgets.snapshots.ROOM", 2 * 4 * picture + 3 * picture)
    for _ in range(3):
        studio.controls["iterations"].value += 1
        studio.start()
        assert studio.wait(60)
        studio.content.choose(CONTENT)
    assert list(studio.snapshots.kept) == [2, 3]  # two paintings, once what both are made from
    second, third = studio.snapshots.kept.values()
    assert second.photograph is third.photograph
    studio.snapshots.keep(second.snapshot.__class__(**vars(second.snapshot)), Image.new("RGB", (64, 48)), third.asked)
    assert list(studio.snapshots.kept) == [4]  # another photograph takes its room


def test_what_snapshots_share_is_counted_once():
    mask, file, picture = np.zeros((2, 3), np.float32), bytes(10), Image.new("RGBA", (4, 5))
    style = Style(file, where=mask, brush=(1, 2, torch.zeros(7)))
    assert bytes_of({"a": [mask, style], "b": (picture, file)}, picture, mask, "text", 3, None) == 24 + 10 + 28 + 80


def test_thumbnails_are_made_once(studio, monkeypatch):
    made = []
    thumbnail = lambda image, alpha: made.append(image) or shelf.thumbnail(image, alpha)  # noqa: E731
    monkeypatch.setattr("nstlib.widgets.snapshots.thumbnail", thumbnail)
    for count in (1, 2):
        studio.start()
        assert studio.wait(60)
        studio.snapshots.choose(1)
        assert len(made) == count


def test_the_contact_sheet_holds_all_snapshots(studio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studio.saving.sheet.click()
    assert "no snapshots yet" in studio.message
    studio.start()
    assert studio.wait(60)
    one = studio.snapshots.sheet()
    assert not set(caption(1, studio.view.shown).translate(PLAIN)) - set(string.printable)
    for number in range(2, 6):
        studio.snapshots.keep(studio.snapshots.kept[1].snapshot.__class__(**vars(studio.view.shown)), None, None)
        assert len(studio.snapshots.kept) == number
    (tmp_path / "results").mkdir()
    studio.file.value = "results/one.png"
    studio.saving.sheet.click()
    assert "saved as results/snapshots.png" in studio.message
    with Image.open(tmp_path / "results" / "snapshots.png") as sheet:
        assert sheet.width > 3 * one.width
        assert sheet.height > 1.8 * one.height


def test_how_much_colour_is_kept_is_asked_only_where_any_is(studio):
    strength = studio.controls["color_strength"].layout
    assert strength.display == "none"
    studio.controls["color"].value = "symmetric"
    assert strength.display is None
    studio.undo()
    assert strength.display == "none"


def test_controls_have_names_of_their_own(studio):
    names = [control.description for control in studio.controls.values()]
    assert len(names) == len(set(names))


def test_every_field_and_button_has_a_label(make_studio):
    def below(widget):
        return [widget, *(one for child in getattr(widget, "children", ()) for one in below(child))]

    studio = make_studio(BLOCKS)
    find(studio, "segments")
    kinds = ("Text", "Dropdown", "SelectionSlider", "IntSlider", "FloatSlider", "Checkbox", "FileUpload", "Button")
    fields = [one for one in below(studio) if isinstance(one, tuple(getattr(ipywidgets, kind) for kind in kinds))]
    assert {type(one).__name__ for one in fields} == set(kinds)
    assert [one for one in fields if isinstance(one, ipywidgets.Dropdown) and one.index is None] == []
    assert [one for one in fields if not one.description.strip()] == []


def test_undo_takes_moves_back_one_by_one(studio):
    controls = studio.controls
    for value in (30, 40, 50):
        controls["style_weight"].value = value  # one drag
    controls["tv_weight"].value = 2
    controls["learning_rate"].value = 0.5
    controls["optimizer"].value = "Adam"
    studio.buttons["undo"].click()
    assert controls["optimizer"].value == "LBFGS"
    assert studio.settings.learning_rate == 0.5  # which the optimizer had moved
    studio.undo()
    assert studio.settings.learning_rate is None
    studio.undo()
    assert (controls["tv_weight"].value, controls["style_weight"].value) == (10, 50)
    studio.undo()
    assert controls["style_weight"].value == 20
    studio.undo()
    assert "nothing was moved" in studio.message


def test_strength_and_the_weights_it_stands_for_move_together(studio):
    controls = studio.controls
    names = ("style_strength", "content_weight", "style_weight")
    values = lambda: tuple(controls[name].value for name in names)  # noqa: E731
    assert next(iter(studio.steering.groups["How much style"])) == "style_strength"
    first = values()
    for strength in (0.6, 0.7, 0.8):  # one drag
        controls["style_strength"].value = strength
    assert values() == (0.8, 0.4, 32)
    assert (studio.settings.content_weight, studio.settings.style_weight) == (0.4, 32)
    assert "content_weight=0.4, style_weight=32.0" in studio.code
    controls["style_weight"].value = 8.0
    assert values() == (pytest.approx(0.5), 0.4, 8)
    studio.undo()
    assert values() == (0.8, 0.4, 32)
    studio.undo()
    assert values() == first
    controls["style_strength"].value = 0
    assert values() == (0, 2, 0)
    studio.steering.resets["How much style"].click()
    assert values() == first
    offered = len(controls["style_weight"].options)
    for strength in (0.31, 0.32, 0.33):
        controls["style_strength"].value = strength
    assert len(controls["style_weight"].options) <= offered + 1


def test_each_group_is_reset_on_its_own(studio):
    grouped = [name for names in studio.steering.groups.values() for name in names]
    assert sorted(grouped) == sorted(studio.controls)
    studio.controls["style_weight"].value = 50
    studio.controls["relu1_1"].value = 0
    studio.controls["color"].value = "luminance"
    studio.steering.resets["Strokes"].click()
    assert (studio.controls["relu1_1"].value, studio.controls["style_weight"].value) == (1, 50)
    studio.steering.resets["How much style"].click()
    assert studio.controls["style_weight"].value == 20
    assert studio.controls["color"].value == "luminance"
    studio.undo()
    assert studio.controls["style_weight"].value == 50


def test_every_control_says_what_it_does_and_when(studio):
    for name, control in studio.controls.items():
        text = control.tooltip if hasattr(control, "tooltip") else control.description_tooltip
        live = name in (*LIVE, *DERIVED) or name.startswith("relu")
        assert text.endswith("Acts at once." if live else "Acts from the next start.")
        assert control.description.startswith("●") == live
        assert len(text) > 30


def test_curves_are_marked_where_something_was_moved():
    curves = Curves()
    shot = {"state": "painting", "iterations": 100, "losses": {"style": 1.0, "total": 2.0}}
    moves = {1: 20, 2: 20, 3: 30, 5: 40, 9: 300, 14: 300, 20: 100}  # dragged from 3 to 9, moved again at 20
    for iteration, weight in moves.items():
        curves.add(SimpleNamespace(iteration=iteration, settings={"style_weight": weight}, **shot), LIVE)
    assert curves._marks == [(3, "style β"), (20, "style β")]
    curves.clear()
    curves.add(SimpleNamespace(iteration=1, settings={"style_weight": 7}, **shot), LIVE)
    assert curves._marks == []
    history = [(i, {"total": 1 / i}) for i in range(1, 9)]
    plots = {plot_losses(history, marks) for marks in ([], [(4, "style")], [(4, "tv")], [(6, "style")])}
    assert len(plots) == 4  # the moment and the name are seen


def test_marks_name_the_slider_that_was_moved(studio):
    def shot(iteration):
        losses = {"total": 1.0}
        settings = as_keywords(studio.settings)
        return SimpleNamespace(iteration=iteration, iterations=9, state="painting", losses=losses, settings=settings)

    moves = {
        "style_strength": (0.7, "strength"),
        "grain": (3.0, "grain"),
        "motif": (0.0, "motif"),
        "content_weight": (9.0, "content α"),
        "style_weight": (0, "style β"),
        "relu2_1": (0.5, "style layers"),
        "tv_weight": (0, "smooth γ"),
    }
    for name, (value, text) in moves.items():
        curves = Curves()
        curves.add(shot(1), LIVE)
        studio.controls[name].value = value
        curves.add(shot(2), LIVE)
        assert curves._marks == [(2, text)], name
    curves.clear()
    studio.controls["motif"].value = 1.0  # back from nothing, with the strength in the same iteration
    curves.add(shot(1), LIVE)
    studio.controls["style_strength"].value = 0.4
    studio.controls["motif"].value = 2.0
    curves.add(shot(2), LIVE)
    assert curves._marks == [(2, "motif, strength")]


# Speeds, settings from a picture, folders


def test_speeds_set_size_network_and_iterations(studio):
    assert studio.speeds.buttons.value is None  # the settings given are one's own
    studio.speeds.buttons.value = "interactive"
    assert studio.settings == make_settings(levels=1, **SPEEDS["interactive"])
    assert "384 × 288 pixels · network compact · 150 iterations" in studio.speeds.needs
    studio.speeds.buttons.value = "final"
    assert (studio.settings.size, studio.settings.backbone) == (1024, "vgg19")
    studio.controls["size"].value = 128
    assert studio.speeds.buttons.value is None
    studio.undo()
    assert studio.speeds.buttons.value == "final"


def test_needs_are_those_of_the_estimate(make_studio, monkeypatch):
    monkeypatch.setattr(speeds, "_MEASURED", {})
    studio = make_studio(size=256, iterations=20, levels=1)
    studio.speeds._thread.join()
    assert re.search(r"about \d+ s · \d\.\d GB of memory, \d+ GB free on cpu", studio.speeds.needs)
    backbone, seconds = measure(studio.settings)
    assert not any(parameter.device.type != "meta" for parameter in backbone.parameters())  # it holds no memory
    assert seconds > 0
    transfer = StyleTransfer(CONTENT, STYLE, **as_keywords(studio.settings))
    size, kept = transfer.sizes[-1], transfer.floats_per_pixel
    memory = peak_memory(transfer.backbone, size, transfer.plan, optimizer="LBFGS", kept=kept)
    assert f"{memory / 2**30:.1f} GB of memory" in studio.speeds.needs
    studio.controls["backbone"].value = "auto"
    assert "network compact" in studio.speeds.needs
    assert "GB of memory" in studio.speeds.needs
    studio.controls["device"].value = "mps"  # which is not here
    assert "not known yet" in studio.speeds.needs
    studio.controls["device"].value = "auto"
    for action, more in (
        (lambda: find(studio, "segments"), " · without regions"),
        (lambda: studio.controls["direction"].set_trait("value", 0.5), " · without regions and directions"),
        (studio.regions.clear, " · without directions"),
        (studio.undo, ""),
    ):
        action()
        assert studio.speeds.needs.endswith(f"free on cpu{more}")
    unknown = make_settings(backbone="vgg16", size=256)
    assert "not known yet" in needs(unknown, (48, 64))  # it would have to be downloaded


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_settings_come_back_from_a_saved_picture(make_studio, tmp_path, suffix):
    given = {"style_weight": 123.456, "brush": 0.77, "color": "pca", "learning_rate": 0.3, "size": 72}
    given["style_layers"] = {"relu1_1": 0.3, "relu2_1": 1, "relu3_1": 0, "relu4_1": 1, "relu5_1": 7.5}
    nstlib.StyleTransfer(CONTENT, STYLE, backbone="compact", iterations=2, **given).save(tmp_path / f"a{suffix}")
    studio = make_studio()
    upload(studio.saving, f"a{suffix}", (tmp_path / f"a{suffix}").read_bytes())
    assert studio.message == ""
    assert studio.settings == make_settings(backbone="compact", iterations=2, **given)
    before = studio.settings
    upload(studio.saving, "plain.png", png(make_picture(9, 9)))
    assert "plain.png: this picture holds no settings" in studio.message
    upload(studio.saving, "broken.png", b"nothing")
    assert "broken.png: " in studio.message
    assert studio.settings == before
    studio.undo()
    assert studio.settings == make_settings(backbone="compact", size=64, levels=1, iterations=6)


def test_the_format_changes_the_suffix_and_tiff_has_16_bits(studio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    studio.saving.format.value = ".tif"
    assert studio.file.value == "stylized.tif"
    studio.start()
    assert studio.wait(60)
    studio.buttons["save"].click()
    saved = tifffile.imread(tmp_path / "stylized.tif")
    assert saved.dtype == np.uint16
    assert (saved % 257 != 0).any()  # more than 8 bits


def test_several_uploads_are_offered_and_a_broken_one_is_said(studio, monkeypatch):
    monkeypatch.setattr(shelf, "_LAST", {})
    files = {name: png(make_picture(30, 20 + i, i)) for i, name in enumerate("ab")} | {"c": b"broken"}
    about = {"type": "", "size": 1, "last_modified": datetime.datetime.now()}
    pictures = [{"name": name, "content": memoryview(data), **about} for name, data in files.items()]
    seven = {file["name"]: {"metadata": file, "content": files[file["name"]]} for file in pictures}
    studio.style.upload.set_trait("value", seven if ipywidgets.__version__.startswith("7") else tuple(pictures))
    assert studio.style.picture.shape == (30, 20, 3)  # the first
    assert "c: " in shown(studio.style)
    offered = [button.description for button in studio.style.thumbnails.buttons.values()]
    assert offered[-2:] == ["a", "b"]
    studio.style.thumbnails.buttons[list(studio.style.thumbnails.buttons)[-1]].click()
    assert studio.style.picture.shape == (30, 21, 3)


def test_a_folder_offers_its_pictures(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "_LAST", {})
    studio.content.path.value = str(tmp_path)
    assert "no pictures" in shown(studio.content)
    for name in ("x.png", "y.png"):
        (tmp_path / name).write_bytes(png(make_picture(20, 30)))
    before = studio.content.source
    studio.content.path.value = str(tmp_path)
    assert "2 pictures" in shown(studio.content)
    assert studio.content.source is before
    studio.content.thumbnails.buttons[str(tmp_path / "y.png")].click()
    assert studio.content.source == str(tmp_path / "y.png")


def test_it_opens_with_a_finished_picture(make_studio):
    studio = make_studio("chelsea", "starry_night")
    assert studio.picture.size[0] > 500
    assert np.asarray(studio.picture).std() > 40
    assert "painted beforehand" in studio.status
    studio.keep()
    pick(studio.content, "coffee")  # of other pictures, there is none yet
    assert studio.picture is None
    assert "press Start" in studio.status
    studio.snapshots._strip.buttons[1].click()
    studio.snapshots.buttons["restore"].click()
    assert studio.content.source == "chelsea"


def test_thumbnails_are_those_of_the_samples():
    shown = shelf.sample_thumbnails(nstlib.samples.CONTENTS + nstlib.samples.PAINTINGS)
    for name, (jpeg, _, _) in shown.items():
        expected = Image.open(io.BytesIO(shelf.thumbnail(nstlib.load_image(name)))).resize((32, 32))
        got = Image.open(io.BytesIO(jpeg)).resize((32, 32))
        assert np.abs(np.asarray(got, float) - np.asarray(expected, float)).mean() < 6


# Regions

PLACES = np.zeros((48, 64), int)
PLACES[:, 28:], PLACES[34:] = 1, 2
COLOURS = np.array([(220, 40, 30), (30, 40, 220), (40, 180, 60)], np.uint8)
BLOCKS = COLOURS[PLACES] + make_picture(48, 64) // 16
LEFT = (np.arange(64) < 28) * np.ones((48, 1))
PAINTED = {"size": 64, "levels": 1, "iterations": 6, "backbone": "compact", "progress": False}


def told_by(studio, **names):
    """The picture that the code of a panel paints."""
    names |= {"nstlib": nstlib}
    exec(studio.code.replace("nstlib.stylize(", "picture = nstlib.stylize("), names)
    return names["picture"]


def find(studio, way, n=2):
    studio.regions.way.value = way
    studio.regions.count.value = n
    studio.regions.find.click()
    return studio.regions.rows


def enter(file, path):
    file.path.value = str(path)


def test_regions_are_found_and_painted_each_in_its_style(make_studio):
    studio = make_studio(BLOCKS)
    assert studio.regions.selected_index is None  # closed
    first, second = find(studio, "segments")
    first.style.value = "sample:swirls"
    first.brush.value = 0.5
    second.weight.value = 2.0
    one, other = regions.segments(BLOCKS, 2)
    assert f">{first.area.name}<" in shown(studio.regions)
    assert f"{one.mean():.0%}" in shown(studio.regions)
    studio.start()
    assert studio.wait(60)
    styles = [Style("sample:swirls", where=one, brush=0.5), Style(STYLE, where=other, weight=2)]
    np.testing.assert_array_equal(studio.picture, nstlib.stylize(BLOCKS, styles, **PAINTED))
    assert studio.code in html.unescape(shown(studio))
    np.testing.assert_array_equal(studio.picture, told_by(studio, content=BLOCKS, style=STYLE))


@pytest.mark.parametrize("way", ["palette", "objects", "labels.png", "grey.png", "lines.png"])
def test_regions_of_all_kinds_are_written_as_code(make_studio, monkeypatch, tmp_path, way):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(regions, "objects", lambda photo: {"cat": LEFT, "background": 1 - LEFT})
    Image.fromarray(COLOURS[PLACES]).save(tmp_path / "labels.png")
    Image.fromarray((LEFT * 255).astype(np.uint8)).save(tmp_path / "grey.png")
    lines = BLOCKS.copy()
    lines[10:-10, 10:16], lines[10:-10, -16:-10] = (255, 0, 0), (255, 255, 0)
    Image.fromarray(lines).save(tmp_path / "lines.png")
    studio = make_studio(BLOCKS, iterations=2)
    if way == "lines.png":
        studio.regions.way.value = "scribbles"
        studio.regions.find.click()
        assert "load a picture of them" in studio.regions.message
    if way.endswith("png"):
        enter(studio.regions.file, way)
        rows = studio.regions.rows
    else:
        rows = find(studio, way)
    assert [row.area.name for row in rows] == {"objects": ["cat", "background"], "labels.png": ["1", "2", "3"]}.get(
        way, ["1", "2"]
    )
    rows[1].style.value = "sample:embers"
    assert studio.code.count("of=parts") == (way == "palette")
    studio.regions.protection.choice.value = f"region {rows[0].area.name}"
    told = told_by(studio, content=BLOCKS, style=STYLE)
    studio.start()
    assert studio.wait(60)
    assert studio.message == ""
    np.testing.assert_array_equal(studio.picture, told)
    monkeypatch.undo()


def test_styles_of_the_whole_share_the_layers(make_studio):
    """The grain of one painting with the motifs of another."""
    studio = make_studio(BLOCKS)
    grain, motif = find(studio, "whole")
    grain.layers.value, motif.layers.value = "fine", "coarse"
    motif.style.value = "sample:swirls"
    studio.start()
    assert studio.wait(60)
    styles = [Style(STYLE, layers="fine"), Style("sample:swirls", layers="coarse")]
    np.testing.assert_array_equal(studio.picture, nstlib.stylize(BLOCKS, styles, **PAINTED))
    np.testing.assert_array_equal(studio.picture, told_by(studio, content=BLOCKS, style=STYLE))


def test_the_photograph_is_seen_with_its_regions(make_studio):
    studio = make_studio(BLOCKS)
    picture = studio.regions.picture
    assert picture.layout.display == "none"
    enter(studio.regions.file, "none.png")
    assert picture.layout.display == "none"
    rows = find(studio, "segments", 3)
    assert picture.layout.display is None
    seen = np.asarray(Image.open(io.BytesIO(picture.value)).convert("RGB")).astype(int)
    expected = np.asarray(regions.show(BLOCKS, [row.area.shown for row in rows])).astype(int)
    assert np.abs(seen - expected).mean() < 12  # but for the numbers in it
    before = picture.value
    studio.regions.protection.choice.value = "region 1"
    assert picture.value != before  # the line around it
    studio.regions.clear_all.click()
    assert picture.layout.display == "none"


def test_what_is_protected_can_be_steered(make_studio, tmp_path):
    studio = make_studio(BLOCKS, iterations=LONG, backbone=NET)
    slider, protection = studio.controls["protection"], studio.regions.protection
    assert slider.layout.display == "none"
    find(studio, "segments")
    protection.choice.value = "region 2"
    assert slider.layout.display is None
    studio.start()
    until(lambda: "iteration" in studio.status)
    slider.value = 0.35
    until(lambda: studio.transfer.settings.protection == 0.35)
    studio.stop()
    assert studio.wait(60)
    assert "protect=masks[1]" in studio.code
    assert "protection=0.35" in studio.code
    (tmp_path / "face.png").write_bytes(png((LEFT * 255).astype(np.uint8)))
    enter(protection.file, tmp_path / "face.png")
    assert protection.choice.value == str(tmp_path / "face.png")
    assert f"protect={str(tmp_path / 'face.png')!r}" in studio.code
    studio.regions.clear_all.click()
    assert slider.layout.display == "none"
    assert "protect=" not in studio.code
    upload(protection.file, "face.png", png((LEFT * 255).astype(np.uint8)))
    assert "protect='face.png'" in studio.code
    studio.controls["iterations"].value = 3
    studio.start()
    assert studio.wait(60)
    options = {**PAINTED, "iterations": 3, "backbone": NET, "protection": 0.35}
    np.testing.assert_array_equal(studio.picture, nstlib.stylize(BLOCKS, STYLE, protect=LEFT, **options))


def test_a_snapshot_brings_its_regions_and_protection_back(make_studio, tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "_LAST", {})
    studio = make_studio(BLOCKS, iterations=2)
    upload(studio.style, "mine.png", png(make_picture(30, 20, 5)))
    pick(studio.style, "swirls")
    first, second = find(studio, "palette")
    first.style.value = next(key for _, key in first.style.options if "mine" in key)
    first.brush.value, second.weight.value, second.layers.value = 0.5, 2.0, "coarse"
    (tmp_path / "face.png").write_bytes(png((LEFT * 255).astype(np.uint8)))
    enter(studio.regions.protection.file, tmp_path / "face.png")
    studio.controls["protection"].value = 0.35
    code = studio.code
    studio.start()
    assert studio.wait(60)
    painted = np.asarray(studio.picture)
    studio.regions.clear()
    studio.start()
    assert studio.wait(60)
    plain = studio.code
    assert "Style(" not in plain
    monkeypatch.setattr(shelf, "_LAST", {})  # what a region is painted with is not among the last pictures any more
    pick(studio.content, "rocket")
    pick(studio.style, "embers")
    find(studio, "segments", 3)
    for number, expected in ((1, code), (2, plain), (1, code)):
        studio.snapshots.choose(number)
        studio.snapshots.buttons["restore"].click()
        assert studio.code == expected
    assert studio.controls["protection"].layout.display is None
    studio.start()
    assert studio.wait(60)
    np.testing.assert_array_equal(studio.picture, painted)
    studio.snapshots.choose(1)
    studio.snapshots.buttons["branch"].click()  # of the same photograph: its regions stay
    assert studio.wait(60)
    assert len(studio.regions.rows) == 2


def test_another_photograph_has_no_regions_yet(make_studio):
    studio = make_studio(BLOCKS)
    plain = studio.code
    find(studio, "palette")
    pick(studio.style, "embers")  # these regions have parts of the painting before
    assert studio.regions.rows == []
    assert "find them again" in studio.regions.message
    find(studio, "segments")
    pick(studio.style, "swirls")
    assert len(studio.regions.rows) == 2
    upload(studio.style, "mine.png", png(STYLE))
    studio.regions.rows[0].style.value = next(key for _, key in studio.regions.rows[0].style.options if "mine" in key)
    studio.regions.protection.choice.value = "region 1"
    pick(studio.content, "coffee")
    assert studio.regions.rows == []
    assert studio.regions.protection.mask is None
    studio.content.choose(BLOCKS)
    studio.style.choose(STYLE)
    assert studio.code == plain


def test_what_is_wrong_with_a_region_is_said(make_studio, tmp_path):
    studio = make_studio(BLOCKS)
    panel = studio.regions
    find(studio, "segments")
    before = studio.code
    enter(panel.file, tmp_path / "none.png")
    assert "no such file" in panel.message
    assert 'role="alert"' in shown(panel)
    upload(panel.file, "narrow.png", png(np.dstack([COLOURS[PLACES][:, :30]])))
    assert "30 x 48 pixels, and its picture 64 x 48" in panel.message
    upload(panel.protection.file, "empty.png", png(np.zeros((48, 64), np.uint8)))
    assert "the mask empty.png is empty" in panel.message
    upload(panel.protection.file, "broken.png", b"nothing")
    assert "not a picture" in panel.message
    panel.count.value = 8
    studio.regions.way.value = "palette"
    studio.style.choose(np.full((40, 40, 3), 90, np.uint8))
    panel.find.click()
    assert "fewer than 8 colours" in panel.message
    studio.style.choose(STYLE)
    assert studio.code == before
    for row in panel.rows:
        row.weight.value = 0.0
    studio.start()
    assert studio.wait(60)
    assert "weight above 0" in studio.message
    studio.content.choose("nowhere.png")
    panel.find.click()
    assert "no such file" in panel.message


def test_regions_given_in_code(make_studio, tmp_path):
    other = make_picture(40, 40, 7)
    styles = [
        Style(STYLE, where=LEFT, brush=0.77),
        Style(other),
        Style("sample:embers", where=(1 - LEFT) / 2, weight=2),
    ]
    studio = make_studio(BLOCKS, styles, protect=LEFT)
    assert studio.regions.selected_index == 0
    assert studio.regions.message == "3 regions, painted from the next start"
    assert studio.settings.brush == 1
    studio.start()
    assert studio.wait(60)
    expected = nstlib.stylize(BLOCKS, styles, protect=LEFT, **PAINTED)
    np.testing.assert_array_equal(studio.picture, expected)
    names = {"content": BLOCKS, "style": STYLE, "style_2": other, "where_1": LEFT, "where_3": (1 - LEFT) / 2}
    np.testing.assert_array_equal(told_by(studio, protect=LEFT, **names), expected)
    assert "Style(style, where=where_1, brush=0.77)" in studio.code
    wrong = make_studio(BLOCKS, Style(STYLE, where=np.ones((9, 64))))
    assert "its picture 64 x 48" in wrong.regions.message
    assert wrong.regions.selected_index == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"where": LEFT}, {"of": LEFT}, {"weight": 2}, {"brush": 2}, {"brush": (0.5, 1, LEFT)}, {"layers": "fine"},
        {"of": LEFT, "brush": 2, "weight": 2, "layers": "coarse"},
    ],
    ids=lambda asked: ", ".join(asked),
)  # fmt: skip
def test_a_single_style_is_painted_with_all_it_asks_for(make_studio, asked):
    style = Style(STYLE, **asked)
    studio = make_studio(BLOCKS, [style], iterations=2)
    assert len(studio.regions.rows) == 1
    studio.start()
    assert studio.wait(60)
    expected = nstlib.stylize(BLOCKS, style, **{**PAINTED, "iterations": 2})
    np.testing.assert_array_equal(studio.picture, expected)
    assert sorted(re.findall(r"(\w+)=", studio.code.split("]")[0])) == sorted(asked)
    names = {"content": BLOCKS, "style": STYLE, "where_1": LEFT, "of_1": LEFT, "brush_1": (0.5, 1, LEFT)}
    np.testing.assert_array_equal(told_by(studio, **names), expected)


@pytest.mark.parametrize("style", [STYLE, Style(STYLE), Style(STYLE, weight=1, brush=np.float32(1))])
def test_a_style_that_is_only_its_picture_makes_no_region(make_studio, style):
    studio = make_studio(BLOCKS, style)
    assert studio.regions.rows == []
    assert studio.regions.selected_index is None
    protecting = make_studio(BLOCKS, style, protect=LEFT)
    assert protecting.regions.rows == []
    assert protecting.regions.selected_index == 0
    assert "protect=protect" in protecting.code


def test_the_controls_of_regions_say_what_they_do(make_studio):
    studio = make_studio(BLOCKS)
    panel = studio.regions
    rows = find(studio, "segments")
    controls = [
        panel.way,
        panel.count,
        panel.protection.choice,
        *(c for r in rows for c in (r.style, r.brush, r.weight)),
    ]
    for control in controls:
        text = control.tooltip if hasattr(control, "tooltip") else control.description_tooltip
        assert len(text) > 15
        assert control.description
    panel.way.value = "objects"
    assert panel.count.layout.display == "none"
