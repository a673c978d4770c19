"""The loss as a sum of terms: one pass for all, batches, weights, targets of others."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import Hooked, make_net, make_picture

from nstlib import InputError, Moments, Settings, StyleTransfer, load_image
from nstlib.features import FULL, Plan
from nstlib.losses import STYLE_LOSSES
from nstlib.terms import Exemplar, Objective, View, standard_terms
from nstlib.transfer.canvas import Pixels
from nstlib.transfer.descent import Descent

CONTENT, STYLE = make_picture(48, 64, seed=1), make_picture(48, 64, seed=2)
SMALL = {"size": 64, "iterations": 6, "levels": 1, "memory": "full"}


def view_of(content, net=None, transparency=None):
    style = load_image(STYLE).double()
    net = net or make_net(torch.float64)
    return View(net, content, transparency, lambda: [Exemplar([(style, [None])])], lambda size: FULL)


def terms_of(settings, *more):
    return {term.name: term for term in [*standard_terms(settings), *more]}


def pictures(count, seed=5):
    return torch.stack([load_image(make_picture(48, 64, seed + index))[0].double() for index in range(count)])


class Sums:
    """A toy term that asks for the sum of a layer of the picture, perhaps reduced."""

    weight = 1.0

    def __init__(self, name, *tap):
        self.name, self.tap = name, tap

    def targets(self, view):
        return None

    def taps(self, view, targets):
        layer, *reduction = self.tap
        return [(layer, lambda features, rows, columns: (features.sum((1, 2, 3)),), *reduction)]

    def loss(self, image, sums, targets):
        ((total,),) = sums
        return total


@pytest.mark.parametrize("plan", [FULL, Plan(2, 32)], ids=str)
@pytest.mark.parametrize("unitless", [True, False])
@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_a_batch_is_its_pictures_one_by_one(plan, unitless, style_loss):
    settings = Settings(unitless=unitless, style_loss=style_loss if unitless else "gram")
    contents, images = pictures(3), pictures(3, seed=9).requires_grad_()
    together = Objective(terms_of(settings), view_of(contents))(images, plan)
    gradient = torch.autograd.grad(sum(loss.sum() for loss in together.values()), images)[0]
    for index in range(3):
        image = images[index : index + 1].detach().requires_grad_()
        alone = Objective(terms_of(settings), view_of(contents[index : index + 1]))(image, plan)
        assert set(alone) == {"content", "style", "tv"}
        for name, loss in alone.items():
            assert loss.shape == (1,)
            torch.testing.assert_close(together[name][index], loss[0], rtol=1e-9, atol=0)
        expected = torch.autograd.grad(sum(loss.sum() for loss in alone.values()), image)[0][0]
        torch.testing.assert_close(gradient[index], expected, rtol=1e-6, atol=1e-12)


def test_a_batch_goes_down_as_its_pictures_do_one_by_one():
    contents = pictures(2)

    def paint(content):
        settings = Settings(optimizer="Adam")
        descent = Descent(Pixels(content), terms_of(settings), settings, FULL, lambda plan: view_of(content))
        for _ in range(5):
            losses = descent.step()
        return descent.image, losses["total"]

    images, losses = paint(contents)
    for index in range(2):
        image, loss = paint(contents[index : index + 1])
        torch.testing.assert_close(images[index : index + 1], image, rtol=0, atol=1e-6)
        torch.testing.assert_close(losses[index : index + 1], loss)


@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_a_mask_without_area_asks_for_nothing(style_loss):
    nothing = torch.zeros(1, 1, 48, 64, dtype=torch.float64)
    image = pictures(1).requires_grad_()
    objective = Objective(terms_of(Settings(style_loss=style_loss)), view_of(pictures(1, 7), transparency=nothing))
    losses = objective(image, FULL)
    assert losses["content"].item() == 0
    assert losses["style"].item() == 0
    gradient = torch.autograd.grad(sum(loss.sum() for loss in losses.values()), image)[0]
    assert gradient.isfinite().all()


@pytest.mark.parametrize("factor", [2, 4])
def test_a_tap_may_ask_for_the_picture_at_a_half_or_a_quarter(factor):
    net = make_net(torch.float64)
    image = pictures(1)[..., :45, :]  # odd: rounded up
    terms = {"whole": Sums("whole", "relu2_1"), "small": Sums("small", "relu2_1", factor)}
    losses = Objective(terms, view_of(image, net))(image, FULL)
    size = math.ceil(45 / factor), 64 // factor
    small = F.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    torch.testing.assert_close(losses["small"], net(small, ["relu2_1"])["relu2_1"].sum((1, 2, 3)))
    torch.testing.assert_close(losses["whole"], net(image, ["relu2_1"])["relu2_1"].sum((1, 2, 3)))


def counting(net=None):
    """A network, and a function that says how often it has seen a picture (three channels) so far."""
    seen, net = [], net or make_net(kind=Hooked)
    net.hook = lambda x: seen.append(x.shape) or x
    return net, lambda: sum(shape[1] == 3 for shape in seen)


def test_the_network_runs_once_for_each_size_asked_for():
    net, passes = counting()
    more = [Sums("a", "relu1_1"), Sums("b", "relu3_2"), Sums("c", "relu1_1", 2), Sums("d", "relu2_1", 2)]
    transfer = StyleTransfer(CONTENT, STYLE, backbone=net, terms=more, **SMALL)
    next(transfer)  # also takes the targets
    before = passes()
    next(transfer)
    assert passes() - before == 2


def test_a_loss_without_taps_needs_no_network():
    class Grey:
        name, weight = "grey", 1.0

        def targets(self, view):
            return view.content.mean()

        def taps(self, view, targets):
            return []

        def loss(self, image, sums, targets):
            return (image - targets).square().mean((1, 2, 3))

    image = pictures(2)
    (loss,) = Objective({"grey": Grey()}, view_of(image))(image, FULL).values()
    torch.testing.assert_close(loss, image.var((1, 2, 3), correction=0) + (image.mean((1, 2, 3)) - image.mean()) ** 2)


def test_targets_of_another_transfer_are_not_taken_again():
    net, passes = counting()
    first = StyleTransfer(CONTENT, STYLE, backbone=net, **SMALL)
    next(first)
    other = make_picture(48, 64, seed=3)
    shared = {"style": first.targets["style"]}

    def first_step(**options):
        before = passes()
        losses = next(StyleTransfer(other, STYLE, backbone=first.backbone, **SMALL, **options)).losses
        return losses, passes() - before

    (own, own_passes), (handed, fewer) = first_step(), first_step(targets=shared)
    assert handed == own
    assert fewer == own_passes - 1
    # Of another size they are of no use, and not used.
    assert next(StyleTransfer(other, STYLE, backbone=net, targets=shared, **{**SMALL, "size": 48})).losses["style"] > 0


def test_a_network_that_fits_is_shared_and_another_one_left_alone():
    first = StyleTransfer(CONTENT, STYLE, backbone=make_net(), **SMALL)
    assert StyleTransfer(CONTENT, STYLE, backbone=first.backbone, **SMALL).backbone is first.backbone
    half = StyleTransfer(CONTENT, STYLE, backbone=first.backbone, precision="float64", **SMALL).backbone
    assert (half.dtype, first.backbone.dtype) == (torch.float64, torch.float32)


def test_the_weight_of_an_added_term_counts_and_is_live():
    transfer = StyleTransfer(CONTENT, STYLE, backbone=make_net(), terms=[Sums("more", "relu1_1")], **SMALL)
    for weight in (1.0, 0.0, 1e-3):
        transfer.terms["more"].weight = weight
        losses = next(transfer).losses
        expected = sum(term.weight * losses[name] for name, term in transfer.terms.items())
        assert losses["total"] == pytest.approx(expected, rel=1e-5)


def test_the_standard_weights_are_those_of_the_settings():
    transfer = StyleTransfer(CONTENT, STYLE, backbone=make_net(), **SMALL)
    transfer.terms["style"].weight = 7
    assert transfer.settings.style_weight == 7
    transfer.settings.tv_weight = 3
    assert transfer.terms["tv"].weight == 3
    with pytest.raises(InputError, match="content_weight must be a number of at least 0, received -1"):
        transfer.terms["content"].weight = -1


@pytest.mark.parametrize("names", [("style",), ("more", "more"), ("total",)])
def test_names_that_mean_two_things_are_refused(names):
    with pytest.raises(InputError, match="need different names"):
        StyleTransfer(CONTENT, STYLE, terms=[Sums(name, "relu1_1") for name in names], **SMALL)


def test_what_is_no_term_is_refused():
    with pytest.raises(TypeError, match="str is no term of a loss: it has no name, weight, targets, taps, loss"):
        StyleTransfer(CONTENT, STYLE, backbone=make_net(), terms=["depth"], **SMALL)
    for terms, message in ((Sums, "Sums is a class"), (Sums("a", "relu1_1"), "must be a list of terms")):
        with pytest.raises(TypeError, match=message):
            StyleTransfer(CONTENT, STYLE, backbone=make_net(), terms=[terms] if terms is Sums else terms, **SMALL)
    with pytest.raises(InputError, match="unknown layer of 'a' 'relu9_1'"):
        next(StyleTransfer(CONTENT, STYLE, backbone=make_net(), terms=[Sums("a", "relu9_1")], **SMALL))
    with pytest.raises(InputError, match="unknown term 'stile'.*did you mean 'style'"):
        StyleTransfer(CONTENT, STYLE, backbone=make_net(), targets={"stile": {}}, **SMALL)


def test_targets_that_do_not_fit_are_refused():
    first = StyleTransfer(CONTENT, STYLE, backbone=make_net(), **SMALL)
    next(first)
    for targets in (3, {"style": 3}):
        with pytest.raises(InputError, match="targets must be"):
            StyleTransfer(CONTENT, STYLE, backbone=make_net(), targets=targets, **SMALL)
    options = {**SMALL, "targets": {"style": first.targets["style"]}, "style_layers": "relu1_1"}
    with pytest.raises(InputError, match="the settings name relu1_1"):
        next(StyleTransfer(CONTENT, STYLE, backbone=make_net(), **options))


def test_a_weight_that_is_no_number_is_refused():
    transfer = StyleTransfer(CONTENT, STYLE, backbone=make_net(), terms=[Sums("more", "relu1_1")], **SMALL)
    transfer.terms["more"].weight = "x"
    with pytest.raises(InputError, match="the weight of 'more' must be a number of at least 0, received 'x'"):
        next(transfer)
    with pytest.raises(TypeError):
        transfer.terms["other"] = Sums("other", "relu1_1")


def test_what_is_no_loss_of_each_picture_is_refused():
    class Scalar(Sums):
        def loss(self, image, sums, targets):
            return super().loss(image, sums, targets).sum()

    with pytest.raises(InputError, match=r"the term 'odd' must give one loss per picture, shape \(2,\), received"):
        Objective({"odd": Scalar("odd", "relu1_1")}, view_of(pictures(2)))(pictures(2), FULL)
    with pytest.raises(InputError, match="reduced 4 times the picture has 12 pixels a side; its taps need 16"):
        Objective({"odd": Sums("odd", "relu5_1", 4)}, view_of(pictures(1)))
    with pytest.raises(InputError, match="reduced 3 times"):
        Objective({"odd": Sums("odd", "relu1_1", 3)}, view_of(pictures(1)))


def test_style_of_the_rest_counts_as_if_it_were_one_picture():
    """Halves that know each other's moments have the style loss of the whole."""
    from nstlib.terms import StyleLoss

    net, settings = make_net(torch.float64), Settings(style_layers=["relu1_1"])
    left, right = pictures(1), pictures(1, seed=8)
    rest = {"relu1_1": Moments.of(net(right, ["relu1_1"])["relu1_1"])}
    with_rest = StyleLoss(settings, rest=rest)
    found = Objective({"style": with_rest}, view_of(left, net))(left, FULL)["style"]
    both = rest["relu1_1"] + Moments.of(net(left, ["relu1_1"])["relu1_1"])
    target = Moments.of(net(load_image(STYLE).double(), ["relu1_1"])["relu1_1"])
    torch.testing.assert_close(found, STYLE_LOSSES["gram"](both, target))


def test_a_step_keeps_its_own_picture_and_the_losses_of_the_one_before():
    options = {**SMALL, "backbone": make_net(), "optimizer": "LBFGS", "margin": 0}
    steps = list(StyleTransfer(CONTENT, STYLE, **options))
    shown = [np.asarray(step.picture) for step in steps]
    assert all((a != b).any() for a, b in itertools.pairwise(shown))
    for before, after in itertools.pairwise(steps):
        again = next(StyleTransfer(CONTENT, STYLE, **options, init=before.image)).losses
        assert after.losses["style"] == pytest.approx(again["style"], rel=1e-5)
    assert F.mse_loss(steps[-1].image, steps[0].image) > 0
