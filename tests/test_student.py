"""Teacher and student: their pieces by hand, and the network that the package ships."""

import copy

import pytest
import torch
from conftest import make_net
from safetensors.torch import load_file, save_file

from nstlib import InputError, Moments, load_backbone, load_image
from nstlib.features import ARCHITECTURES, STYLE_LAYERS, Backbone
from nstlib.images import resize
from nstlib.losses import gram_loss, wasserstein_loss
from nstlib.training.gradients import image_gradients
from nstlib.training.student import BatchNormBackbone, embedded_gram
from nstlib.training.teacher import Teacher, load_distilled


def test_folding_changes_nothing():
    net = BatchNormBackbone(((4, 5), (6,))).eval()
    for norm in net.norms.values():
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
        torch.nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    image = torch.rand(1, 3, 20, 20)
    normalised = net(image, ["relu2_1"])
    net.fold()
    plain = Backbone(((4, 5), (6,)))
    plain.load_state_dict(net.state_dict())  # nothing is left of the normalisation
    torch.testing.assert_close(plain(image, ["relu2_1"]), normalised, rtol=1e-4, atol=1e-5)


def test_teacher_applies_its_embeddings_and_moves_as_a_whole():
    net, embeddings = make_net(), {"relu2_1": (torch.randn(9, 6, 1, 1), torch.randn(9))}
    teacher = Teacher((net, ("relu1_1",), {}), (net, ("relu2_1",), embeddings))
    image = torch.rand(1, 3, 20, 20)
    found, plain = teacher(image), net(image, ["relu1_1", "relu2_1"])
    torch.testing.assert_close(found["relu1_1"], plain["relu1_1"])
    torch.testing.assert_close(found["relu2_1"], torch.nn.functional.conv2d(plain["relu2_1"], *embeddings["relu2_1"]))
    elsewhere = copy.deepcopy(teacher).to("meta")
    assert {x.device.type for x in elsewhere(image.to("meta")).values()} == {"meta"}


def test_reduced_embedding_keeps_the_distances_of_the_whole_one():
    large = torch.randn(40, 6, dtype=torch.float64)
    small = torch.linalg.qr(large)[1]
    a, b = torch.rand(2, 1, 6, 9, 9, dtype=torch.float64)
    for loss in (gram_loss, wasserstein_loss):
        values = []
        for matrix in (large, small):
            embedded = [Moments.of(torch.einsum("oc,nchw->nohw", matrix, f)) for f in (a, b)]
            values.append(loss(*embedded))
        torch.testing.assert_close(values[0], values[1], rtol=1e-2 if loss is wasserstein_loss else 1e-9, atol=0)


def test_embedded_gram_is_the_gram_of_the_embedding():
    f, embedding = torch.rand(2, 5, 7, 7), torch.nn.Conv2d(5, 9, 1, bias=False)
    torch.testing.assert_close(embedded_gram(Moments.of(f), embedding), Moments.of(embedding(f)).gram)


def test_image_gradients_by_finite_differences():
    net = make_net(torch.float64)
    network = Teacher((net, ("relu2_1", "relu3_1"), {}))
    image, other = torch.rand(2, 1, 3, 24, 24, dtype=torch.float64)
    gradients = image_gradients(network, image, network.describe(other, [("style", "relu2_1"), ("content", "relu3_1")]))
    direction, step = torch.randn_like(image), 1e-6

    def seen(image):
        maps = net(image, ["relu2_1", "relu3_1"])
        flat = maps["relu2_1"].flatten(2)
        return {("style", "relu2_1"): flat @ flat.mT, ("content", "relu3_1"): maps["relu3_1"]}

    for term, target in seen(other).items():

        def loss(image, term=term, target=target):
            return (seen(image)[term] - target).square().sum() / target.square().sum()

        slope = (loss(image + step * direction) - loss(image - step * direction)) / (2 * step)
        assert slope.item() == pytest.approx((gradients[term] * direction).sum().item(), rel=1e-4)


def test_distilled_encoder_folds_its_first_layer(data):
    path = data / "weights" / "vgg19_distilled_16x.safetensors"
    net, maps = load_distilled(path)
    state = load_file(path)
    image = torch.rand(1, 3, 24, 24)
    x = torch.nn.functional.conv2d(image, state["conv0.weight"], state["conv0.bias"])
    x = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    x = torch.relu(torch.nn.functional.conv2d(x, state["conv11.weight"], state["conv11.bias"]))
    torch.testing.assert_close(net(image, ["relu1_1"])["relu1_1"], x, rtol=1e-3, atol=1e-3)
    assert maps["relu5_1"][0].shape == (512, 128, 1, 1)


def test_distilled_encoder_of_another_shape(tmp_path):
    with pytest.raises(InputError, match="weights file not found"):
        load_distilled(tmp_path / "none.safetensors")
    save_file({"conv0.weight": torch.eye(3)[:, :, None, None]}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="conv0.bias is missing; found conv0.weight"):
        load_distilled(tmp_path / "w.safetensors")


def test_the_shipped_network_paints_where_the_real_one_would():
    """The gradients of the style loss, on pictures not used in training, point the same way as VGG-19's."""
    vgg19 = load_backbone("vgg19", deepest="relu3_1")
    content, style = (resize(load_image(f"sample:{name}"), (160, 160)) for name in ("coffee", "meadow"))
    terms = [("style", layer) for layer in STYLE_LAYERS[:3]]
    compact, random = load_backbone("compact", deepest="relu3_1"), Backbone.random(ARCHITECTURES["compact"])
    networks = {"vgg19": vgg19, "compact": compact, "random": random}
    gradients = {}
    for name, net in networks.items():
        network = Teacher((net, STYLE_LAYERS[:3], {}))
        gradients[name] = image_gradients(network, content, network.describe(style, terms))
    for term, least in zip(terms, (0.9, 0.7, 0.3), strict=True):
        real = gradients["vgg19"][term].flatten()
        compact, chance = (
            torch.cosine_similarity(gradients[name][term].flatten(), real, 0) for name in ("compact", "random")
        )
        assert compact > max(least, 1.2 * chance)
