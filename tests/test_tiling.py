"""Tiled sums and gradients are those of the whole network."""

import pytest
import torch
from conftest import make_net
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from nstlib.features import STYLE_LAYERS
from nstlib.features.tiling import FULL, Plan, feature_sums, multiply_adds
from nstlib.losses import STYLE_LOSSES
from nstlib.moments import Moments

PLANS = (Plan(2, 32), Plan(3, 32), Plan(5, 32), Plan(5, 48), Plan(5, 1000))


def loss_and_gradient(net, image, plan, style_loss="gram", masks=False):
    """Style loss on five layers plus content loss on one, the way a transfer builds them."""
    generator = torch.Generator().manual_seed(7)
    other = torch.rand(image.shape, generator=generator, dtype=image.dtype)
    goals = net(other, (*STYLE_LAYERS, "relu4_2"))

    def style_tap(layer):
        mask = torch.rand(goals[layer].shape[2:], generator=generator, dtype=image.dtype)[None, None] if masks else None
        return lambda f, rows, columns: Moments.of(f, mask[..., rows, columns] if masks else None).tensors

    def content_tap(f, rows, columns):
        return ((f - goals["relu4_2"][..., rows, columns]).square().sum(),)

    taps = [(layer, style_tap(layer)) for layer in STYLE_LAYERS] + [("relu4_2", content_tap)]
    image = image.clone().requires_grad_()
    *style, (content,) = feature_sums(net, image, taps, plan)
    targets = [Moments.of(goals[layer]) for layer in STYLE_LAYERS]
    loss = sum(STYLE_LOSSES[style_loss](Moments(*s), t).sum() for s, t in zip(style, targets, strict=True))
    loss = loss + content / goals["relu4_2"].square().sum()
    loss.backward()
    return loss.detach(), image.grad


def assert_same(net, image, plan, tolerance, **options):
    loss, gradient = loss_and_gradient(net, image, FULL, **options)
    tiled_loss, tiled_gradient = loss_and_gradient(net, image, plan, **options)
    assert abs(tiled_loss - loss) <= tolerance * abs(loss)
    assert (tiled_gradient - gradient).norm() <= tolerance * gradient.norm()
    assert gradient.norm() > 0


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("size", [(64, 64), (101, 75), (33, 200), (16, 17), (130, 97)])
def test_float32(size, plan):
    assert_same(make_net(), torch.rand(1, 3, *size), plan, 1e-5)


@pytest.mark.parametrize("plan", [FULL, *PLANS], ids=str)
def test_multiply_adds_are_those_that_torch_counts(plan):
    net, image = make_net(), torch.rand(1, 3, 112, 80, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        sums = feature_sums(net, image, [(net.layers[-1], lambda f, rows, columns: (f.sum(),))], plan)
        sums[0][0].backward()
    convolutions = sum(count for op, count in counter.get_flop_counts()["Global"].items() if "conv" in str(op))
    assert convolutions == 2 * multiply_adds(net, image.shape[2:], plan)


@pytest.mark.parametrize("masks", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_every_style_loss_and_masks(style_loss, masks):
    assert_same(make_net(), torch.rand(1, 3, 90, 71), Plan(5, 32), 1e-5, style_loss=style_loss, masks=masks)


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("padding", ["zeros", "replicate", "reflect"])
def test_every_padding_and_pooling(padding, pooling):
    net = make_net(torch.float64, border=padding, padding=padding, pooling=pooling)
    assert_same(net, torch.rand(1, 3, 75, 83, dtype=torch.float64), Plan(5, 32), 1e-12)


def test_batches():
    assert_same(make_net(torch.float64), torch.rand(2, 3, 70, 50, dtype=torch.float64), Plan(5, 32), 1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(16, 120), st.integers(16, 120), st.sampled_from([2, 3, 5]), st.integers(17, 90))
def test_any_size_any_tile(height, width, blocks, tile):
    net = make_net(torch.float64)
    assert_same(net, torch.rand(1, 3, height, width, dtype=torch.float64), Plan(blocks, tile), 1e-12)


def test_gradient_by_finite_differences(small_net):
    image = torch.rand(1, 3, 40, 36, dtype=torch.float64)
    direction = torch.randn_like(image)
    _, gradient = loss_and_gradient(small_net, image, Plan(5, 32))
    step = 1e-6
    ahead, behind = (loss_and_gradient(small_net, image + s * direction, FULL)[0] for s in (step, -step))
    assert ((ahead - behind) / (2 * step)).item() == pytest.approx((gradient * direction).sum().item(), rel=1e-4)


def test_untiled_sums_are_those_of_the_plain_forward_pass(small_net):
    image = torch.rand(1, 3, 50, 40, dtype=torch.float64)
    maps = small_net(image, STYLE_LAYERS)
    sums = feature_sums(small_net, image, [(layer, lambda f, *_: Moments.of(f).tensors) for layer in STYLE_LAYERS])
    for layer, found in zip(STYLE_LAYERS, sums, strict=True):
        torch.testing.assert_close(found[2], Moments.of(maps[layer]).second)


def test_only_the_layers_needed_run(small_net, monkeypatch):
    ran = []
    step = type(small_net).step
    monkeypatch.setattr(
        type(small_net), "step", lambda net, name, x, keep=(): ran.append(name) or step(net, name, x, keep)
    )
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    feature_sums(small_net, image, [("relu2_1", lambda f, *_: (f.sum(),))])
    assert ran[-1] == "relu2_1"


def test_a_tap_on_a_convolution_sees_negative_values(small_net):
    image = torch.rand(1, 3, 40, 40, dtype=torch.float64)
    taps = [("conv2_1", lambda f, *_: (f.clamp_max(0).sum(),)), ("relu2_1", lambda f, *_: (f.sum(),))]
    for plan in (FULL, Plan(2, 32)):
        (negative,), (positive,) = feature_sums(small_net, image, taps, plan)
        assert negative.item() < 0 < positive.item()


def test_second_derivatives_through_tiles_are_refused(small_net):
    """They would lack all that the tiles did."""
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)

    def gradient(plan):
        ((_, _, second),) = feature_sums(small_net, image, [("relu3_1", lambda f, *_: Moments.of(f).tensors)], plan)
        return torch.autograd.grad(second.square().mean() + image.square().sum(), image, create_graph=True)[0]

    assert torch.autograd.grad(gradient(FULL).square().sum(), image)[0].isfinite().all()
    with pytest.raises(RuntimeError, match="second derivatives do not go through tiles"):
        gradient(Plan(3, 32))
