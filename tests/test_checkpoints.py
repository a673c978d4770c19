"""Checkpoints: the same picture after a resumption, never a worse file than before, nothing of other work."""

import errno
import itertools

import numpy as np
import pytest
import torch
from conftest import make_net, make_picture

from nstlib import Diverged, InputError, StyleTransfer, load_backbone
from nstlib.checkpoints import read_state, write_state

CONTENT, STYLE = make_picture(64, 80, seed=1), make_picture(64, 80, seed=2)
FAST = {"size": 96, "levels": 2, "iterations": 12, "memory": "full"}


def transfer_of(content=CONTENT, style=STYLE, **options):
    return StyleTransfer(content, style, **{"backbone": make_net(), **FAST, **options})


def stopped_at(iteration, **options):
    transfer = transfer_of(**options)
    list(itertools.islice(transfer, iteration))
    return transfer


@pytest.mark.parametrize("optimizer", ["Adam", "LBFGS", "SGD"])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_resumed_run_gives_the_same_picture(tmp_path, optimizer, precision):
    options = {"optimizer": optimizer, "precision": precision, "style_weight": 1e4}
    whole = stopped_at(12, **options)
    for stop in (3, whole.counts[0], whole.counts[0] + 2):  # within a level, at its end, in the next
        stopped_at(stop, **options).save_checkpoint(tmp_path / "state.pt")
        rest = transfer_of(**options)
        rest.load_checkpoint(tmp_path / "state.pt")
        assert len(list(rest)) == 12 - stop
        assert torch.equal(rest.image, whole.image)
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_a_checkpoint_keeps_its_precision_on_a_machine_that_prefers_another(tmp_path, monkeypatch):
    whole = stopped_at(12)
    stopped_at(3).save_checkpoint(tmp_path / "state.pt")
    monkeypatch.setattr("nstlib.transfer.network.choose_precision", lambda device: "bfloat16")
    rest = transfer_of()
    assert rest.precision == "bfloat16"
    rest.load_checkpoint(tmp_path / "state.pt")
    assert rest.precision == rest.as_dict()["precision"] == "float32"
    list(rest)
    assert torch.equal(rest.image, whole.image)


def test_a_checkpoint_of_an_earlier_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("nstlib.transfer.transfer.STATES", 1)
    stopped_at(2).save_checkpoint(tmp_path / "state.pt")
    monkeypatch.undo()
    with pytest.raises(InputError, match="an earlier nstlib"):
        transfer_of().load_checkpoint(tmp_path / "state.pt")


def test_resumed_in_a_precision_of_its_own_a_transfer_takes_that(tmp_path):
    stopped_at(3).save_checkpoint(tmp_path / "state.pt")
    rest = transfer_of(precision="bfloat16")
    rest.load_checkpoint(tmp_path / "state.pt")
    assert rest.precision == "bfloat16"
    assert len(list(rest)) == 9


def test_a_finished_transfer_can_go_back_to_an_earlier_size(tmp_path):
    transfer = stopped_at(1)
    transfer.save_checkpoint(tmp_path / "first.pt")
    list(transfer)
    end = transfer.image
    transfer.load_checkpoint(tmp_path / "first.pt")
    assert transfer.iteration == 1
    list(transfer)
    assert torch.equal(transfer.image, end)


def test_a_diverged_transfer_leaves_a_good_checkpoint(tmp_path):
    transfer = stopped_at(4)
    transfer.settings.style_weight = 1e45
    with pytest.raises(Diverged):
        next(transfer)
    transfer.save_checkpoint(tmp_path / "state.pt")
    resumed = transfer_of()
    resumed.load_checkpoint(tmp_path / "state.pt")
    assert torch.equal(resumed.image, transfer.image)
    assert resumed.image.std() > 0
    assert all(np.isfinite(step.losses["total"]) for step in resumed)


@pytest.mark.parametrize("kind", ["canvas", "average"])
def test_a_checkpoint_that_is_not_finite_is_refused(tmp_path, kind):
    stopped_at(2).save_checkpoint(tmp_path / "state.pt")
    state = read_state(tmp_path / "state.pt")
    state[kind]["pixels"][0, 1, 2, 3] = torch.nan
    write_state(state, tmp_path / "state.pt")
    with pytest.raises(InputError, match="holds a picture that is not finite"):
        transfer_of().load_checkpoint(tmp_path / "state.pt")


def test_resumed_with_another_weight_the_curvature_of_the_old_loss_is_gone(tmp_path):
    """As if the weight had been moved without any interruption."""
    moved, saved = stopped_at(5), stopped_at(5)
    saved.save_checkpoint(tmp_path / "state.pt")
    resumed = transfer_of(style_weight=2000)
    resumed.load_checkpoint(tmp_path / "state.pt")
    moved.settings.style_weight = 2000
    for transfer in (moved, resumed):
        list(transfer)
    assert torch.equal(moved.image, resumed.image)


OTHERS = {
    "pictures": {"content": STYLE},
    "a style": {"style": CONTENT},
    "a transparent content": {"content": np.dstack([CONTENT, CONTENT[..., 0]])},
    "a network given": {"backbone": make_net(pooling="average")},
    "a network by name": {"backbone": "compact"},
    "a size": {"size": 97},
    "levels": {"levels": 1},
    "a start": {"init": "noise"},
    "a start given": {"init": STYLE},
    "a style loss": {"style_loss": "mean_std"},
    "colours": {"color": "histogram_after"},
    "strength of colours": {"color_strength": 0.5},
    "a scale": {"brush": 0.7},
    "layers": {"style_layers": ["relu1_1"]},
}


@pytest.mark.parametrize("what", OTHERS)
def test_checkpoints_of_other_work_are_refused(tmp_path, what):
    stopped_at(1).save_checkpoint(tmp_path / "state.pt")
    with pytest.raises(InputError, match="other pictures or settings, of another network"):
        transfer_of(**OTHERS[what]).load_checkpoint(tmp_path / "state.pt")


def test_what_may_change_in_between(tmp_path):
    stopped_at(3, brush=1).save_checkpoint(tmp_path / "state.pt")
    changes = {"memory": "tiled", "device": "cpu", "optimizer": "Adam", "learning_rate": 0.01, "brush": 1.0}
    resumed = transfer_of(**changes)
    resumed.load_checkpoint(tmp_path / "state.pt")
    assert len(list(resumed)) == 9


def test_weights_files_are_told_apart(tmp_path):
    """By what is in them, not by their names."""
    from safetensors.torch import save_file

    net = load_backbone("compact")
    state = {**net.convs.state_dict(), **{f"{k}.map": v[:, :, 0, 0] for k, v in net.embeddings.items()}}
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "same.safetensors")
    state["conv1_1.weight"] = state["conv1_1.weight"] * 1.1
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "other.safetensors")
    stopped_at(1, backbone="compact").save_checkpoint(tmp_path / "state.pt")
    transfer_of(backbone="compact", weights=tmp_path / "same.safetensors").load_checkpoint(tmp_path / "state.pt")
    with pytest.raises(InputError, match="another network"):
        transfer_of(backbone="compact", weights=tmp_path / "other.safetensors").load_checkpoint(tmp_path / "state.pt")


@pytest.mark.parametrize("rubbish", [b"rubbish", b"", b"PK\x03\x04 rubbish", None])
def test_rubbish_is_refused(tmp_path, rubbish):
    path = tmp_path / "state.pt"
    if rubbish is not None:
        path.write_bytes(rubbish)
    with pytest.raises(InputError, match="is not a checkpoint"):
        transfer_of().load_checkpoint(path)


def test_other_states_are_refused(tmp_path):
    torch.save([1, 2], tmp_path / "state.pt")
    with pytest.raises(InputError, match="other pictures or settings"):
        transfer_of().load_checkpoint(tmp_path / "state.pt")


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter")]
)
def test_a_full_disk_leaves_the_checkpoint_of_before(tmp_path, monkeypatch, error):
    path = tmp_path / "state.pt"
    transfer = stopped_at(2)
    transfer.save_checkpoint(path)
    before = path.read_bytes()

    def full(state, part):
        part.write_bytes(b"half of it")
        raise error

    next(transfer)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space|cannot write"):
            transfer.save_checkpoint(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    transfer.save_checkpoint(path)
    assert path.read_bytes() != before
