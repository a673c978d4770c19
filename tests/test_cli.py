"""The command line as users run it: a process, real files, real signals."""

import contextlib
import http.server
import io
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings

import nbformat
import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

import nstlib
from nstlib import __main__ as cli
from nstlib import read_settings
from nstlib.arguments import make_parser
from nstlib.networks.upscale import Upscaler
from nstlib.transfer.settings import FIELDS

FAST = ("--backbone", "compact", "--size", "64", "--iterations", "4", "--quiet")


@pytest.fixture
def folder(tmp_path):
    for name, seed in (("content.png", 1), ("style.png", 2), ("other.jpg", 3)):
        Image.fromarray(make_picture(64, 80, seed)).save(tmp_path / name)
    return tmp_path


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def call(*arguments):
    """The command without a process."""
    return cli.main([str(argument) for argument in arguments])


def test_paints_a_file(folder):
    options = *FAST, "--beta", "3", "--style-layers", "relu1_1,relu3_1=0.5"
    command = [sys.executable, "-m", "nstlib", "content.png", "style.png", "other.jpg", "-o", "out.png", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out.png\n", "")
    assert pixels(folder / "out.png").shape == (51, 64, 3)
    settings = read_settings(folder / "out.png")
    assert settings["style_weight"] == 3
    assert settings["style_layers"] == {"relu1_1": 1.0, "relu3_1": 0.5}


def test_enlarges_what_it_painted(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert call("content.png", "style.png", "-o", "large.png", "--upscale", "2", *FAST) == 0
    assert capsys.readouterr() == ("large.png\n", "")
    assert pixels("large.png").shape == (102, 128, 3)
    assert read_settings("large.png")["upscale"] == 2


@pytest.mark.filterwarnings("default:backbone='auto'")
def test_default_is_the_documented_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("sample:chelsea", "sample:swirls", "--size", "64", "--iterations", "2") == 0
    assert "64x43, iteration 2/2" in capsys.readouterr().err  # a progress bar
    assert (tmp_path / "stylized.png").exists()


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
        (["content.png", "style.png", "--weights", "content.png"], "cannot read weights from content.png"),
        (["content.png", "style.png", "--resume"], "to resume, name the checkpoint too"),
        (["content.png", "style.png", "--checkpoint", "no/where.pt"], "does not exist"),
        (["content.png", "style.png", "--device", "abacus"], "choose from auto, all, cuda"),
        (["content.png", "style.png", "--max-pixels", "50"], "more than the limit of 50"),
        (["sample:dog", "style.png"], "unknown sample 'dog'; choose from astronaut"),
        (["content.png", "style.png", "--style-layers", "relu1_1=much"], "argument --style-layers"),
        (["content.png", "style.png", "--style-layers", "relu1_1="], "argument --style-layers"),
        (["content.png", "style.png", "--style-blend", "1,2"], "the weight of a style is its own"),
        (["content.png", "style.png", "--checkpoint", "."], "it is a folder"),
        (
            ["content.png", "style.png", "--checkpoint", "s.pt", "--checkpoint-every", "nan"],
            "in seconds, must be a number",
        ),
        (["content.png", "style.png", "-o", ""], "choose one of the suffixes"),
        (["content.png", "style.png", "--upscale", "7"], "unknown scale 7; choose from 2, 3, 4"),
        (
            ["content.png", "style.png", "--size", "huge"],
            "expected a whole number of at least 1 or original",
        ),
        (["content.png", "style.png", "--size", "-64"], "size must be a whole number of at least 1, received -64"),
        (
            ["content.png", "style.png", "--iterations", "1e3"],
            "argument --iterations: expected a whole number",
        ),
        (["content.png", "style.png", "--memory=-2GB"], "or a number of bytes such as 2GB"),
        (["content.png", "--style", "style.png@no.png"], "the mask of style 1: no such file: no.png"),
        (["content.png", "--style", "style.png@weight=x"], "the weight of a style must be a number, received 'x'"),
        (["content.png", "style.png", "--style-scale=2"], "--style-scale is gone: brush is the size of strokes"),
        (["content.png"], "at least one style picture is needed"),
        (["content.png", "style.png", "--quiet", "other.jpg"], "unexpected 'other.jpg': name all pictures before"),
        *(
            (["content.png", "style.png", "--memory", size], f"a number of bytes such as 2GB, received {size!r}")
            for size in ("plenty", "", "B", "GB", "inf", "nan", "1e400", "2GBGB")
        ),
        *(
            (["content.png", "style.png", "--memory", size], "must be a whole number of at least 1, received")
            for size in ("0", "0.0GB", "9" * 400)
        ),
        *(
            (["content.png", "style.png", option, ""], f"argument {option}: expected")
            for option in ("--weights", "--network", "--size", "--style-layers")
        ),
    ],
)
def test_bad_input_gets_one_clear_error(folder, arguments, message, monkeypatch, capsys):
    (folder / "broken.png").write_text("<html>")
    before = sorted(folder.iterdir())
    monkeypatch.chdir(folder)
    assert call(*FAST, *arguments) == cli.EXIT_INPUT
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith("nstlib: error: ")
    assert message in error
    assert "Traceback" not in error
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["--stile-weight", "3"], "--style-weight"),
        (["--sise=64"], "--size"),
        (["--colour", "style"], "--color"),
        (["--optimizer", "BFGS"], "'LBFGS'"),
        (["--color", "luminace"], "'luminance'"),
        (["--preset", "gatys"], "'gatys2016'"),
        (["--device", "gpu"], "'cpu'"),
    ],
)
def test_an_unknown_option_or_choice_names_the_nearest(folder, arguments, near, capsys):
    assert (
        call(folder / "content.png", folder / "style.png", "-o", folder / "a.png", *FAST, *arguments) == cli.EXIT_INPUT
    )
    assert f"(did you mean {near}?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "number"), [("2GB", 2 << 30), ("500MB", 500 << 20), ("1.5 GiB", 3 << 29), ("2048", 2048), (".5k", 512)]
)
def test_sizes_of_memory(text, number):
    assert make_parser().parse_args(["a", "b", "--memory", text]).memory == number


def test_styles_in_regions_and_a_protected_part(folder, monkeypatch):
    """As in Python, to the last bit."""
    monkeypatch.chdir(folder)
    left = np.tile(np.uint8([255] * 30 + [0] * 50), (64, 1))
    Image.fromarray(left).save("left.png")
    regions = ("--style", "style.png@left.png@brush=0.5", "--style", "other.jpg@weight=2", "--protect", "left.png")
    assert call("content.png", *regions, *FAST, "-o", "a.png") == 0
    styles = [nstlib.Style("style.png", where=left, brush=0.5), nstlib.Style("other.jpg", weight=2)]
    options = {"backbone": "compact", "size": 64, "iterations": 4, "progress": False, "protect": left}
    assert np.array_equal(pixels("a.png"), nstlib.stylize("content.png", styles, **options))
    assert call("content.png", *regions, *FAST, "-o", "left.png", "--force") == cli.EXIT_INPUT  # it is read
    assert np.array_equal(pixels("left.png"), left)


def test_regions_are_found_and_may_be_looked_at_first(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    found = "content.png", "style.png", "other.jpg", "--regions", "segments", *FAST
    assert call(*found, "-o", "painted.png") == 0
    assert call(*found, "--masks", "masks") == 0
    assert "masks/1.png, masks/2.png, masks/regions.png" in capsys.readouterr().out
    masks = nstlib.regions.segments("content.png", 2)
    for number, mask in enumerate(masks, 1):
        np.testing.assert_allclose(pixels(folder / f"masks/{number}.png")[..., 0] / 255, mask, atol=1 / 255)
    named = {str(number): mask for number, mask in enumerate(masks, 1)}
    np.testing.assert_array_equal(pixels(folder / "masks/regions.png"), nstlib.regions.show("content.png", named))
    styles = [nstlib.Style(name, where=mask) for name, mask in zip(("style.png", "other.jpg"), masks, strict=True)]
    options = {"backbone": "compact", "size": 64, "iterations": 4, "progress": False}
    nstlib.stylize("content.png", styles, **options).save("expected.png")
    np.testing.assert_array_equal(pixels(folder / "painted.png"), pixels(folder / "expected.png"))
    (folder / "line.png").write_bytes((folder / "content.png").read_bytes())
    (folder / "photos").mkdir()
    (folder / "photos/one.png").write_bytes((folder / "content.png").read_bytes())
    many = "photos", *found[1:], "-o", "paintings"
    assert call(*many) == 0
    np.testing.assert_array_equal(pixels(folder / "paintings/one.png"), pixels(folder / "expected.png"))
    assert call(*many) == 0
    assert "done before" in capsys.readouterr().out
    for arguments, message in (
        ((*found, "--masks", "masks"), "masks/1.png exists already"),
        (("content.png", "style.png", "--masks", "new"), "what --regions finds"),
        (("photos", *found[1:], "--masks", "new"), "in one picture"),
        (("photos", "style.png", "--regions", "segment"), "must be one of segments, palette"),
        (("content.png", "style.png", "--regions", "scribbles:line.png", "-o", "line.png", "--force"), "would destroy"),
    ):
        assert call(*arguments) == cli.EXIT_INPUT
        assert message in capsys.readouterr().err


def test_weights_go_by_their_letters_too():
    options = make_parser().parse_args(["a", "b", "--alpha", "2", "--beta", "3", "--gamma", "4"])
    assert (options.content_weight, options.style_weight, options.tv_weight) == (2, 3, 4)


def test_what_is_not_named_is_left_to_presets():
    options = vars(make_parser().parse_args(["a", "b", "--preset", "gatys2016", "--no-unitless", "--size", "original"]))
    assert {name: options[name] for name in options if name in FIELDS} == {"unitless": False, "size": None}


def test_help_shows_examples_that_parse_and_the_exit_status():
    text = make_parser().format_help()
    examples = re.findall(r"^  python -m nstlib (.*?)(?:   .*)?$", text, re.MULTILINE)
    assert len(examples) == 6
    for example in examples:
        make_parser().parse_args(example.split())
    for status in (cli.EXIT_FAILED, cli.EXIT_INPUT, cli.EXIT_DIVERGED, cli.EXIT_INTERRUPTED):
        assert f"\n  {status} " in text


@pytest.mark.parametrize(("called", "name"), [("bin/nstlib", "nstlib"), ("nstlib/__main__.py", "python -m nstlib")])
def test_help_names_the_command_as_it_was_called(called, name, monkeypatch):
    monkeypatch.setattr(sys, "argv", [called])
    assert make_parser().format_help().startswith(f"usage: {name} [options]")


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        call("--version")
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"nstlib {nstlib.__version__}\n"


def test_size_original(folder):
    Image.fromarray(make_picture(40, 70)).save(folder / "odd.png")
    assert call(folder / "odd.png", folder / "style.png", "-o", folder / "a.png", *FAST, "--size", "original") == 0
    assert pixels(folder / "a.png").shape == (40, 70, 3)


def test_a_format_too_small_for_the_picture_is_refused_before_the_work(folder, capsys):
    Image.new("RGB", (8300, 20)).save(folder / "banner.png")
    arguments = [folder / "banner.png", folder / "style.png", "-o", folder / "a.webp", "--upscale", "2"]
    assert call(*arguments, *FAST, "--size", "original", "--levels", "1") == cli.EXIT_INPUT
    assert "16383" in capsys.readouterr().err
    assert not (folder / "a.webp").exists()


# What stands where something is to be written


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("spelling", ["content.png", "./content.png", "link.png", "hard.png", "{folder}/content.png"])
@pytest.mark.parametrize("option", ["--output", "--checkpoint"])
def test_an_input_is_never_overwritten(folder, spelling, option, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    os.symlink("content.png", "link.png")
    os.link("content.png", "hard.png")
    before = contents(folder)
    for inputs in (
        ["content.png", "style.png"],
        ["style.png", "other.jpg", "content.png"],
        ["style.png", "other.jpg", "--init", "content.png"],
        ["style.png", "other.jpg", "--weights", "content.png"],
    ):
        assert call(*inputs, option, spelling.format(folder=folder), "--force", *FAST) == cli.EXIT_INPUT
        assert "content.png, which this run reads" in capsys.readouterr().err
    assert contents(folder) == before


def test_picture_and_checkpoint_are_two_files(folder, capsys):
    arguments = ["-o", folder / "a.png", "--checkpoint", folder / "." / "a.png"]
    assert call(folder / "content.png", folder / "style.png", *arguments, *FAST) == cli.EXIT_INPUT
    assert "which this run reads" in capsys.readouterr().err


def test_results_of_yesterday_are_replaced_on_demand_only(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for name in ("a.png", "state.pt"):
        (folder / name).write_text("yesterday")
    for arguments in (["-o", "a.png"], ["-o", "b.png", "--checkpoint", "state.pt"], ["-o", "~/a.png"]):
        monkeypatch.setenv("HOME", str(folder))
        assert call("content.png", "style.png", *arguments, *FAST) == cli.EXIT_INPUT
        assert "exists already" in capsys.readouterr().err
    assert (folder / "a.png").read_text() == (folder / "state.pt").read_text() == "yesterday"
    arguments = ["-o", "a.png", "--checkpoint", "state.pt", "--checkpoint-every", "0", "--force"]
    assert call("content.png", "style.png", *arguments, *FAST) == 0
    assert pixels("a.png").shape == (51, 64, 3)
    # The same run goes on: its picture is its own.
    assert call("content.png", "style.png", *arguments[:-1], "--resume", *FAST) == 0


def test_without_a_name_nothing_is_overwritten(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for name in ("stylized.png", "stylized-2.png", "stylized-3.png"):
        assert call("content.png", "style.png", *FAST) == 0
        assert capsys.readouterr().out == f"{name}\n"
        assert (folder / name).exists()


# A run that ended well ends well


@pytest.mark.parametrize("name", ["картина.png", os.fsdecode(b"\xff.png")])
def test_a_name_that_cannot_be_printed(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    console = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(console, "ascii"))
    assert call("content.png", "style.png", "-o", name, *FAST) == 0
    assert console.getvalue().decode().strip() == name.encode("ascii", "backslashreplace").decode()
    assert (folder / name).exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize("redirection", ["> /dev/full 2>&1", ">&- 2>&-"])
def test_nobody_listening(folder, redirection):
    call = f"{sys.executable} -m nstlib content.png style.png -o a.png {' '.join(FAST[:-1])} {redirection}"
    done = subprocess.run(
        ["bash", "-c", call],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""},
    )
    assert done.returncode == 0
    assert pixels(folder / "a.png").shape == (51, 64, 3)


def test_nothing_of_the_process_is_changed_for_good(folder, capsys):
    def state():
        return warnings.showwarning, sys.stdout.errors, sys.stderr, sys.stderr.errors, list(warnings.filters)

    before = state()
    assert call(folder / "content.png", folder / "style.png", "-o", folder / "a.png", *FAST) == 0
    assert call(folder / "content.png") == cli.EXIT_INPUT
    assert state() == before


def test_estimate_answers_before_the_work(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    options = "--backbone", "compact", "--size", "256", "--precision", "float32"
    assert call("content.png", "style.png", *options, "--estimate") == 0
    output = capsys.readouterr().out
    assert "this transfer: 256 x 205 pixels, float32, untiled: 0." in output
    assert "pixels on the longer side" in output
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


class Terminal(io.StringIO):
    """What the command prints on, where something happens as soon as a word is read."""

    def __init__(self, word, act):
        super().__init__()
        self.word, self.act = word, act

    def write(self, text):
        if self.act and self.word in text:
            self.act = self.act()
        return super().write(text)


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


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


@pytest.mark.filterwarnings("default:interrupted")
def test_ctrl_c_while_enlarging_saves_the_small_picture(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Upscaler, "forward", lambda *_: ctrl_c())
    arguments = ["-o", "out.png", "--backbone", "compact", "--size", "64", "--iterations", "1", "--upscale", "4"]
    assert call("content.png", "style.png", *arguments) == cli.EXIT_INTERRUPTED
    error = capsys.readouterr().err
    assert "interrupted while enlarging: this is the picture before" in error
    assert "Traceback" not in error
    assert pixels("out.png").shape == (51, 64, 3)
    assert "upscale" not in read_settings("out.png")


def test_ctrl_c_before_there_is_a_picture(folder, capsys):
    class Interrupting(http.server.BaseHTTPRequestHandler):
        """Ctrl-C comes while the photograph is fetched."""

        def do_GET(self):
            ctrl_c()
            time.sleep(0.2)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Interrupting) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            photo = f"http://127.0.0.1:{server.server_port}/photo.png"
            assert call(photo, folder / "style.png", "-o", folder / "out.png", *FAST) == cli.EXIT_INTERRUPTED
        finally:
            server.shutdown()
    assert capsys.readouterr().err == "nstlib: interrupted before there was a picture to save\n"
    assert not (folder / "out.png").exists()


def test_divergence_saves_the_last_good_picture(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert call("content.png", "style.png", "-o", "out.png", *FAST, "--beta", "1e38") == cli.EXIT_DIVERGED
    output, error = capsys.readouterr()
    assert re.fullmatch(
        "nstlib: the (loss became (inf|nan)|gradient is no longer finite): .*the last good one.*\n", error
    )
    assert output == "out.png\n"
    assert pixels("out.png").std() > 0


@contextlib.contextmanager
def files_of_at_most(size):
    """Bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_picture_that_cannot_be_written_is_kept_under_another_name(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for name in ("kept.png", "large.tif"):
        assert call("content.png", "style.png", "-o", name, *FAST) == 0
    small, large = (os.path.getsize(name) for name in ("kept.png", "large.tif"))
    capsys.readouterr()
    with files_of_at_most((small + large) // 2):
        assert call("content.png", "style.png", "-o", "kept.tif", *FAST) == cli.EXIT_FAILED
    output, error = capsys.readouterr()
    assert output == "kept-2.png\n"
    assert re.fullmatch("nstlib: error: could not write kept.tif .*: the picture is kept as kept-2.png\n", error)
    assert np.array_equal(pixels("kept-2.png"), pixels("kept.png"))
    assert not os.path.exists("kept.tif")


def test_a_disk_with_no_room_at_all(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = contents(folder)
    with files_of_at_most(1000):
        assert call("content.png", "style.png", "-o", "out.png", *FAST) == cli.EXIT_FAILED
    output, error = capsys.readouterr()
    assert output == ""
    assert re.fullmatch("nstlib: error: could not write out.png .*, nor keep the picture elsewhere\n", error)
    assert contents(folder) == before


def test_a_disk_too_small_for_the_checkpoint(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    arguments = ["-o", "out.png", *FAST, "--checkpoint", "state.pt", "--checkpoint-every", "0"]
    with files_of_at_most(30_000), warnings.catch_warnings():
        warnings.simplefilter("default")
        assert call("content.png", "style.png", *arguments) == 0
    error = capsys.readouterr().err
    assert re.fullmatch("nstlib: the checkpoint .*state.pt could not be saved .*: trying again every 0 s\n", error)
    assert pixels("out.png").shape == (51, 64, 3)
    assert not os.path.exists("state.pt")


def test_a_folder_that_goes_away(folder, monkeypatch):
    """While it paints, like a disk that is unplugged."""
    disk, temporary = folder / "disk", folder / "tmp"
    disk.mkdir()
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(sys, "stderr", Terminal("iteration", disk.rmdir))
    assert call(folder / "content.png", folder / "style.png", "-o", disk / "out.png", *FAST[:-1]) == cli.EXIT_FAILED
    assert f"the picture is kept as {temporary / 'out.png'}" in sys.stderr.getvalue()
    assert pixels(temporary / "out.png").shape == (51, 64, 3)


def test_killed_and_resumed_is_as_if_nothing_had_been(folder, monkeypatch):
    monkeypatch.chdir(folder)
    options = "--size", "64", "--levels", "2", "--iterations", "20", "--precision", "float32", "--quiet"
    common = "content.png", "style.png", "--backbone", "compact", *options
    assert call(*common, "-o", "whole.png") == 0
    options = (*options, "--checkpoint", "state.pt", "--checkpoint-every", "0", "-o", "part.png")
    process = start(folder, *options)
    wait_for((folder / "state.pt").exists, process)
    process.kill()
    process.wait()
    process.stderr.close()
    assert not (folder / "part.png").exists()
    assert call(*common, *options, "--resume") == 0
    assert np.array_equal(pixels("whole.png"), pixels("part.png"))


def test_style_strength_is_stored_as_the_weights_it_stands_for(tmp_path):
    common = ["sample:chelsea", "sample:swirls", *FAST, "--style-strength", "0.8", "-o"]
    assert cli.main([*common, str(tmp_path / "a.png")]) == 0
    saved = read_settings(tmp_path / "a.png")
    assert (saved["content_weight"], saved["style_weight"]) == pytest.approx((0.4, 32))
    assert cli.main([*common, str(tmp_path / "b.png"), "--beta", "3"]) == cli.EXIT_INPUT


def test_the_studio_opens_in_jupyterlab_or_says_how(monkeypatch, tmp_path, capsys):
    called = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("subprocess.call", lambda command: called.append(command) or 0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["--studio"]) == 2
    assert "pip install jupyterlab" in capsys.readouterr().err
    assert not called
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    for _ in range(2):  # the second time, the notebook is there and stays
        with pytest.raises(SystemExit) as end:
            cli.main(["--studio"])
        assert end.value.code == 0
    assert called[0][1:3] == ["-m", "jupyterlab"]
    notebook = nbformat.read(called[0][3], as_version=4)
    nbformat.validate(notebook)
    names = {}
    exec(notebook.cells[1].source.rpartition("\n")[0], names)
    assert "Studio" in names
    assert [file.name for file in tmp_path.iterdir()] == ["nstlib_studio.ipynb"]
