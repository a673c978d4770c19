"""The transfer: against a textbook loop, repeatable, every setting felt."""

import itertools
import json
import shutil
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import make_net, make_picture

from nstlib import InputError, Style, StyleTransfer, load_image, stylize
from nstlib.features import STYLE_LAYERS
from nstlib.features.tiling import Plan
from nstlib.images import resize
from nstlib.transfer.descent import AVERAGING
from nstlib.transfer.optimizers import FIRST_STEP, OPTIMIZERS

CONTENT, STYLE = make_picture(64, 80, seed=1), make_picture(64, 80, seed=2)
FAST = {"backbone": "compact", "size": 64, "iterations": 6, "levels": 1, "memory": "full"}


def paint(**options):
    transfer = StyleTransfer(CONTENT, STYLE, **{**FAST, **options})
    losses = [step.losses["total"] for step in transfer]
    return transfer, losses


def textbook(net, content, style, iterations):
    """Gatys et al. 2016 as a tutorial would write it: whole feature maps, L-BFGS on the pixels."""
    content, style = (load_image(picture).double() for picture in (content, style))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

    def features(x):
        maps, x = {}, (x - mean) / std
        for block, count in enumerate((2, 2, 4, 4, 1), 1):
            for index in range(1, count + 1):
                conv = net.convs[f"conv{block}_{index}"]
                x = torch.relu(F.conv2d(x, conv.weight, conv.bias, padding=1))
                maps[f"relu{block}_{index}"] = x
            x = F.avg_pool2d(x, 2)
        return maps

    def gram(f):
        n, c, h, w = f.shape
        return f.view(c, h * w) @ f.view(c, h * w).T

    with torch.no_grad():
        goal, style_maps = features(content)["relu4_2"], features(style)
        activity = {layer: f.square().mean().sqrt() for layer, f in (*style_maps.items(), ("content", goal))}
    image = content.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([image], max_iter=1, history_size=5, tolerance_grad=0, tolerance_change=0)
    losses = []

    def closure():
        optimizer.zero_grad()
        maps = features(image)
        loss = 0.5 * ((maps["relu4_2"] - goal) / activity["content"]).square().sum()
        for layer in STYLE_LAYERS:
            f, a = maps[layer] / activity[layer], style_maps[layer] / activity[layer]
            n, m = f.shape[1], f[0, 0].numel()
            loss = loss + 1e3 * 0.2 * (gram(f) - gram(a)).square().sum() / (4 * n**2 * m**2)
        loss.backward()
        losses.append(loss.item())
        return loss

    for iteration in range(iterations):
        # torch's first step is the rate over the sum of the gradient; ours moves each value by FIRST_STEP.
        optimizer.param_groups[0]["lr"] = FIRST_STEP * image.numel() if iteration == 0 else 1.0
        optimizer.step(closure)
        image.detach().clamp_(0, 1)
    return image.detach(), losses


def test_gatys2016_is_the_textbook_loop():
    net = make_net(torch.float64, pooling="average", border="zeros")
    transfer = StyleTransfer(
        CONTENT, STYLE, preset="gatys2016", backbone=net, size=80, iterations=12, init="content", precision="float64"
    )
    losses = [step.losses["total"] for step in transfer]
    image, expected = textbook(net, CONTENT, STYLE, 12)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    torch.testing.assert_close(transfer.image, image.float(), atol=1e-6, rtol=1e-5)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name):
    transfer = StyleTransfer("sample:astronaut", "sample:starry_night", **{**FAST, "iterations": 12, "optimizer": name})
    losses = [step.losses["total"] for step in transfer]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("style_loss", ["gram", "mean_std", "wasserstein"])
def test_every_style_loss_falls(style_loss):
    _, losses = paint(style_loss=style_loss, iterations=12)
    assert losses[-1] < 0.8 * losses[0]


def test_style_approaches_and_content_goes():
    transfer = StyleTransfer(CONTENT, STYLE, **{**FAST, "iterations": 30})
    steps = [step.losses for step in transfer]
    assert steps[0]["content"] < 1e-9  # it starts from the content
    assert steps[-1]["style"] < 0.5 * steps[0]["style"]


def test_the_same_seed_gives_the_same_picture():
    first, second = (paint(init="noise", seed=3)[0].image for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, paint(init="noise", seed=4)[0].image)


def test_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    paint(init="noise", iterations=1)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("optimizer", ["Adam", "LBFGS"])
def test_tiled_transfer_is_the_untiled_one(optimizer):
    whole, losses = paint(optimizer=optimizer)
    tiled, tiled_losses = paint(optimizer=optimizer, plan=Plan(5, 32))
    assert tiled.plan == Plan(5, 32)
    np.testing.assert_allclose(tiled_losses, losses, rtol=1e-3)


def test_pyramid():
    transfer = StyleTransfer(CONTENT, STYLE, backbone="compact", size=1024, iterations=20)
    assert transfer.sizes == [(205, 256), (410, 512), (819, 1024)]
    assert sum(transfer.counts) == len(transfer) == 20
    assert transfer.counts == sorted(transfer.counts, reverse=True)
    assert StyleTransfer(CONTENT, STYLE, backbone="compact", size=512, iterations=2).counts == [1, 1]


@pytest.mark.parametrize("optimizer", ["Adam", "NAdam", "RMSprop", "SGD", "LBFGS"])
def test_every_optimizer_climbs_the_pyramid(optimizer):
    transfer = StyleTransfer(CONTENT, STYLE, backbone="compact", size=128, levels=2, iterations=10, optimizer=optimizer)
    sizes = [step.size for step in transfer]
    assert [len(list(group)) for _, group in itertools.groupby(sizes)] == transfer.counts
    assert transfer.picture.size == (128, 102)
    assert transfer.work_done == transfer.work


@pytest.mark.parametrize("layer", ["relu1_1", "relu4_1"])
def test_weights_of_style_layers_count(layer):
    only = next(StyleTransfer(CONTENT, STYLE, style_layers=[layer], **FAST)).losses["style"]
    rest = {other: 0 for other in STYLE_LAYERS if other != layer}
    among = next(StyleTransfer(CONTENT, STYLE, style_layers={**rest, layer: 3}, **FAST)).losses["style"]
    alike = next(StyleTransfer(CONTENT, STYLE, **FAST)).losses["style"]
    assert among == pytest.approx(only, rel=1e-5)
    assert among != pytest.approx(alike, rel=0.05)


def test_weights_of_content_layers_count():
    def content_loss(**layers):
        return next(StyleTransfer(CONTENT, STYLE, init="style", content_layers=layers, **FAST)).losses["content"]

    first, second = content_loss(relu1_1=1), content_loss(relu4_2=1)
    assert content_loss(relu1_1=1, relu4_2=3) == pytest.approx((first + 3 * second) / 4, rel=1e-5)
    assert first != pytest.approx(second, rel=0.05)


def test_brush_sets_the_size_of_the_style():
    """The style's loss against itself is 0 at its own scale alone."""

    def loss(scale):
        options = {**FAST, "size": 80, "brush": scale, "margin": 0}
        return next(StyleTransfer(STYLE, STYLE, **options)).losses["style"]

    assert loss(1) == pytest.approx(0, abs=1e-6)
    assert loss(0.5) > 0.01
    # Smaller strokes: the finest layers of the style at half its size are those of a picture of half its size.
    small = resize(load_image(STYLE), (32, 40))
    half = next(StyleTransfer(CONTENT, STYLE, **{**FAST, "size": 80, "brush": 0.5})).losses["style"]
    assert half == pytest.approx(
        next(StyleTransfer(CONTENT, small, **{**FAST, "size": 80, "brush": 0.5})).losses["style"], rel=1e-4
    )


def test_weights_may_change_while_it_runs():
    transfer = StyleTransfer(CONTENT, STYLE, **FAST)
    first = next(transfer).losses
    transfer.settings.style_weight *= 10
    second = next(transfer).losses
    weights = transfer.settings
    assert second["total"] == pytest.approx(
        second["content"] + weights.style_weight * second["style"] + weights.tv_weight * second["tv"], rel=1e-5
    )
    assert second["total"] > 2 * first["total"]


def test_optimizer_and_learning_rate_may_change_while_it_runs():
    def moved(**changes):
        transfer = StyleTransfer(CONTENT, STYLE, **{**FAST, "optimizer": "Adam"})
        next(transfer)
        before = transfer.image
        for name, value in changes.items():
            setattr(transfer.settings, name, value)
        next(transfer)
        return (transfer.image - before).abs().mean().item()

    usual = moved()
    assert moved(optimizer="SGD", learning_rate=1e-9) < 1e-3 * usual
    assert moved(learning_rate=0.3) > 2 * usual


def test_what_is_not_live_is_refused_while_it_runs():
    transfer = StyleTransfer(CONTENT, STYLE, **FAST)
    for name, value in (("size", 128), ("color", "pca"), ("style_loss", "wasserstein"), ("unitless", False)):
        with pytest.raises(
            InputError, match=f"{name} cannot be changed while a transfer runs; live are content_weight"
        ):
            setattr(transfer.settings, name, value)
    with pytest.raises(InputError, match="style_weight must be a number of at least 0, received -5"):
        transfer.settings.style_weight = -5
    with pytest.raises(InputError, match="unknown setting 'stile_weight'.*did you mean 'style_weight'"):
        transfer.settings.stile_weight = 5
    with pytest.raises(InputError, match="keeps its style_layers: give one the weight 0"):
        transfer.settings.style_layers = ["relu1_1"]
    next(transfer)
    removed = transfer.settings.style_layers.pop("relu5_1")
    with pytest.raises(InputError, match="keeps its layers"):
        next(transfer)
    transfer.settings.style_layers["relu5_1"] = removed
    transfer.settings.style_layers["relu1_1"] = -1
    with pytest.raises(InputError, match=r"style_layers\['relu1_1'\] must be a number of at least 0"):
        next(transfer)
    transfer.settings.style_layers["relu1_1"] = 0
    next(transfer)


def test_several_styles_blend():
    half = StyleTransfer(CONTENT, [Style(CONTENT), Style(STYLE, weight=0)], margin=0, **FAST)
    assert next(half).losses["style"] == pytest.approx(0, abs=1e-6)  # all weight on the content itself
    assert next(StyleTransfer(CONTENT, [CONTENT, STYLE], **FAST)).losses["style"] > 1e-3


@pytest.mark.parametrize("init", ["content", "noise", "style", "array"])
def test_starting_points(init):
    given = make_picture(30, 40, seed=9) if init == "array" else init
    transfer = StyleTransfer(CONTENT, STYLE, **{**FAST, "iterations": 1, "init": given})
    assert transfer.image.shape == (1, 3, 51, 64)
    expected = {"content": CONTENT, "style": STYLE, "array": given}.get(init)
    if expected is not None:
        torch.testing.assert_close(transfer.image, resize(load_image(expected), (51, 64)))
    assert next(transfer).losses["total"] > 0


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.15), ("float64", 0.01)])
def test_precisions_agree(precision, tolerance):
    _, expected = paint(iterations=15)
    _, losses = paint(iterations=15, precision=precision)
    np.testing.assert_allclose(losses, expected, rtol=tolerance)


def test_what_is_shown_is_the_mean_of_the_iterates():
    """The iterate that the running mean tells of is the one whose loss the next step reports."""
    options = {**FAST, "optimizer": "Adam", "learning_rate": 0.1, "iterations": 9, "margin": 0}
    transfer = StyleTransfer(CONTENT, STYLE, **options)
    means, losses = [transfer.image], []
    for step in transfer:
        losses.append(step.losses["total"])
        means.append(transfer.image)
    weight = 0.0
    for before, mean, loss in zip(means, means[1:], losses[1:], strict=False):
        weight = AVERAGING * weight + 1 - AVERAGING
        iterate = before + (mean - before) * weight / (1 - AVERAGING)
        alone = StyleTransfer(CONTENT, STYLE, init=iterate.clamp(0, 1), **options)
        assert next(alone).losses["total"] == pytest.approx(loss, rel=1e-3)


def test_the_loss_of_lbfgs_is_that_of_the_picture_it_shows():
    """And not of one with values that no picture can have."""
    options = {**FAST, "optimizer": "LBFGS", "style_weight": 1e4, "margin": 0}
    content, style = "sample:astronaut", "sample:starry_night"
    transfer = StyleTransfer(content, style, **{**options, "iterations": 12})
    shown, clipped = None, False
    for step in transfer:
        if shown is not None:
            alone = StyleTransfer(content, style, **{**options, "iterations": 1, "init": shown})
            assert step.losses["total"] == pytest.approx(next(alone).losses["total"], rel=1e-4)
        shown = transfer.image
        clipped = clipped or ((shown == 0) | (shown == 1)).any()
    assert clipped  # it would have left the range


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (np.zeros((1, 1, 3), np.uint8), {"size": None}, "the content would be 1 x 1 pixels"),
        (np.zeros((1, 4000, 3), np.uint8), {}, "need at least 16 on each side"),
        (CONTENT, {"size": 8}, "would be 8 x 6 pixels"),
        (CONTENT, {"levels": 4}, "the content would be 8 x 6 pixels"),
        (CONTENT, {"style_layers": ["relu9_1"]}, "unknown layer 'relu9_1'; choose from conv1_1"),
        (CONTENT, {"style_layers": {}}, "at least one"),
        (CONTENT, {"optimizer": "Newton"}, "choose from Adam, AdamW"),
        (CONTENT, {"colour": 1}, "unknown option 'colour'; choose from style_strength"),
        (CONTENT, {"preset": "gatys"}, "choose from default, gatys2016"),
        (CONTENT, {"device": "tpu"}, "choose from auto, all, cuda, mps, cpu"),
        (CONTENT, {"init": "nothing.png"}, "no such file: nothing.png"),
        (CONTENT, {"style_blend": (1, 2, 3)}, "style_blend is gone: the weight of a style is its own, Style"),
        (CONTENT, {"style_scale": 2}, "style_scale is gone: brush is the size of strokes"),
        (CONTENT, {"backbone": make_net(), "pooling": "average"}, "the network given has pooling 'max'"),
        (CONTENT, {"backbone": make_net(), "padding": "reflect"}, "the network given has padding 'replicate'"),
        (CONTENT, {"backbone": make_net(), "weights": "vgg.pth"}, "the one given has its own"),
    ],
)  # fmt: skip
def test_bad_input_is_named_before_any_work(content, options, message):
    with pytest.raises(InputError, match=message):
        StyleTransfer(content, STYLE, **{**FAST, **options})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_device():
    with pytest.raises(InputError, match="device cuda is not available"):
        StyleTransfer(CONTENT, STYLE, **FAST, device="cuda")


def test_grey_and_constant_styles_are_fine():
    for style in (np.full((64, 64, 3), 90, np.uint8), np.full((64, 64), 90, np.uint8), make_picture(64, 64)[..., 0]):
        for loss in ("gram", "mean_std", "wasserstein"):
            transfer = StyleTransfer(CONTENT, style, **{**FAST, "iterations": 2, "style_loss": loss})
            assert all(np.isfinite(step.losses["total"]) for step in transfer)


def test_settings_survive_json():
    transfer = StyleTransfer(CONTENT, STYLE, **FAST)
    again = StyleTransfer(CONTENT, STYLE, **json.loads(json.dumps(transfer.as_dict())))
    assert again.as_dict() == transfer.as_dict()


def test_what_a_saved_picture_cannot_hold_is_asked_for():
    options = {**FAST, "init": CONTENT, "backbone": make_net()}
    saved = json.loads(json.dumps(StyleTransfer(CONTENT, STYLE, **options).as_dict()))
    with pytest.raises(InputError, match="saved with a network given in code; pass it again"):
        StyleTransfer(CONTENT, STYLE, **{**saved, "init": "content"})
    with pytest.raises(InputError, match="saved with a picture given in code as init; pass it again"):
        StyleTransfer(CONTENT, STYLE, **{**saved, "backbone": "compact"})
    with pytest.warns(UserWarning, match="saved with the network [0-9a-f]+; this one is [0-9a-f]+"):
        StyleTransfer(CONTENT, STYLE, **{**saved, "init": CONTENT, "backbone": "compact"})
    StyleTransfer(CONTENT, STYLE, **{**saved, "init": CONTENT, "backbone": make_net()})  # the same: no warning


def test_a_plan_is_a_plan():
    with pytest.raises(TypeError, match="plan must be a Plan or None, received 'full'"):
        StyleTransfer(CONTENT, STYLE, plan="full", **FAST)


def test_double_precision_shows_single_precision_pictures():
    assert paint(precision="float64", iterations=1)[0].image.dtype == torch.float32


def test_local_folders_are_not_published(tmp_path):
    transfer = StyleTransfer(CONTENT, STYLE, **FAST)
    settings = type(transfer.settings)(init=str(tmp_path / "start.png"), weights=tmp_path / "vgg.pth").as_dict()
    assert (settings["init"], settings["weights"]) == ("start.png", "vgg.pth")
    for given, kept in (
        ((tmp_path / "start.png").as_uri(), "start.png"), (f'"{tmp_path}/start.png"', "start.png"),
        ("https://example.org/start.png", "https://example.org/start.png"), ("data:image/png;base64,AAAA", "given"),
        ("sample:chelsea", "sample:chelsea"),
    ):  # fmt: skip
        assert type(transfer.settings)(init=given).as_dict()["init"] == kept


def test_warnings_are_not_raised_by_a_normal_run():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stylize(CONTENT, STYLE, progress=False, **FAST).size == (64, 51)


@pytest.mark.filterwarnings("ignore")  # torch.compile warns of its own doings
def test_compiled_network_gives_the_same_losses():
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler on the CPU")
    few = {"iterations": 2, "style_layers": ["relu1_1", "relu2_1"], "content_layers": ["relu2_2"]}  # compiling is slow
    _, expected = paint(**few)
    _, losses = paint(**few, compile=True)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_a_network_given_is_left_as_it_is():
    net = make_net()
    transfer = StyleTransfer(CONTENT, STYLE, backbone=net, size=64, iterations=1, precision="float64")
    assert transfer.backbone.dtype == torch.float64
    assert net.dtype == torch.float32


AMBIENT = {
    "inference_mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "another device": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("mode", AMBIENT)
@pytest.mark.parametrize("start", ["content", "noise"])
def test_the_callers_torch_modes_change_nothing(mode, start):
    options = {**FAST, "iterations": 3, "init": start, "color": "histogram_after", "progress": False}
    rgba = np.dstack([CONTENT, CONTENT[..., 0]])
    expected = stylize(rgba, STYLE, **options)
    with AMBIENT[mode]():
        assert stylize(rgba, STYLE, **options) == expected
        assert torch.is_inference_mode_enabled() == (mode == "inference_mode")


def test_another_default_type_changes_nothing():
    expected = paint(iterations=3)[1]
    torch.set_default_dtype(torch.float64)
    try:
        assert paint(iterations=3)[1] == expected
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_larger_style_strength_gives_a_picture_nearer_to_the_style():
    def losses(strength):
        options = {**FAST, "iterations": 20, "style_strength": strength}
        *_, last = StyleTransfer("sample:chelsea", "sample:starry_night", **options)
        return last.losses

    weak, less, usual = map(losses, (0.02, 0.1, 0.5))
    assert weak["style"] > less["style"] > usual["style"]
    assert weak["content"] < less["content"] < usual["content"]
