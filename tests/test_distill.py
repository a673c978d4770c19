"""Training the compact network: crops, student images, a few real steps, the command line."""

import itertools
from random import Random

import numpy as np
import pytest
import tifffile
import torch
from conftest import make_picture
from PIL import Image
from safetensors.torch import save_file

from nstlib import Diverged, InputError, load_backbone
from nstlib.checkpoints import read_state, write_state
from nstlib.features import ARCHITECTURES, Backbone
from nstlib.features.backbone import STYLE_LAYERS, layer_names
from nstlib.features.pretrained import metadata
from nstlib.training import distill
from nstlib.training.data import Crops
from nstlib.training.student_images import StudentImages

#: Few channels, so that a training takes seconds; the student's are those of "compact" in these tests.
TEACHER = ((4, 6), (8, 8), (10,) * 4, (14,) * 4, (16,))
STUDENT = ((3, 4), (5, 5), (6,) * 4, (8,) * 4, (10,))


@pytest.fixture(autouse=True)
def small_student(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "compact", STUDENT)


@pytest.fixture
def crops(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(3):
        Image.fromarray(make_picture(60, 80, seed)).save(folder / f"{seed}.png")
    return Crops([folder], 32)


def training(crops, **options):
    backbone = Backbone.random(TEACHER, deepest="relu5_1", padding="replicate")
    options = {"steps": 6, "batch_size": 4, "scales": (1, 1.5), "examples": 8, **options}
    return distill.Distillation(backbone, crops, **options)


def test_training_lowers_the_losses_of_features(crops):
    run, images = training(crops, steps=60, learning_rate=5e-3), crops.batch(24, seed=9)
    before = run._feature_losses(images)
    list(run)
    after = run._feature_losses(images)
    assert after["embedding"] < 0.85 * before["embedding"]
    assert after["moments"] < 0.85 * before["moments"]


def gradient_loss(run, images):
    """Always with the same random layer."""
    run.state.rng.seed(5)
    return run._gradient_loss(images[:2], images[2:], images[2:])[0]


def test_gradient_loss_falls_when_it_is_minimised(crops):
    run, images = training(crops), crops.batch(4, seed=9)
    optimizer = torch.optim.Adam(run.student.parameters(), lr=1e-3)
    first = gradient_loss(run, images).item()
    for _ in range(40):
        optimizer.zero_grad()
        gradient_loss(run, images).backward()
        optimizer.step()
    assert gradient_loss(run, images) < 0.9 * first


def test_slope_of_the_gradient_loss_by_finite_differences(crops):
    """Also where the weights act by the targets, which are the student's own features."""
    run, images = training(crops), crops.batch(4, seed=9).double()
    run.student.double(), run.teacher.double()
    gradient_loss(run, images).backward()
    for layer in ("conv1_1", "conv3_1", "conv4_1"):
        weight, tiny = run.student.backbone.convs[layer].weight, 1e-8  # so small that no rectifier changes its side
        direction, values = torch.randn_like(weight), []
        for step in (tiny, -2 * tiny):
            weight.data += step * direction
            values.append(gradient_loss(run, images).item())
        slope = (values[0] - values[1]) / (2 * tiny)
        weight.data += tiny * direction
        assert slope == pytest.approx((weight.grad * direction).sum().item(), rel=1e-3, abs=1e-3)


def test_feature_losses_by_their_definitions(crops):
    """Of maps that are wider than 64 features, only every second one is looked at for the embedding."""
    run = training(crops)
    images = crops.batch(2, seed=3, size=128)
    goals, features = run.teacher(images), run.student.backbone(images, run.teacher.layers)
    embedding = moments = 0
    for layer, goal in goals.items():
        own = torch.einsum("oc,nchw->nohw", run.student.embeddings[layer].weight[:, :, 0, 0], features[layer])
        step = 2 if goal.shape[-1] == 128 else 1
        some, wanted = own[..., ::step, ::step], goal[..., ::step, ::step]
        embedding = embedding + ((some - wanted) ** 2).sum() / (wanted**2).sum()
        if layer in STYLE_LAYERS:
            gram, target = (torch.einsum("nchw,ndhw->ncd", x, x) for x in (own, goal))
            moments = moments + ((gram - target).norm(dim=(1, 2)) / target.norm(dim=(1, 2))).mean()
    losses = run._feature_losses(images)
    torch.testing.assert_close(losses["embedding"], embedding)
    torch.testing.assert_close(losses["moments"], moments, rtol=1e-3, atol=0)


def test_student_as_wide_as_its_teacher_has_nothing_to_learn(crops, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "compact", TEACHER)
    for step in training(crops, steps=4, examples=64, learning_rate=1e-9):
        assert step.losses["embedding"] < 0.05
        assert step.losses["moments"] < 0.1
        assert step.losses["gradients"] < 0.2


def test_three_of_four_steps_are_on_student_images_of_every_scale_in_turn(crops):
    run, moved = training(crops, steps=10, scales=(1, 1.5, 2)), []
    before = [pool.images.clone() for pool in run.student_images]
    for _ in run:
        moved.append([not torch.equal(x, pool.images) for x, pool in zip(before, run.student_images, strict=True)])
        before = [pool.images.clone() for pool in run.student_images]
    turn = [[True, False, False], [False, True, False], [False, False, True]]
    crop = [False] * 3
    assert moved == [crop, *turn, crop, *turn, crop, turn[0]]
    assert [pool.size for pool in run.student_images] == [32, 48, 64]
    assert [len(pool.images) for pool in run.student_images] == [24, 12, 6]


def test_resumed_training_is_the_uninterrupted_one(crops, tmp_path):
    losses = []
    for stop in (1, 2, 5, 6):
        run = training(crops, checkpoint=tmp_path / "state.pt", save_every=1)
        losses += [step.losses for step in itertools.islice(run, stop - len(losses))]
    assert losses == [step.losses for step in training(crops)]


def test_exported_weights_are_a_compact_backbone(crops, tmp_path):
    run = training(crops)
    list(run)
    run.export(tmp_path / "w.safetensors", {"teacher": "a test"})
    net = load_backbone("compact", weights=tmp_path / "w.safetensors")
    assert metadata(tmp_path / "w.safetensors") == {"teacher": "a test"}
    assert set(net.embeddings) == set(run.teacher.layers)
    image, average = crops.batch(1, seed=5), run.state.average.module
    goals = average.backbone(image, net.layers)
    torch.testing.assert_close(net(image, ["conv5_1"])["conv5_1"], goals["conv5_1"], rtol=0.02, atol=0.02)


@pytest.mark.parametrize("batch_size", [2, 3, 9])
def test_batch_sizes(crops, batch_size):
    for step in training(crops, steps=3, batch_size=batch_size):
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
        ({"examples": 0}, "examples must be a whole number"),
        ({"scales": (1, 0)}, "scales must be a number above 0, received 0"),
        ({"scales": ()}, "scales must hold at least one size"),
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
    for options in ({"count": 0}, {"lifetime": 0}, {"learning_rate": -1}, {"style_weights": (0, 1)}):
        with pytest.raises(InputError, match=f"{next(iter(options))} must be a"):
            StudentImages(crops, Random(0), 32, **options)
    with pytest.raises(InputError, match="there are 4 student images, received n = 5"):
        StudentImages(crops, Random(0), 32, count=4).batch(5)


def test_teacher_with_too_little_to_compare(crops):
    with pytest.raises(InputError, match="it lacks relu4_4, relu5_1"):
        distill.Distillation(Backbone.random(TEACHER, deepest="relu4_2"), crops)


def test_divergence_is_reported_and_not_saved(crops, tmp_path):
    run = training(crops, steps=40, learning_rate=1e30, checkpoint=tmp_path / "s.pt", save_every=1)
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


def test_student_images_move_as_with_adam(crops):
    pictures = StudentImages(crops, Random(0), 16, count=2, lifetime=10**9, style_weights=(10, 10))
    reference = pictures.images[0].clone().requires_grad_()
    adam = torch.optim.Adam([reference], lr=pictures.rates[0].item(), betas=(0.9, 0.99), eps=1e-12)
    for _ in range(20):
        images, contents, styles = pictures.batch(2)
        row = pictures._chosen.index(0)
        adam.zero_grad()
        reference.grad = (images[row] - contents[row]) + 10 * (images[row] - styles[row])
        adam.step()
        reference.data.clamp_(0, 1)
        pictures.update(images - contents, images - styles)
        torch.testing.assert_close(pictures.images[0], reference.detach(), rtol=1e-3, atol=1e-3)


def test_student_images_are_replaced_at_the_end_of_their_life(crops):
    pictures = StudentImages(crops, Random(0), 32, count=4, lifetime=1)
    old = pictures.images.clone()
    pictures.batch(3)
    pictures.update(*torch.zeros(2, 3, *old.shape[1:]))
    assert sum(torch.equal(a, b) for a, b in zip(old, pictures.images, strict=True)) == 1
    assert not pictures.ages.any()


def test_pictures_are_cropped_on_their_device(crops, tmp_path):
    with pytest.raises(InputError, match="cannot use device 'toaster'"):
        Crops([tmp_path / "photographs"], 32, device="toaster")
    assert crops.batch(2, seed=0, size=48).shape == (2, 3, 48, 48)


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


def test_command_trains_and_exports(tmp_path, crops, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "vgg19", TEACHER)
    state, vgg = {}, Backbone.random(TEACHER, deepest="relu5_1")
    for index, layer in enumerate(layer_names(TEACHER)):
        if layer in vgg.convs:
            state[f"features.{index}.weight"] = vgg.convs[layer].weight.detach()
            state[f"features.{index}.bias"] = vgg.convs[layer].bias.detach()
    save_file(state, tmp_path / "vgg.safetensors")
    outputs = ["--checkpoint", str(tmp_path / "state.pt"), "--log", str(tmp_path / "log.csv")]
    short = ["--steps", "2", "--batch-size", "2", "--crop", "32", "-o", str(tmp_path / "out.safetensors")]
    command = [str(tmp_path / "photographs"), "--vgg19", str(tmp_path / "vgg.safetensors"), *outputs, *short]
    with pytest.raises(InputError, match="no pictures to train on are left"):
        distill.main([*command, "--hold-out", "0.png", "1.png", "2.png"])
    assert distill.main(command) == 0
    assert "Simonyan" in metadata(tmp_path / "out.safetensors")["teacher"]
    image = torch.rand(1, 3, 32, 32)
    net = load_backbone("compact", weights=tmp_path / "out.safetensors")
    assert torch.isfinite(net(image, ["relu5_1"])["relu5_1"]).all()
