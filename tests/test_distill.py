"""Training the compact network: crops, student images, a few real steps, the command line."""

import itertools
from random import Random

import numpy as np
import pytest
import tifffile
import torch
from conftest import make_net, make_picture
from PIL import Image
from safetensors.torch import save_file

from nstlib import Diverged, InputError, load_backbone
from nstlib.checkpoints import read_state, write_state
from nstlib.features import ARCHITECTURES, STYLE_LAYERS, Backbone
from nstlib.features.pretrained import metadata
from nstlib.training import distill
from nstlib.training.data import Crops
from nstlib.training.student_images import StudentImages
from nstlib.training.teacher import DISTILLED_WIDTHS, Teacher


@pytest.fixture
def crops(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(make_picture(60, 80, seed)).save(folder / f"{seed}.png")
    return Crops([folder], 32)


def training(crops, **options):
    teacher = Teacher((make_net(), (*STYLE_LAYERS, "relu4_2"), {}))
    return distill.Distillation(teacher, crops, **{"steps": 6, "normalized_share": 0.5, "batch_size": 4, **options})


def test_training_lowers_its_loss(crops):
    first, *_, last = training(crops, steps=40, normalized_share=1)
    assert last.losses["embedding"] < 0.8 * first.losses["embedding"]


def test_resumed_training_is_the_uninterrupted_one(crops, tmp_path):
    whole = [step.losses for step in training(crops)]
    assert ["gradients" in losses for losses in whole] == [False] * 3 + [True] * 3
    for stop in (2, 3, 5):  # before, at and after the folding
        path = tmp_path / f"{stop}.pt"
        list(itertools.islice(training(crops, checkpoint=path, save_every=1), stop))
        assert [step.losses for step in training(crops, checkpoint=path)] == whole[stop:]


def test_exported_weights_are_a_compact_backbone(crops, tmp_path):
    for share in (0.5, 1):  # folded on the way, or only for the export
        run = training(crops, normalized_share=share)
        list(run)
        run.export(tmp_path / "w.safetensors", {"teachers": "a test"})
        net = load_backbone("compact", weights=tmp_path / "w.safetensors")
        assert metadata(tmp_path / "w.safetensors") == {"teachers": "a test"}
        assert set(net.embeddings) == set(run.teacher.layers)


@pytest.mark.parametrize("share", [1, 0])  # before and after the folding
def test_training_runs_on_its_device(crops, share):
    """On a device without values, a step gets as far as reading the first one, and mixes no devices."""
    teacher = Teacher((make_net(), (*STYLE_LAYERS, "relu4_2"), {}))
    run = distill.Distillation(teacher, crops, steps=2, normalized_share=share, batch_size=4, device="meta")
    with pytest.raises(RuntimeError, match=r"called on meta tensors|data-dependent"):
        next(iter(run))
    assert {x.device.type for x in run.student.parameters()} == {"meta"}
    assert {x.device.type for x in teacher.parameters()} == {"cpu"}


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
def test_student_images_go_to_the_device(crops, tmp_path):
    """Resumed there, at a step on student images, it gets as far as moving their gradients back."""
    options = {"steps": 2, "normalized_share": 0, "checkpoint": tmp_path / "state.pt", "save_every": 1}
    next(iter(training(crops, **options)))
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        next(iter(training(crops, **options, device="meta")))


@pytest.mark.parametrize("batch_size", [2, 3, 5, 40])
def test_batch_sizes(crops, batch_size):
    for step in training(crops, steps=3, normalized_share=0.34, batch_size=batch_size):
        assert all(np.isfinite(loss) for loss in step.losses.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, received 0"),
        ({"steps": 1.5}, "steps must be a whole number"),
        ({"batch_size": 1}, "batch_size must be a whole number of at least 2, received 1"),
        ({"batch_size": None}, "batch_size must be a whole number"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0, received 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number above 0"),
        ({"normalized_share": 1.1}, "normalized_share must be a number from 0 to 1"),
        ({"save_every": 0}, "save_every must be a whole number"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"device": "toaster"}, "cannot use device 'toaster'"),
        ({"device": "cuda:99"}, "cannot use device 'cuda:99'"),
        ({"checkpoint": "nowhere/state.pt"}, "the folder .*nowhere does not exist"),
    ],
)
def test_settings_are_checked_before_the_work(crops, options, message):
    with pytest.raises(InputError, match=message):
        training(crops, **options)


def test_numbers_of_crops_and_student_images(crops, tmp_path):
    for size in (0, 32.5, "32", None):
        with pytest.raises(InputError, match="size must be a whole number of at least 1"):
            Crops([tmp_path / "photographs"], size)
    with pytest.raises(InputError, match="n must be a whole number of at least 1, received 0"):
        crops.batch(0, seed=0)
    with pytest.raises(InputError, match="seed must be a whole number"):
        crops.batch(1, seed=None)
    for options in ({"count": 0}, {"lifetime": 0}, {"step_size": -1}, {"style_weights": (0, 1)}):
        with pytest.raises(InputError, match=f"{next(iter(options))} must be a"):
            StudentImages(crops, Random(0), **options)
    with pytest.raises(InputError, match="there are 4 student images, received n = 5"):
        StudentImages(crops, Random(0), count=4).batch(5)


def test_teacher_with_too_little_to_compare(crops):
    with pytest.raises(InputError, match="at least two of"):
        distill.Distillation(Teacher((make_net(), ("relu1_1", "relu1_2"), {})), crops)


def test_divergence_is_reported_and_not_saved(crops, tmp_path):
    run = training(crops, steps=40, normalized_share=1, learning_rate=1e30, checkpoint=tmp_path / "s.pt", save_every=1)
    with pytest.raises(Diverged, match="at step .*: lower learning_rate"):
        list(run)
    weights = [x for x in read_state(tmp_path / "s.pt")["model"].values() if x.is_floating_point()]
    assert all(x.isfinite().all() for x in weights)


def test_checkpoint_of_another_training(crops, tmp_path):
    path = tmp_path / "state.pt"
    for state in ({"step": 3}, {"step": 1, "model": {}}):
        write_state(state, path)
        with pytest.raises(InputError, match="state.pt is not a checkpoint of this training"):
            training(crops, checkpoint=path)
    path.unlink()
    list(training(crops, steps=2, checkpoint=path))
    with pytest.raises(InputError, match="state.pt is not a checkpoint of this training: other crops"):
        training(Crops([tmp_path / "photographs"], 48), checkpoint=path)


def test_export_looks_where_it_writes(crops, tmp_path):
    run = training(crops, steps=1)
    with pytest.raises(InputError, match="the folder .* does not exist"):
        run.export(tmp_path / "none" / "w.safetensors", {})
    (tmp_path / "real").mkdir()
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "real" / "w.safetensors")
    run.export(tmp_path / "link.safetensors", {})
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["w.safetensors"]


def test_student_images_approach_content_and_style_by_their_weights(crops):
    student_images = StudentImages(crops, Random(0), count=4, lifetime=10**9, step_size=0.05, style_weights=(10, 10))
    for _ in range(300):
        images, contents, styles = student_images.batch(2)
        student_images.update({("content", "relu4_2"): images - contents, ("style", "relu1_1"): images - styles})
    # The squared distances are weighted 1 to 10 / 5.
    least = (student_images.contents + 2 * student_images.styles) / 3
    assert (student_images.images - least).abs().mean() < 0.2 * (student_images.contents - least).abs().mean()


def test_student_images_are_replaced_at_the_end_of_their_life(crops):
    student_images = StudentImages(crops, Random(0), count=4, lifetime=1)
    old = student_images.images.clone()
    student_images.batch(3)
    student_images.update({("style", "relu1_1"): torch.zeros(3, *old.shape[1:])})
    same = [torch.equal(a, b) for a, b in zip(old, student_images.images, strict=True)]
    assert sum(same) == 1


def test_crops(crops, tmp_path):
    batch = crops.batch(5, seed=1)
    assert batch.shape == (5, 3, 32, 32)
    assert batch.min() >= 0
    assert batch.max() <= 1
    assert torch.equal(crops.batch(5, seed=1), batch)
    assert not torch.equal(crops.batch(5, seed=2), batch)
    with pytest.raises(InputError, match="no pictures"):
        Crops([tmp_path], 32)
    kept = Crops([tmp_path / "photographs"], 32, keep=lambda path: path.name != "0.png")
    assert len(kept.pictures) == 2
    with pytest.raises(InputError, match="no pictures to train on are left"):
        Crops([tmp_path / "photographs"], 32, keep=lambda path: False)


def test_photographs_are_read_as_pictures_everywhere_else(tmp_path):
    """Turned upright, with all their bits, in sRGB, transparency on white."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    Image.new("RGB", (60, 40), (0, 128, 255)).save(tmp_path / "a.png", exif=exif)
    tifffile.imwrite(tmp_path / "b.tif", np.full((40, 60, 3), 32896, np.uint16), photometric="rgb")
    Image.new("RGBA", (60, 40), (255, 0, 0, 0)).save(tmp_path / "c.png")
    upright, deep, clear = Crops([tmp_path], 32).pictures
    assert upright.shape == (3, 60, 40)
    assert upright[:, 0, 0].tolist() == [0, 128, 255]
    assert (deep == 128).all()
    assert (clear == 255).all()


def test_command_trains_and_exports(tmp_path, crops):
    names = Backbone(ARCHITECTURES["vgg19"], deepest="conv3_1").convs
    state, index = {}, {"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10}
    for name, conv in names.items():
        state[f"features.{index[name]}.weight"] = conv.weight.detach()
        state[f"features.{index[name]}.bias"] = conv.bias.detach()
    save_file(state, tmp_path / "vgg.safetensors")
    encoder = {"conv0.weight": 255 * torch.eye(3)[[2, 1, 0], :, None, None], "conv0.bias": torch.zeros(3)}
    encoder = {key: value.contiguous() for key, value in encoder.items()}
    for name, conv in Backbone(DISTILLED_WIDTHS, deepest="relu5_1").convs.items():
        encoder[f"conv{name[4]}{name[6]}.weight"] = conv.weight.detach() / 10
        encoder[f"conv{name[4]}{name[6]}.bias"] = conv.bias.detach()
    for block, (small, large) in enumerate(((16, 64), (32, 128), (64, 256), (128, 512), (128, 512)), 1):
        encoder[f"conv{block}1_aux.weight"] = torch.randn(large, small, 1, 1)
        encoder[f"conv{block}1_aux.bias"] = torch.zeros(large)
    save_file(encoder, tmp_path / "encoder.safetensors")
    inputs = ["--vgg19", str(tmp_path / "vgg.safetensors"), "--distilled", str(tmp_path / "encoder.safetensors")]
    outputs = ["--checkpoint", str(tmp_path / "state.pt"), "--log", str(tmp_path / "log.csv")]
    short = ["--steps", "4", "--batch-size", "2", "--crop", "32", "-o", str(tmp_path / "out.safetensors")]
    arguments = [str(tmp_path / "photographs"), *inputs, *outputs, *short]
    assert distill.main(arguments) == 0
    assert "Wang et al. 2020" in metadata(tmp_path / "out.safetensors")["teachers"]
    image = torch.rand(1, 3, 32, 32)
    net = load_backbone("compact", weights=tmp_path / "out.safetensors")
    assert torch.isfinite(net(image, ["relu5_1"])["relu5_1"]).all()
