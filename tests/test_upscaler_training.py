"""Training an upscaler: a few real steps, the protocol of the field, the command line."""

import itertools

import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image

from nstlib import Diverged, InputError, load_image, samples
from nstlib.checkpoints import read_state, write_state
from nstlib.networks import upscale
from nstlib.training.upscale import UpscalerTraining, evaluate, main, shrink


def trained(scale=2):
    """A small model whose last layer is not zero."""
    torch.manual_seed(0)
    model = upscale.Upscaler(scale, width=8, depth=2)
    torch.nn.init.normal_(model.last.weight, std=0.1)
    return model.eval()


def test_shrinking_is_bicubic_with_antialiasing():
    small = shrink(load_image(make_picture(60, 81)), 4)
    expected = Image.fromarray(make_picture(60, 81)[:60, :80]).resize((20, 15), Image.BICUBIC)
    np.testing.assert_allclose(small[0].permute(1, 2, 0) * 255, np.asarray(expected, float), atol=1.01)


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed in range(3):
        Image.fromarray(make_picture(130, 140, seed)).save(pictures / f"{seed}.png")
    (pictures / "notes.txt").write_text("no picture")
    return pictures


def test_training_lowers_the_loss_and_resumes(folder, tmp_path):
    def training(**options):
        return UpscalerTraining([folder], 2, steps=30, batch_size=2, crop=16, learning_rate=5e-3, **options)

    whole = [step.losses for step in training()]
    errors = [losses["absolute_error"] for losses in whole]
    assert np.mean(errors[-5:]) < np.mean(errors[:5])
    path = tmp_path / "state.pt"
    list(itertools.islice(training(checkpoint=path, save_every=10), 12))  # the last checkpoint is that of step 10
    assert [step.losses for step in training(checkpoint=path)] == whole[10:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 5}, "unknown scale 5; choose from 2, 3, 4"),
        ({"steps": 0}, "steps must be a whole number of at least 1, received 0"),
        ({"batch_size": -1}, "batch_size must be a whole number"),
        ({"crop": 0}, "crop must be a whole number"),
        ({"crop": float("inf")}, "crop must be a whole number"),
        ({"learning_rate": -1e-3}, "learning_rate must be a number above 0"),
        ({"learning_rate": "fast"}, "learning_rate must be a number above 0"),
        ({"save_every": 0}, "save_every must be a whole number"),
        ({"seed": None}, "seed must be a whole number of at least 0"),
        ({"device": "toaster"}, "cannot use device 'toaster'"),
        ({"checkpoint": "nowhere/state.pt"}, "the folder .*nowhere does not exist"),
    ],
)
def test_settings_are_checked_before_the_work(folder, options, message):
    with pytest.raises(InputError, match=message):
        UpscalerTraining([folder], **{"scale": 2, "crop": 16, **options})


def test_pictures_that_are_all_too_small(tmp_path):
    Image.fromarray(make_picture(60, 90)).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="no pictures of at least 80 pixels a side"):
        UpscalerTraining([tmp_path], 2)


def test_divergence_is_reported_and_not_saved(folder, tmp_path):
    path = tmp_path / "s.pt"
    run = UpscalerTraining(
        [folder], 2, crop=16, batch_size=2, steps=40, learning_rate=1e30, checkpoint=path, save_every=1
    )
    with pytest.raises(Diverged, match="at step .*: lower learning_rate"):
        list(run)
    assert all(x.isfinite().all() for x in read_state(path)["model"].values())


def test_checkpoint_of_another_training(folder, tmp_path):
    path = tmp_path / "state.pt"
    list(UpscalerTraining([folder], 2, crop=16, batch_size=2, steps=1, checkpoint=path))
    with pytest.raises(InputError, match="state.pt is not a checkpoint of this training: Error"):
        UpscalerTraining([folder], 3, crop=16, checkpoint=path)
    write_state({"step": 1}, path)
    with pytest.raises(InputError, match="state.pt is not a checkpoint of this training: 'model'"):
        UpscalerTraining([folder], 2, crop=16, checkpoint=path)


def test_measuring_what_cannot_be_measured():
    image, model = torch.rand(1, 3, 20, 30), trained()
    with pytest.raises(InputError, match="cannot shrink 30 x 20 pixels 21 times"):
        shrink(image, 21)
    with pytest.raises(InputError, match="no pictures to evaluate on"):
        evaluate(model, [])


def test_command_looks_where_it_writes(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for option in ("-o", "--log", "--checkpoint"):
        with pytest.raises(InputError, match="the folder .* does not exist"):
            main([str(folder), "--steps", "1", option, "none/x.safetensors"])
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_command_trains_and_exports(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([str(folder), "--scale", "3", "--steps", "2", "-o", "x3.safetensors"]) == 0
    model = upscale.load_upscaler(weights="x3.safetensors")
    assert model.scale == 3
    assert upscale.upscale(make_picture(20, 30), model=model).size == (90, 60)


@pytest.mark.parametrize(("scale", "gain"), [(2, 0.8), (3, 0.6), (4, 0.5)])
def test_shipped_upscalers_beat_bicubic_on_photographs_not_trained_on(scale, gain):
    pictures = [samples.content(name) for name in samples.CONTENTS]
    ours, bicubic = evaluate(upscale.load_upscaler(scale), pictures)
    assert ours > bicubic + gain
