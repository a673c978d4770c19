"""The command line as users run it: a process, real files, real signals."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

from nstlib import __main__ as cli
from nstlib import read_settings

FAST = ("--backbone", "compact", "--size", "64", "--iterations", "4", "--quiet")


@pytest.fixture
def folder(tmp_path):
    for name, seed in (("content.png", 1), ("style.png", 2), ("other.jpg", 3)):
        Image.fromarray(make_picture(64, 80, seed)).save(tmp_path / name)
    return tmp_path


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def command(folder, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "nstlib", *arguments], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, timeout=120, **options,
    )  # fmt: skip


def test_paints_a_file(folder):
    done = command(
        folder,
        "content.png",
        "style.png",
        "other.jpg",
        "-o",
        "out.png",
        *FAST,
        "--beta",
        "3",
        "--style-layers",
        "relu1_1,relu3_1=0.5",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "out.png\n", "")
    assert pixels(folder / "out.png").shape == (51, 64, 3)
    settings = read_settings(folder / "out.png")
    assert settings["style_weight"] == 3
    assert settings["style_layers"] == {"relu1_1": 1.0, "relu3_1": 0.5}


def test_enlarges_what_it_painted(folder):
    done = command(folder, "content.png", "style.png", "-o", "large.png", "--upscale", "2", *FAST)
    assert (done.returncode, done.stdout, done.stderr) == (0, "large.png\n", "")
    assert pixels(folder / "large.png").shape == (102, 128, 3)
    assert read_settings(folder / "large.png")["upscale"] == 2


def test_default_is_the_documented_one(folder):
    done = command(folder, "sample:chelsea", "sample:swirls", "--size", "64", "--iterations", "2")
    assert done.returncode == 0
    assert "64x43, iteration 2/2" in done.stderr  # a progress bar
    assert (folder / "stylized.png").exists()


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif"])
def test_other_formats(folder, suffix):
    assert (
        cli.main([str(folder / "content.png"), str(folder / "style.png"), "-o", str(folder / f"out{suffix}"), *FAST])
        == 0
    )
    assert read_settings(folder / f"out{suffix}")["size"] == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.png", "style.png"], "no such file: nothing.png"),
        (["content.png", "broken.png"], "broken.png is not a picture"),
        (["content.png", "style.png", "-o", "out.xyz"], "choose one of the suffixes"),
        (["content.png", "style.png", "-o", "no/where.png"], "does not exist"),
        (["content.png", "style.png", "--size", "8"], "need at least 16"),
        (["content.png", "style.png", "--style-layers", "relu8_1"], "unknown layer 'relu8_1'; choose from conv1_1"),
        (["content.png", "style.png", "--weights", "content.png"], "not a weights file"),
        (["content.png", "style.png", "--resume"], "--resume needs --checkpoint"),
        (["content.png", "style.png", "--checkpoint", "no/where.pt"], "does not exist"),
        (["content.png", "style.png", "--device", "abacus"], "choose from auto, cuda"),
        (["content.png", "style.png", "--max-pixels", "50"], "more than the limit of 50"),
        (["sample:dog", "style.png"], "unknown content sample 'dog'; choose from astronaut"),
        (["content.png", "style.png", "--style-layers", "relu1_1=much"], "argument --style-layers"),
        (["content.png", "style.png", "--memory", "plenty"], "nor a size such as 2GB"),
        (["content.png", "style.png", "--optimizer", "Newton"], "invalid choice: 'Newton'"),
    ],
)
def test_bad_input_gets_one_clear_error(folder, arguments, message, monkeypatch, capsys):
    (folder / "broken.png").write_text("<html>")
    monkeypatch.chdir(folder)
    try:
        status = cli.main([*FAST, *arguments])
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == cli.EXIT_INPUT
    assert message in error
    assert "Traceback" not in error


def test_estimate_answers_before_the_work(folder):
    done = command(folder, "content.png", "style.png", "--backbone", "compact", "--size", "256", "--estimate")
    assert done.returncode == 0
    assert "this transfer: 256 x 205 pixels, untiled: 0." in done.stdout
    assert "pixels on the longer side" in done.stdout
    assert not (folder / "stylized.png").exists()


def start(folder, *arguments):
    """The same command, not waited for."""
    return subprocess.Popen(
        [sys.executable, "-m", "nstlib", "content.png", "style.png", "--backbone", "compact", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def wait_for(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ctrl_c_saves_the_picture_so_far(folder):
    process = start(
        folder, "-o", "out.png", "--size", "256", "--levels", "1", "--iterations", "100000", "--checkpoint", "state.pt"
    )
    line = ""
    while "iteration" not in line:  # the progress bar shows that it paints
        line += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == cli.EXIT_INTERRUPTED
    assert "interrupted at iteration" in error
    assert "Traceback" not in error
    assert pixels(folder / "out.png").std() > 0
    assert (folder / "state.pt").exists()


def test_killed_and_resumed_is_as_if_nothing_had_been(folder):
    options = ("--size", "128", "--levels", "2", "--iterations", "60", "--quiet")
    whole = command(folder, "content.png", "style.png", "--backbone", "compact", *options, "-o", "whole.png")
    options = (*options, "--checkpoint", "state.pt")
    assert whole.returncode == 0
    process = start(folder, *options, "--checkpoint-every", "0", "-o", "part.png")
    wait_for((folder / "state.pt").exists, process)
    process.kill()
    process.wait()
    process.stderr.close()
    assert not (folder / "part.png").exists()
    rest = command(folder, "content.png", "style.png", "--backbone", "compact", *options, "--resume", "-o", "part.png")
    assert rest.returncode == 0
    assert np.array_equal(pixels(folder / "whole.png"), pixels(folder / "part.png"))
