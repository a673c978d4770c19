"""The caller's torch: whatever it is set to, the library makes ordinary tensors and leaves everything as it was."""

import contextlib
import functools
import random

import numpy as np
import pytest
import torch
from conftest import make_net, make_picture
from PIL import Image
from safetensors.torch import load_file

from nstlib import Backbone, InputError, load_backbone
from nstlib.ambient import usable_device
from nstlib.features import ARCHITECTURES
from nstlib.networks import upscale
from nstlib.training.data import Crops
from nstlib.training.distill import Distillation
from nstlib.training.gradients import image_gradients
from nstlib.training.student_images import StudentImages
from nstlib.training.teacher import Teacher
from nstlib.training.upscale import UpscalerTraining, evaluate


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


AMBIENCES = {
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "gradients disabled": lambda: torch.set_grad_enabled(False),
    "default device": lambda: default_device("meta"),
    "device context": lambda: torch.device("meta"),
    "default dtype": lambda: default_dtype(torch.float64),
}


@pytest.fixture(params=AMBIENCES.values(), ids=AMBIENCES)
def ambience(request):
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(2):
        Image.fromarray(make_picture(70, 80, seed)).save(folder / f"{seed}.png")
    return folder


def is_ordinary(tensors):
    return all(
        x.device.type == "cpu" and not x.is_inference() and x.dtype in (torch.float32, torch.int64) for x in tensors
    )


@pytest.fixture(autouse=True)
def small_student(monkeypatch):
    """A compact network of few channels to train; the one that ships has its usual shape."""
    monkeypatch.setattr(
        "nstlib.training.student.ARCHITECTURES", {"compact": ((3, 4), (5, 5), (6,) * 4, (8,) * 4, (10,))}
    )


def distillation(folder, **options):
    backbone = Backbone.random(((4, 6), (8, 8), (10,) * 4, (14,) * 4, (16,)), deepest="relu5_1", padding="replicate")
    return Distillation(backbone, Crops([folder], 32), **{"steps": 4, "batch_size": 2, "examples": 4, **options})


def upscaler_training(folder, **options):
    return UpscalerTraining([folder], 2, steps=3, batch_size=2, crop=12, **options)


@functools.cache
def plain_losses(training, folder):
    """Of all steps, where torch is as it comes; computed once for all ambiences."""
    return [step.losses for step in training(folder)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: load_backbone("compact"),
        lambda: Backbone(ARCHITECTURES["compact"]),
        lambda: upscale.load_upscaler(2),
        lambda: upscale.Upscaler(2, width=4, depth=2),
    ],
    ids=["load_backbone", "Backbone", "load_upscaler", "Upscaler"],
)
def test_networks_are_ordinary(make, ambience):
    with ambience():
        network = make()
    assert is_ordinary(network.state_dict().values())
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    result = network(image, ["relu5_1"])["relu5_1"] if isinstance(network, Backbone) else network(image)
    result.sum().backward()
    assert image.grad.isfinite().all()


def test_upscaling_works_and_is_the_same(ambience):
    picture = np.dstack([make_picture(20, 30), make_picture(20, 30)[..., 0]])
    expected = np.asarray(upscale.upscale(picture, 2))
    image = torch.rand(1, 3, 20, 30)
    with ambience():
        assert np.array_equal(np.asarray(upscale.upscale(picture, 2)), expected)
        large = upscale.upscale_tensor(image, upscale.load_upscaler(2))
    assert is_ordinary([large])
    torch.testing.assert_close(large, upscale.upscale_tensor(image, upscale.load_upscaler(2)))


def test_a_picture_made_in_inference_mode_is_enlarged():
    with torch.inference_mode():
        image = torch.rand(1, 3, 20, 30)
    assert is_ordinary([upscale.upscale_tensor(image, upscale.load_upscaler(2))])


def test_distillation_works_and_is_the_same(folder, ambience, tmp_path):
    expected = plain_losses(distillation, folder)
    with ambience():
        run, precise = distillation(folder), torch.get_default_dtype() == torch.float64
        found = [step.losses for step in run]
        run.export(tmp_path / "w.safetensors", {})
    assert load_file(tmp_path / "w.safetensors")
    assert is_ordinary(run.student.state_dict().values())
    if precise:  # torchvision draws other random numbers then
        assert all(np.isfinite(loss) for losses in found for loss in losses.values())
    else:
        assert found == [pytest.approx(losses) for losses in expected]


def test_training_an_upscaler_works_and_is_the_same(folder, ambience, tmp_path):
    expected = plain_losses(upscaler_training, folder)
    with ambience():
        run = upscaler_training(folder)
        assert [step.losses for step in run] == expected
        run.export(tmp_path / "w.safetensors", {})
        scores = evaluate(upscale.load_upscaler(weights=tmp_path / "w.safetensors"), [make_picture(40, 40)])
    assert is_ordinary(run.model.state_dict().values())
    assert all(np.isfinite(scores))


def test_the_loop_body_runs_in_the_callers_mode(folder):
    for run in (upscaler_training(folder), distillation(folder)):
        with torch.inference_mode():
            for _ in run:
                assert torch.is_inference_mode_enabled()
        with torch.no_grad(), torch.device("meta"):
            for _ in run:
                assert torch.empty(1).is_meta
                assert not torch.is_grad_enabled()


def test_gradients_of_pictures_made_in_inference_mode():
    teacher, term = Teacher(make_net(), ("relu2_1",), torch.rand(1, 3, 32, 32)), ("content", "relu2_1")
    with torch.inference_mode():
        image, targets = torch.rand(1, 3, 32, 32), teacher.describe(torch.rand(1, 3, 32, 32), [term])
        inside = image_gradients(teacher, image, targets, {term: [term]})[term]
    torch.testing.assert_close(image_gradients(teacher, image, targets, {term: [term]})[term], inside)
    assert inside.abs().max() > 0


def randomness():
    return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


def test_the_callers_random_numbers_go_on_as_if_nothing_had_happened(folder, tmp_path):
    before = randomness()

    def untouched():
        return randomness() == before

    load_backbone("compact")
    assert untouched()
    model = upscale.load_upscaler(2)
    assert untouched()
    upscale.upscale(make_picture(20, 30), 3)
    upscale.upscale_tensor(torch.zeros(1, 3, 8, 8), model)
    assert untouched()
    crops = Crops([folder], 32)
    crops.batch(20, seed=3)
    assert untouched()
    student_images = StudentImages(crops, random.Random(0), 32, count=3, lifetime=1)
    images, *_ = student_images.batch(2)
    student_images.update(images, images)
    assert untouched()
    for make in (
        lambda **o: distillation(folder, **o),
        lambda **o: upscaler_training(folder, **o),
    ):
        path = tmp_path / "state.pt"
        path.unlink(missing_ok=True)
        for _ in range(2):  # from the start, and resumed
            run = make(checkpoint=path, save_every=1)
            assert untouched()
            for _ in run:
                assert untouched()
                break
            run.export(tmp_path / "w.safetensors", {})
            assert untouched()
        list(run)
        run.export(tmp_path / "w.safetensors", {})
        assert untouched()


def test_training_does_not_depend_on_the_callers_random_numbers(folder):
    for make in (upscaler_training, distillation):
        runs = []
        for seed in (1, 2):
            run, losses = make(folder), []
            for step in run:
                torch.manual_seed(seed)
                random.seed(seed)
                losses.append(step.losses)
            runs.append(losses)
        assert runs[0] == runs[1]


def test_seeds_make_different_trainings(folder):
    for make in (upscaler_training, distillation):
        first, second = (next(iter(make(folder, seed=seed))).losses for seed in (0, 1))
        assert first != second


def test_devices():
    assert usable_device("cpu") == torch.device("cpu")
    assert usable_device(torch.device("cpu")) == torch.device("cpu")
    for name in ("toaster", "cuda:99", 7.5):
        with pytest.raises(InputError, match="cannot use device"):
            usable_device(name)
