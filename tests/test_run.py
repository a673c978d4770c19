"""A run to its end, and all the ways in which it ends early."""

import errno
import os
import time

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image

from nstlib import InputError, StyleTransfer, samples, stylize
from nstlib.networks.upscale import load_upscaler, upscale
from nstlib.transfer.run import despite_interruption, run

CONTENT, STYLE = make_picture(48, 64), make_picture(48, 48, 1)
FAST = {"size": 64, "iterations": 6, "levels": 1, "backbone": "compact"}


class Ended(StyleTransfer):
    """A transfer in which something happens before the iteration ``at``."""

    def __init__(self, error, at=3, **options):
        super().__init__(CONTENT, STYLE, **{**FAST, **options})
        self.error, self.at = error, at

    def __next__(self):
        if self.iteration + 1 == self.at:
            raise self.error
        return super().__next__()


class DiskFull(StyleTransfer):
    """A transfer whose first ``failures`` checkpoints find no room."""

    def __init__(self, failures):
        super().__init__(CONTENT, STYLE, **FAST)
        self.failures = failures

    def save_checkpoint(self, path):
        self.failures -= 1
        if self.failures >= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().save_checkpoint(path)


class Upscaler(torch.nn.Module):
    """An upscaler with which something happens."""

    scale, halo = 2, 1

    def __init__(self, error):
        super().__init__()
        self.error, self.weight = error, torch.nn.Parameter(torch.zeros(1))

    def forward(self, image):
        raise self.error


@pytest.fixture(scope="module")
def finished():
    transfer = StyleTransfer(CONTENT, STYLE, **FAST)
    return run(transfer, progress=False)


def test_a_finished_run(finished):
    assert (finished.end, finished.scale, finished.alpha) == ("finished", 1, None)
    assert finished.image.shape == (1, 3, 48, 64)


def test_a_finished_picture_is_enlarged_with_its_transparency():
    content = np.dstack([CONTENT, CONTENT[..., :1]])
    painted = run(StyleTransfer(content, STYLE, **FAST), upscaler=load_upscaler(3), progress=False)
    assert (painted.end, painted.scale) == ("finished", 3)
    assert (painted.image.shape, painted.alpha.shape) == ((1, 3, 144, 192), (1, 1, 144, 192))


@pytest.mark.parametrize(
    ("error", "end", "message"),
    [
        (KeyboardInterrupt(), "interrupted", "interrupted at iteration 2 of 6: this is the picture so far"),
        (MemoryError(), "failed", r"out of memory \(MemoryError\) at iteration 2 of 6: this is the picture so far"),
        (
            torch.OutOfMemoryError("CUDA out of memory\nand a page of advice"),
            "failed",
            r"out of memory \(CUDA out of memory\) at iteration 2 of 6",
        ),
    ],
)
def test_the_picture_so_far_is_kept(error, end, message, tmp_path):
    transfer = Ended(error)
    with pytest.warns(UserWarning, match=message):
        painted = run(transfer, progress=False, checkpoint=tmp_path / "state.pt", upscaler=load_upscaler(2))
    assert (painted.end, painted.scale) == (end, 1)
    two = StyleTransfer(CONTENT, STYLE, **FAST)
    next(two), next(two)
    assert torch.equal(painted.image, two.image)
    two.load_checkpoint(tmp_path / "state.pt")
    assert two.iteration == 2


@pytest.mark.parametrize(("error", "at"), [(KeyboardInterrupt(), 1), (MemoryError(), 1), (ZeroDivisionError(), 3)])
def test_where_there_is_no_picture_or_a_mistake_nothing_is_hidden(error, at):
    with pytest.raises(type(error)):
        run(Ended(error, at), progress=False)


def test_a_mistake_on_the_way_costs_no_more_than_the_last_iteration(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(Ended(ZeroDivisionError()), progress=False, checkpoint=tmp_path / "state.pt")
    again = run(StyleTransfer(CONTENT, STYLE, **FAST), progress=False, checkpoint=tmp_path / "state.pt", resume=True)
    assert again.end == "finished"


def test_divergence_is_told_apart():
    transfer = StyleTransfer(CONTENT, STYLE, **FAST)
    next(transfer)
    transfer.settings.style_weight = 1e38
    with pytest.warns(UserWarning, match="the last good one"):
        painted = run(transfer, progress=False, upscaler=load_upscaler(2))
    assert (painted.end, painted.scale) == ("diverged", 1)
    assert painted.image.isfinite().all()


@pytest.mark.parametrize(
    ("error", "end", "message"),
    [
        (KeyboardInterrupt(), "interrupted", "interrupted while enlarging: this is the picture before"),
        (MemoryError(), "failed", r"could not be enlarged \(MemoryError\): this is the one before"),
        (RuntimeError("CUDA error\nand so on"), "failed", r"could not be enlarged \(CUDA error\): this"),
    ],
)
def test_what_happens_while_enlarging_leaves_the_picture(error, end, message, finished):
    with pytest.warns(UserWarning, match=message):
        painted = run(StyleTransfer(CONTENT, STYLE, **FAST), upscaler=Upscaler(error), progress=False)
    assert (painted.end, painted.scale) == (end, 1)
    assert torch.equal(painted.image, finished.image)


def test_a_full_disk_is_warned_of_once_and_tried_again(tmp_path, finished):
    transfer = DiskFull(failures=3)
    with pytest.warns(UserWarning) as caught:
        painted = run(transfer, progress=False, checkpoint=tmp_path / "state.pt", checkpoint_every=0)
    assert [str(warning.message) for warning in caught] == [
        f"the checkpoint {tmp_path / 'state.pt'} could not be saved ([Errno 28] No space left on device): "
        "trying again every 0 s"
    ]
    assert torch.equal(painted.image, finished.image)
    assert (tmp_path / "state.pt").exists()


def test_a_full_disk_at_an_interruption_costs_the_state_alone(tmp_path):
    class Both(DiskFull, Ended):
        def __init__(self):
            Ended.__init__(self, KeyboardInterrupt())
            self.failures = 100

    with pytest.warns(UserWarning) as caught:
        painted = run(Both(), progress=False, checkpoint=tmp_path / "state.pt")
    assert "No space left on device): the state is lost" in str(caught[0].message)
    assert "interrupted at iteration 2" in str(caught[1].message)
    assert painted.end == "interrupted"


def test_checkpoints_come_as_often_as_asked(tmp_path):
    class Counting(StyleTransfer):
        saved = ()

        def __next__(self):
            step = super().__next__()
            time.sleep(0.05)
            return step

        def save_checkpoint(self, path):
            self.saved += (self.iteration,)

    for every, expected in ((0, (1, 2, 3, 4, 5, 6)), (1000, ())):
        transfer = Counting(CONTENT, STYLE, **FAST)
        run(transfer, progress=False, checkpoint=tmp_path / "state.pt", checkpoint_every=every)
        assert transfer.saved == expected


@pytest.mark.parametrize(("interruptions", "expected"), [(0, ("done", False)), (1, ("done", True)), (2, None)])
def test_one_interruption_does_not_cut_short_what_must_be_done(interruptions, expected):
    waiting = [KeyboardInterrupt] * interruptions

    def action():
        if waiting:
            raise waiting.pop()
        return "done"

    if expected is None:
        with pytest.raises(KeyboardInterrupt):
            despite_interruption(action)
    else:
        assert despite_interruption(action) == expected


def paint(**options):
    return stylize(CONTENT, STYLE, progress=False, **{**FAST, **options})


def begin(**options):
    return run(StyleTransfer(CONTENT, STYLE, **FAST), progress=False, **options)


@pytest.mark.parametrize("entrance", [paint, begin])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint": "none/here/state.pt"}, "the folder .*none/here does not exist"),
        ({"checkpoint": "."}, "it is a folder"),
        ({"checkpoint": "y" * 300 + ".pt"}, "File name too long"),
        ({"checkpoint": "~/none/state.pt"}, "the folder /.*none does not exist"),
        ({"resume": True}, "to resume, name the checkpoint"),
        ({"checkpoint": "state.pt", "checkpoint_every": float("nan")}, "in seconds, must be a number of at least 0"),
        ({"checkpoint": "state.pt", "checkpoint_every": -1}, "in seconds, must be a number of at least 0"),
        ({"checkpoint": "state.pt", "checkpoint_every": "often"}, "in seconds, must be a number of at least 0"),
    ],
)
def test_a_checkpoint_that_cannot_be_is_refused_before_the_work(entrance, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        entrance(**options)
    assert list(tmp_path.iterdir()) == []


def test_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    paint(checkpoint="~/state.pt", checkpoint_every=0)
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_checkpoint_never_takes_the_place_of_an_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    samples.content().save("photo.png")
    os.symlink("photo.png", "link.png")
    os.link("photo.png", "hard.png")
    whole = (tmp_path / "photo.png").read_bytes()
    for spelling in ("photo.png", "./photo.png", tmp_path / "photo.png", "link.png", "hard.png"):
        for content, style, more in (
            ("photo.png", STYLE, {}),
            (CONTENT, [STYLE, "photo.png"], {}),
            (CONTENT, STYLE, {"init": "photo.png"}),
            (CONTENT, STYLE, {"weights": "photo.png"}),
        ):
            with pytest.raises(InputError, match="would destroy .*photo.png"):
                stylize(content, style, checkpoint=spelling, checkpoint_every=0, progress=False, **{**FAST, **more})
    assert (tmp_path / "photo.png").read_bytes() == whole


def test_an_existing_checkpoint_is_worth_more_than_no_iteration(tmp_path):
    path = tmp_path / "state.pt"
    transfer = StyleTransfer(CONTENT, STYLE, **FAST)
    next(transfer)
    transfer.save_checkpoint(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="at once"):
        run(Ended(ValueError("at once"), at=1), progress=False, checkpoint=path)
    assert path.read_bytes() == before


def test_enlarged_with_transparency_as_upscale_does():
    content = np.dstack([np.full_like(CONTENT, 230), np.zeros(CONTENT.shape[:2], np.uint8)])
    content[12:36, 16:48, 3] = 255
    content[content[..., 3] == 0] = 0  # hidden black
    options = {
        **FAST,
        "iterations": 1,
        "style_weight": 0,
        "learning_rate": 1e-9,
        "optimizer": "Adam",
        "progress": False,
    }
    large = np.asarray(stylize(content, STYLE, upscale=2, **options))
    assert np.array_equal(large, np.asarray(upscale(stylize(content, STYLE, **options), 2)))
    seen = large[..., 3] > 128
    np.testing.assert_allclose(large[seen][:, :3].astype(int), 230, atol=2)


@pytest.mark.parametrize("spell", [lambda p: p.as_uri(), lambda p: f'"{p}"', lambda p: f" {p} ", str])
def test_an_input_is_no_checkpoint_however_it_is_spelled(tmp_path, spell):
    path = tmp_path / "c.png"
    Image.fromarray(CONTENT).save(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="would destroy"):
        stylize(spell(path), STYLE, checkpoint=path, checkpoint_every=0, **FAST)
    assert path.read_bytes() == before


def test_seconds_are_a_number_of_any_kind(tmp_path):
    options = {**FAST, "iterations": 1, "progress": False, "checkpoint": tmp_path / "state.pt"}
    stylize(CONTENT, STYLE, checkpoint_every=np.float32(1), **options)
    with pytest.raises(InputError, match="in seconds, must be a number of at least 0"):
        stylize(CONTENT, STYLE, checkpoint_every=-1, **options)
