"""Backbones: names, weights, forward pass against torchvision."""

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from nstlib import InputError, Moments, load_backbone, load_image
from nstlib.features import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD, STYLE_LAYERS, Backbone, deepest_of, layer_names


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """torchvision's VGG-19 with random weights, and a file of them."""
    torch.manual_seed(0)
    model = torchvision.models.vgg19(weights=None).eval()
    path = tmp_path_factory.mktemp("weights") / "vgg19.pth"
    torch.save({k: v for k, v in model.state_dict().items() if k.startswith("features")}, path)
    return model, path


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No cached weights, no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("NSTLIB_VGG19", raising=False)

    def refuse(*args, **options):
        raise OSError("network is unreachable")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


@pytest.mark.parametrize(
    ("layer", "index"), [("relu1_1", 1), ("relu3_4", 17), ("conv4_2", 21), ("relu5_1", 29), ("pool2", 9)]
)
def test_layers_are_those_of_torchvision(vgg, layer, index):
    model, path = vgg
    net = load_backbone("vgg19", weights=path, deepest=layer, padding="zeros")
    image = torch.rand(1, 3, 48, 40)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    features = torch.nn.Sequential(*list(model.features)[: index + 1])
    expected = features(((image - mean) / std).clone())
    torch.testing.assert_close(net(image, [layer])[layer], expected, rtol=1e-4, atol=1e-5)


def test_vgg16_names():
    indices = {name: i for i, name in enumerate(layer_names(ARCHITECTURES["vgg16"]))}
    model = torchvision.models.vgg16(weights=None).features
    for name, i in indices.items():
        kind = {"conv": torch.nn.Conv2d, "relu": torch.nn.ReLU, "pool": torch.nn.MaxPool2d}[name[:4]]
        assert isinstance(model[i], kind)


def test_only_the_layers_needed_are_built():
    net = Backbone(ARCHITECTURES["vgg19"], deepest="relu3_1")
    assert net.layers[-1] == "relu3_1"
    assert list(net.convs) == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]


def test_multiply_adds_per_pixel():
    vgg19 = Backbone(ARCHITECTURES["vgg19"], deepest="relu5_1").macs_per_pixel
    compact = load_backbone("compact").macs_per_pixel
    assert vgg19 == 361_152
    assert vgg19 / compact >= 12


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
    assert [f.shape[1] for f in first.values()] == [16, 48, 64, 128, 256]
    assert all(torch.equal(first[layer], second[layer]) for layer in first)


def test_weights_from_the_environment(vgg, monkeypatch):
    monkeypatch.setenv("NSTLIB_VGG19", str(vgg[1]))
    assert torch.equal(load_backbone("vgg19").convs["conv1_1"].weight, vgg[0].features[0].weight)
    assert load_backbone("auto").convs["conv1_1"].out_channels == 64


def test_auto_falls_back_with_a_notice(offline):
    with pytest.warns(UserWarning, match="embedded compact network"):
        assert load_backbone("auto").convs["conv1_1"].out_channels == 16


def test_reference_by_name_fails_clearly_offline(offline):
    with pytest.raises(InputError, match=r"could not download the vgg19 weights .* backbone='compact'"):
        load_backbone("vgg19")


def test_download_checks_the_hash(monkeypatch, tmp_path, vgg):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    calls = []

    def download(url, path, hash_prefix):
        calls.append((url, hash_prefix))
        torch.save(torch.load(vgg[1]), path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):  # the second time it is cached
        load_backbone("vgg19", deepest="relu1_1")
    assert calls == [("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d")]


def test_partial_weights_are_enough_for_shallow_layers(tmp_path, vgg):
    state = {k: v.contiguous() for k, v in torch.load(vgg[1]).items() if int(k.split(".")[1]) <= 10}
    save_file(state, tmp_path / "part.safetensors")
    load_backbone("vgg19", deepest="relu3_1", weights=tmp_path / "part.safetensors")
    with pytest.raises(InputError, match="end before conv3_2, which relu4_1 needs"):
        load_backbone("vgg19", deepest="relu4_1", weights=tmp_path / "part.safetensors")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 broken"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_broken_weight_files(tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="weights"):
        load_backbone("vgg19", weights=path)


def test_weights_of_another_network(tmp_path):
    save_file(
        {f"{k}.{p}": torch.zeros(3) for k in Backbone(ARCHITECTURES["compact"]).convs for p in ("weight", "bias")},
        tmp_path / "w.safetensors",
    )
    with pytest.raises(InputError, match="do not fit"):
        load_backbone("compact", weights=tmp_path / "w.safetensors")


def test_unknown_names_list_the_valid_ones(small_net):
    with pytest.raises(InputError, match=r"unknown backbone 'resnet'; choose from auto, vgg19, vgg16, compact"):
        load_backbone("resnet")
    with pytest.raises(InputError, match=r"unknown layer 'relu6_1'; choose from conv1_1, relu1_1"):
        small_net(torch.rand(1, 3, 32, 32, dtype=torch.float64), ["relu6_1"])
    with pytest.raises(InputError, match=r"unknown layer 'relu9_9'"):
        deepest_of(["relu1_1", "relu9_9"])
    with pytest.raises(InputError, match=r"unknown pooling 'mean'; choose from max, average"):
        Backbone(((4,),), pooling="mean")


def test_real_vgg19_tells_pictures_apart(data):
    net = load_backbone("vgg19", deepest="relu3_1", weights=data / "weights" / "vgg19_conv1_1_to_conv3_4.safetensors")
    photograph, painting = (load_image(data / "images" / name) for name in ("content/cornell.jpg", "style/la_muse.jpg"))
    grams = [Moments.of(net(image[..., :256, :256], ["relu3_1"])["relu3_1"]).gram for image in (photograph, painting)]
    halves = [Moments.of(net(painting[..., :256, a : a + 256], ["relu3_1"])["relu3_1"]).gram for a in (0, 128)]
    assert (halves[0] - halves[1]).norm() < (grams[0] - grams[1]).norm()
