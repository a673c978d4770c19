"""Files written whole or not at all, to places looked at beforehand."""

import os

import pytest

from nstlib import InputError
from nstlib.files import check_destination, shortened, written_whole


def test_destination_leaves_nothing_behind(tmp_path):
    assert check_destination(tmp_path / "new.png") == tmp_path / "new.png"
    assert not list(tmp_path.iterdir())
    (tmp_path / "old.png").write_text("yesterday")
    check_destination(str(tmp_path / "old.png"))
    assert (tmp_path / "old.png").read_text() == "yesterday"


def test_home_folder_and_links(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert check_destination("~/x.png") == tmp_path / "x.png"
    (tmp_path / "disk").mkdir()
    (tmp_path / "latest.png").symlink_to("disk/real.png")
    assert check_destination(tmp_path / "latest.png") == tmp_path / "disk" / "real.png"


def test_places_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for path, message in [
        (tmp_path, "is a folder; name a file in it"), (tmp_path / "none" / "p.png", "the folder .* does not exist"),
        (tmp_path / "file" / "p.png", "does not exist"), (tmp_path / ("y" * 252 + ".png"), "File name too long"),
        ("a\0b", "null"), ("~nobody-of-that-name/p.png", "home directory|does not exist"),
        (tmp_path / "loop", "symbolic links"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=rf"cannot write .*{message}") as caught:
            check_destination(path)
        assert len(str(caught.value)) < 400


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the rights of files bind everyone but root"
)
def test_read_only_folders_and_files(tmp_path):
    (tmp_path / "p.png").touch(0o400)
    with pytest.raises(InputError, match="Permission denied"):
        check_destination(tmp_path / "p.png")
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        check_destination(tmp_path / "q.png")
    tmp_path.chmod(0o700)


def test_longest_name_that_is_allowed(tmp_path):
    path = check_destination(tmp_path / ("y" * 251 + ".png"))
    with written_whole(path) as part:
        part.write_text("done")
    assert path.read_text() == "done"


def interrupted(path):
    with written_whole(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert path.read_text() == "old"
    with written_whole(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_shortened():
    assert shortened("x" * 100) == "x" * 100
    assert len(shortened("x" * 1000)) == 100
