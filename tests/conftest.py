"""Small networks and pictures that all tests share."""

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: a worker a core, a thread a worker
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if os.environ.setdefault("NSTLIB_TEST_DEVICE", "cpu") == "cpu":  # before torch looks for GPUs
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import pytest
import torch

from nstlib import Backbone

ROOT = Path(__file__).parents[1]
#: Where the tests run: the CPU, whatever else there is, unless NSTLIB_TEST_DEVICE names another, such as cuda.
DEVICE = os.environ["NSTLIB_TEST_DEVICE"]
torch.set_default_device(DEVICE)
DATA = Path(os.environ.get("NSTLIB_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(autouse=True, scope="session")
def single_precision():
    """The tests compare closely: ``precision="auto"`` is float32, whatever the processor is built for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nstlib.transfer.network.choose_precision", lambda device: "float32")
        yield


@pytest.fixture(scope="session")
def known():
    """All files of the repository and of the folder where the tests were started."""
    return {folder: _files(folder) for folder in {ROOT, Path.cwd()}}


@pytest.fixture(autouse=True)
def no_litter(known):
    """No test leaves a file behind, neither in the repository nor where it was started."""
    yield
    left = set()
    for folder, files in known.items():
        found = _files(folder)
        left |= found - files
        known[folder] = found
    assert not left, f"left behind: {', '.join(sorted(left))}"


def _files(folder):
    """All but what Python and its tools keep for themselves: caches, environments."""
    found = set()
    for path, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name != "__pycache__"
            and not os.path.exists(os.path.join(path, name, "pyvenv.cfg"))
        ]
        found.update(os.path.join(path, name) for name in [*folders, *names])
    return found


@pytest.fixture
def small_net():
    """A VGG-19 with few channels and random weights in float64."""
    return make_net(torch.float64)


class Hooked(Backbone):
    """A network that calls ``hook(x)`` with the input of every run: to count, to interrupt, to spoil."""

    hook = staticmethod(lambda x: x)

    def run(self, x, *arguments, **options):
        return super().run(self.hook(x), *arguments, **options)


def make_net(dtype=torch.float32, *, kind=Backbone, **options):
    torch.manual_seed(0)  # for the pictures that tests draw after it
    widths = ((4, 5), (6, 7), (8, 8, 9, 9), (10,) * 4, (11,))
    return kind.random(widths, deepest="relu5_1", **options).to(DEVICE, dtype)


@pytest.fixture
def picture():
    """An array (H, W, 3), uint8, with edges, gradients and noise."""
    return make_picture(60, 80)


def make_picture(height, width, seed=0):
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(2 * np.pi * (a * x + b * y)) for a, b in random.uniform(-4, 4, (3, 2))]
    image = 127 + 90 * np.stack(waves, 2) + random.normal(0, 10, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8)


def painted(transfer):
    """``(picture, losses of every step)`` of a transfer run to its end."""
    losses = [step.losses for step in transfer]
    return transfer.image, losses


def same(one, other, tolerance=1e-6):
    (image, losses), (expected, goals) = one, other
    torch.testing.assert_close(image, expected, rtol=0, atol=tolerance)
    for found, goal in zip(losses, goals, strict=True):
        assert found == pytest.approx(goal, rel=tolerance)


def goes_on(make, checkpoint, steps=2):
    """Assert that a transfer, killed after some steps, ends with the picture of one that was not."""
    whole, stopped, resumed = make(), make(), make()
    list(whole)
    for _ in range(steps):
        next(stopped)
    stopped.save_checkpoint(checkpoint)
    resumed.load_checkpoint(checkpoint)
    list(resumed)
    assert torch.equal(resumed.image, whole.image)


@pytest.fixture
def data():
    """Folder with the reference weights and pictures, where there is one."""
    if not DATA.is_dir():
        pytest.skip(f"needs the reference weights and pictures in {DATA} (set NSTLIB_TEST_DATA)")
    return DATA
