"""Teacher and student: their pieces by hand, and the network that the package ships."""

import copy

import numpy as np
import pytest
import scipy.linalg
import torch
from conftest import make_net

from nstlib import Moments, load_backbone, load_image
from nstlib.features import ARCHITECTURES, STYLE_LAYERS, Backbone
from nstlib.images import resize
from nstlib.losses import gram_loss, wasserstein_loss
from nstlib.training.gradients import gradient_distance, image_gradients
from nstlib.training.reduction import linear_map, reduce_channels, telling_channels
from nstlib.training.student import embedded_gram
from nstlib.training.teacher import Teacher


def test_teacher_divides_by_the_size_of_its_features():
    net, image = make_net(), torch.rand(1, 3, 20, 20)
    teacher = Teacher(net, ("relu1_1", "relu2_1"), image)
    for layer, features in teacher(image).items():
        assert features.square().mean().item() == pytest.approx(1, rel=1e-5)
        torch.testing.assert_close(features * teacher.scales[layer], net(image, [layer])[layer])
    elsewhere = copy.deepcopy(teacher).to("meta")
    assert {x.device.type for x in elsewhere(image.to("meta")).values()} == {"meta"}


def test_telling_channels_are_those_of_a_pivoted_decomposition():
    """SciPy's QR decomposition with column pivoting takes them in the same order."""
    mixed = torch.einsum("ij,njhw->nihw", torch.randn(9, 9), torch.rand(2, 9, 8, 8)).double()
    order = scipy.linalg.qr(mixed.transpose(0, 1).flatten(1).T.numpy(), mode="r", pivoting=True)[1]
    assert telling_channels(mixed, 5).tolist() == order[:5].tolist()


def test_reduced_network_of_the_same_size_is_the_teacher():
    """With nothing to leave out, every layer is the teacher's, its channels in another order and scaled."""
    widths = ((4, 5), (6, 6))
    teacher = Backbone.random(widths, seed=1, padding="replicate")
    student = Backbone(widths, padding="replicate").requires_grad_(False)
    images = torch.rand(8, 3, 32, 32)
    reduce_channels(teacher, student, images)
    fresh = torch.rand(2, 3, 32, 32)
    theirs, own = (network(fresh, ["relu2_2"])["relu2_2"] for network in (teacher, student))
    error = torch.einsum("oc,nchw->nohw", linear_map(own, theirs), own) - theirs
    assert error.square().mean() < 0.01 * theirs.square().mean()


def test_linear_map_by_least_squares():
    features, goal = torch.rand(2, 4, 9, 9), torch.rand(2, 3, 9, 9)
    flat, wanted = (x.transpose(0, 1).flatten(1).T.numpy() for x in (features, goal))
    expected = np.linalg.lstsq(flat, wanted, rcond=None)[0].T
    assert np.allclose(linear_map(features, goal).numpy(), expected, atol=1e-3)


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
    image, other = torch.rand(2, 1, 3, 24, 24, dtype=torch.float64)
    network, terms = Teacher(net, ("relu2_1", "relu3_1"), image), [("style", "relu2_1"), ("content", "relu3_1")]
    groups = {**{term: [term] for term in terms}, "both": terms}
    gradients = image_gradients(network, image, network.describe(other, terms), groups)
    torch.testing.assert_close(gradients["both"], (gradients[terms[0]] + gradients[terms[1]]) / 2)
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


def test_the_shipped_network_paints_where_the_real_one_would():
    """The gradients of the style loss, on pictures not used in training, point the same way as VGG-19's."""
    vgg19 = load_backbone("vgg19", deepest="relu3_1")
    content, style = (resize(load_image(f"sample:{name}"), (160, 160)) for name in ("coffee", "meadow"))
    terms = [("style", layer) for layer in STYLE_LAYERS[:3]]
    compact, random = load_backbone("compact", deepest="relu3_1"), Backbone.random(ARCHITECTURES["compact"])
    networks = {"vgg19": vgg19, "compact": compact, "random": random}
    gradients = {}
    for name, net in networks.items():
        network = Teacher(net, STYLE_LAYERS[:3], content)
        gradients[name] = image_gradients(
            network, content, network.describe(style, terms), {term: [term] for term in terms}
        )
    for term, least in zip(terms, (0.95, 0.9, 0.7), strict=True):
        real = gradients["vgg19"][term].flatten()
        compact, chance = (
            torch.cosine_similarity(gradients[name][term].flatten(), real, 0) for name in ("compact", "random")
        )
        assert compact > max(least, 1.01 * chance), (term, compact, chance)


def test_gradient_distance_of_turned_and_stretched_ones():
    goal = torch.zeros(1, 3, 4, 4)
    goal[0, 0, 0, 0] = 1
    turned = goal.flip(3)
    assert gradient_distance(goal, goal).item() == pytest.approx(0, abs=1e-6)
    assert gradient_distance(turned, goal).item() == pytest.approx(1, abs=1e-6)
    assert gradient_distance(np.e * goal, goal).item() == pytest.approx(0.05, abs=1e-4)
