"""Many pictures at one command: names, what is skipped, what may fail, and shares of processes."""

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from test_cli import FAST, call, pixels

from nstlib import __main__ as cli
from nstlib import read_settings
from nstlib.errors import InputError
from nstlib.many import find_contents, name_outputs, recipe_of, share_of_process


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(("photos/a.png", "photos/b.jpg", "photos/c.webp", "style.png", "other.png")):
        Image.fromarray(make_picture(48, 64, seed)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paint(*arguments, style="style.png"):
    return call("photos", style, "-o", "out", *FAST, *arguments)


def test_a_folder_is_painted_picture_by_picture(folder, capsys):
    assert paint() == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.png", "b.jpg", "c.webp"]
    assert capsys.readouterr().out.splitlines() == [
        "1/3 photos/a.png: out/a.png",
        "2/3 photos/b.jpg: out/b.jpg",
        "3/3 photos/c.webp: out/c.webp",
    ]
    assert call("photos/a.png", "style.png", "-o", "alone.png", *FAST) == 0
    assert np.array_equal(pixels("alone.png"), pixels("out/a.png"))
    assert read_settings("out/a.png") == read_settings("alone.png")


def test_what_is_done_with_the_same_settings_is_skipped(folder, capsys):
    assert paint() == 0
    first = (folder / "out/a.png").stat().st_mtime_ns
    (folder / "out/b.jpg").unlink()
    capsys.readouterr()
    assert paint("--iterations", "4") == 0  # the same written twice
    assert capsys.readouterr().out.splitlines()[:2] == [
        "1/3 photos/a.png: done before, out/a.png",
        "2/3 photos/b.jpg: out/b.jpg",
    ]
    assert (folder / "out/a.png").stat().st_mtime_ns == first
    # Another painting, another setting, another photograph: neither skipped nor replaced unless asked for.
    for style, arguments in (("other.png", ()), ("style.png", ("--beta", "3"))):
        assert paint(*arguments, style=style) == cli.EXIT_FAILED
        assert "out/a.png exists already" in capsys.readouterr().err
    assert (folder / "out/a.png").stat().st_mtime_ns == first
    Image.fromarray(make_picture(48, 64, 9)).save("photos/a.png")
    assert paint() == cli.EXIT_FAILED
    assert paint("--force") == 0
    assert (folder / "out/a.png").stat().st_mtime_ns != first


def test_one_bad_file_does_not_stop_the_rest(folder, capsys):
    (folder / "photos/b.jpg").write_text("no picture")
    assert paint() == cli.EXIT_FAILED
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.png", "c.webp"]
    assert "error: 2/3 photos/b.jpg: photos/b.jpg is not a picture" in capsys.readouterr().err


def test_what_all_would_suffer_from_is_said_once(folder, capsys):
    for arguments in (("--style-loss", "magic"), ("--checkpoint", "state.pt")):
        assert paint(*arguments) == cli.EXIT_INPUT
    assert paint(style="nothing.png") == cli.EXIT_INPUT
    assert len(capsys.readouterr().err.splitlines()) == 3
    assert call("photos", "style.png", "-o", "photos", *FAST) == cli.EXIT_INPUT
    assert "would destroy a photograph" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_interruption_ends_it(folder, monkeypatch):
    painted = []

    def interrupted(content, **options):
        painted.append(content)
        return cli.EXIT_INTERRUPTED

    monkeypatch.setattr(cli, "_paint", interrupted)
    assert paint() == cli.EXIT_INTERRUPTED
    assert painted == ["photos/a.png"]


def test_patterns(folder):
    assert [path.name for path in find_contents("photos/*.[jw]*")] == ["b.jpg", "c.webp"]
    assert find_contents("photos/a.png") is find_contents("sample:chelsea") is find_contents("nothing.png") is None
    Image.fromarray(make_picture(48, 64)).save("[1].png")
    assert find_contents("[1].png") is None  # a name is a name first
    with pytest.raises(InputError, match="no picture matches"):
        find_contents("photos/*.gif")


def test_names(folder):
    outputs = name_outputs([folder / "a.heic", folder / "b.JPG"], "out")
    assert [str(path) for path in outputs.values()] == ["out/a.heic.png", "out/b.JPG"]
    with pytest.raises(InputError, match=r"would both become out/a\.png"):
        name_outputs([folder / "x/a.png", folder / "y/a.png"], "out")


def test_processes_share_the_files_out(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in "012":
        monkeypatch.setenv("RANK", rank)
        shares.append(share_of_process([*"abcdefgh"]))
    assert shares == [[*"adg"], [*"beh"], [*"cf"]]


def test_a_process_paints_its_share(folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert paint() == 0
    assert [path.name for path in (folder / "out").iterdir()] == ["b.jpg"]


def test_the_machine_is_no_part_of_a_recipe(folder):
    plain = recipe_of(["style.png"], size=64)
    assert plain == recipe_of(["style.png"], size=64, memory="tiled", device="cpu")
    assert plain == recipe_of(["style.png"], size=64, style_weight=20)
    others = (
        recipe_of(["other.png"], size=64),
        recipe_of(["style.png"], size=65),
        recipe_of([None, "style.png"], size=64),
    )
    assert len({plain, *others, recipe_of(["style.png"], size=64, upscale=2)}) == 5
