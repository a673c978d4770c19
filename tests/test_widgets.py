"""The studio without a browser: what its controls do to the transfer, and what it shows."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

import nstlib
from nstlib import InputError
from nstlib.widgets import Studio

LONG = 100_000  # iterations that no test waits for


@pytest.fixture
def studio():
    studio = Studio(make_picture(48, 64, 1), make_picture(48, 64, 2), size=64, iterations=6, levels=1)
    yield studio
    studio.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "nstlib"]


def long_studio():
    return Studio(make_picture(48, 64, 1), make_picture(48, 64, 2), size=64, levels=1, iterations=LONG)


def once(widget, holds):
    """Wait until ``holds(value)`` for the value of a widget that a thread changes."""
    there = threading.Event()

    def look(change):
        if holds(change["new"]):
            there.set()

    widget.observe(look, "value")
    if holds(widget.value):
        there.set()
    assert there.wait(60), f"{widget.value!r} is not what was waited for"
    widget.unobserve(look, "value")


def iteration_of(studio):
    once(studio._status, lambda text: "iteration" in text)
    return studio.transfer.iteration


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_paints_in_the_background_what_stylize_paints(studio):
    before = studio._view.value
    studio.start()
    assert studio._start.disabled
    assert studio.wait(60)
    expected = nstlib.stylize(
        make_picture(48, 64, 1), make_picture(48, 64, 2), size=64, iterations=6, levels=1, backbone="compact",
        progress=False,
    )  # fmt: skip
    np.testing.assert_array_equal(studio.picture, expected)
    assert studio._view.value != before
    assert studio._view.value[:2] == b"\xff\xd8"
    assert "done after 6 iterations" in studio._status.value
    assert studio._bar.value == 1
    assert not studio._start.disabled
    assert studio._message.value == ""


def test_sliders_steer_the_running_transfer():
    studio = long_studio()
    studio.start()
    iteration_of(studio)
    controls = studio._controls
    controls["style_weight"].value = 300
    controls["optimizer"].value = "Adam"
    controls["learning_rate"].value = 0.005
    studio._layers["relu5_1"].value = 0
    seen = studio.transfer.iteration
    once(studio._status, lambda _: studio.transfer.iteration > seen + 3)
    settings = studio.transfer.settings
    assert (settings.style_weight, settings.optimizer, settings.learning_rate) == (300, "Adam", 0.005)
    assert settings.style_layers["relu5_1"] == 0
    for slider in studio._layers.values():  # no style at all is no setting: the last sensible one stays
        slider.value = 0
    seen = studio.transfer.iteration
    once(studio._status, lambda _: studio.transfer.iteration > seen + 3)
    assert sum(settings.style_layers.values()) > 0
    studio.stop()
    assert "stopped after" in studio._status.value
    assert studio._message.value == ""
    studio.close()


def test_another_optimizer_brings_its_learning_rate(studio):
    studio._controls["optimizer"].value = "SGD"
    assert studio._controls["learning_rate"].value == pytest.approx(1e-4)
    assert "learning_rate" not in studio.code
    assert "optimizer='SGD'" in studio.code


def test_pause_and_resume():
    studio = long_studio()
    studio.start()
    iteration_of(studio)
    studio.pause()
    once(studio._status, lambda text: text.startswith("paused"))
    assert studio._pause.description == "Resume"
    held = studio.transfer.iteration
    assert not studio.wait(0.2)  # alive, and does nothing
    assert studio.transfer.iteration == held
    studio.pause()
    once(studio._status, lambda _: studio.transfer.iteration > held)
    studio.pause()  # stopping works from a pause too
    studio.stop()
    picture = studio.picture
    assert picture.size == (64, 48)
    studio.start()  # and starting again begins anew
    once(studio._status, lambda text: text.startswith("iteration"))
    studio.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "nstlib"]


def test_a_new_studio_stops_the_one_before():
    old = long_studio()
    old.start()
    iteration_of(old)
    new = Studio(size=64, iterations=2)
    assert old.wait(0)
    new.close()
    old.close()


def test_code_is_what_the_panel_paints(studio):
    studio._controls["style_weight"].value = 12.3456
    studio._layers["relu1_1"].value = 0.5
    studio._controls["color"].value = "luminance"
    studio._content._sample.value = "astronaut"
    code = studio.code
    assert code in __import__("html").unescape(studio._code.value)
    assert "nstlib.samples.content('astronaut'), style, size=64" in code
    style = make_picture(48, 64, 2)
    told = eval(code, {"nstlib": nstlib, "style": style})
    studio.start()
    assert studio.wait(60)
    np.testing.assert_array_equal(told, studio.picture)


@pytest.mark.parametrize("version", [7, 8])
def test_upload(studio, version):
    def upload(name, data):
        file = {"name": name, "type": "image/png", "size": len(data), "content": memoryview(data)}
        value = (file,) if version == 8 else {name: {"metadata": file, "content": data}}
        button = studio._style._slot.children[0]
        studio._style._uploaded({"new": value})
        assert studio._style._slot.children[0] is not button or "broken" in name

    upload("dots.png", png(make_picture(30, 20, 5)))
    assert studio._style.picture.shape == (1, 3, 30, 20)
    assert "'dots.png'" in studio.code
    upload("broken.png", b"<html>not found</html>")
    assert "broken.png" in studio._message.value
    assert "not a picture" in studio._message.value
    assert studio._style.picture.shape == (1, 3, 30, 20)  # the good one stays
    studio._style._uploaded({"new": () if version == 8 else {}})


def test_path_and_messages(studio, tmp_path):
    studio._content._path.value = str(tmp_path / "none.png")
    assert "no such file" in studio._message.value
    (tmp_path / "<b>.png").write_bytes(png(make_picture(40, 40)))
    studio._content._path.value = str(tmp_path / "<b>.png")
    assert studio._message.value == ""
    assert studio._content.picture.shape == (1, 3, 40, 40)
    assert "<b>.png" not in studio._code.value  # names are escaped
    studio._style._tensor = None
    studio.start()
    assert "choose a content and a style picture" in studio._message.value


def test_errors_of_the_thread_are_shown(studio):
    studio._content._take(make_picture(8, 400))
    studio.start()
    assert studio.wait(60)
    assert "use a larger size" in studio._message.value
    assert not studio._start.disabled


def test_save(studio, tmp_path):
    studio.save()
    assert "no picture yet" in studio._message.value
    studio.start()
    studio.wait(60)
    studio._file.value = str(tmp_path / "out.png")
    studio.save()
    assert 'download="out.png"' in studio._message.value
    np.testing.assert_array_equal(Image.open(tmp_path / "out.png"), studio.picture)
    assert nstlib.read_settings(tmp_path / "out.png")["size"] == 64
    studio._file.value = str(tmp_path / "out.doc")
    studio.save()
    assert "choose one of the suffixes" in studio._message.value


def test_wrong_settings_are_refused():
    with pytest.raises(InputError, match="unknown option 'sise'"):
        Studio(sise=3)


@pytest.mark.skipif(ipywidgets.__version__.startswith("7"), reason="this is that run")
def test_studio_with_colabs_ipywidgets(tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path)]
    pip += ["ipywidgets==7.7.1", "ipython_genutils"]
    if subprocess.run(pip, capture_output=True).returncode:
        pytest.skip("ipywidgets 7.7.1 cannot be fetched here")
    path = os.pathsep.join([str(tmp_path), str(Path(nstlib.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "pytest", "-qrs", "-p", "no:cacheprovider", "-W", "ignore", __file__],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "this is that run" in done.stdout
