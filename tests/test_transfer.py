"""The transfer: against a textbook loop, repeatable, interruptible, resumable."""

import itertools
import json
import shutil
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import make_net, make_picture

from nstlib import Diverged, InputError, StyleTransfer, load_image, stylize
from nstlib import objective as objective_module
from nstlib import transfer as transfer_module
from nstlib.features import STYLE_LAYERS
from nstlib.optimizers import OPTIMIZERS
from nstlib.run import run
from nstlib.tiling import FULL, Plan

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
    optimizer = torch.optim.LBFGS(
        [image], max_iter=iterations, max_eval=10**6, history_size=10, tolerance_grad=0, tolerance_change=0
    )
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

    optimizer.step(closure)
    return image.detach(), losses


def test_gatys2016_is_the_textbook_loop(monkeypatch):
    monkeypatch.setattr("nstlib.optimizers.FIRST_STEP", 1 / (3 * 64 * 80))  # torch's own
    net = make_net(torch.float64, pooling="average", padding="zeros")
    transfer = StyleTransfer(
        CONTENT, STYLE, preset="gatys2016", backbone=net, size=80, iterations=12, init="content", precision="float64"
    )
    losses = [step.losses["total"] for step in transfer]
    image, expected = textbook(net, CONTENT, STYLE, 12)
    np.testing.assert_allclose(losses, expected[:12], rtol=1e-6)
    torch.testing.assert_close(transfer._image.detach(), image, atol=1e-6, rtol=1e-5)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name):
    _, losses = paint(optimizer=name, iterations=12)
    assert losses[-1] < 0.8 * losses[0]


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
def test_tiled_transfer_is_the_untiled_one(optimizer, monkeypatch):
    whole, losses = paint(optimizer=optimizer)
    monkeypatch.setattr(transfer_module, "plan_for", lambda *args, **options: Plan(5, 32))
    tiled, tiled_losses = paint(optimizer=optimizer)
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


def test_warm_start_enlarges_momenta():
    options = {"backbone": "compact", "size": 128, "levels": 2, "iterations": 10, "optimizer": "Adam"}
    transfer = StyleTransfer(CONTENT, STYLE, **options)
    for step in transfer:
        if step.size == transfer.sizes[1]:
            break
    state = transfer._optimizer.state[transfer._image]
    assert state["exp_avg"].shape == transfer._image.shape
    assert state["step"] == step.iteration  # and does not forget how long it ran
    assert state["exp_avg_sq"].min() >= 0


def test_weights_may_change_while_it_runs():
    transfer = StyleTransfer(CONTENT, STYLE, **FAST)
    first = next(transfer).losses
    transfer.settings.style_weight *= 10
    second = next(transfer).losses
    weights = transfer.settings
    assert second["total"] == pytest.approx(
        second["content"] + weights.style_weight * second["style"] + weights.tv_weight * second["image"], rel=1e-5
    )
    assert second["total"] > 2 * first["total"]
    transfer.settings.optimizer = "SGD"
    transfer.settings.learning_rate = 0.01
    next(transfer)
    assert isinstance(transfer._optimizer, torch.optim.SGD)
    assert transfer._optimizer.param_groups[0]["lr"] == 0.01


def test_several_styles_blend():
    half = StyleTransfer(CONTENT, [CONTENT, STYLE], style_blend=(1, 0), **FAST)
    assert next(half).losses["style"] == pytest.approx(0, abs=1e-6)  # all weight on the content itself
    assert next(StyleTransfer(CONTENT, [CONTENT, STYLE], **FAST)).losses["style"] > 1e-3


@pytest.mark.parametrize("init", ["content", "noise", "style", "array"])
def test_starting_points(init):
    given = make_picture(30, 40, seed=9) if init == "array" else init
    transfer = StyleTransfer(CONTENT, STYLE, **{**FAST, "iterations": 1, "init": given})
    assert transfer.image.shape == (1, 3, 51, 64)
    assert next(transfer).losses["total"] > 0


def test_transparency_reaches_the_result():
    content = np.dstack([CONTENT, np.full(CONTENT.shape[:2], 128, np.uint8)])
    assert StyleTransfer(content, STYLE, **FAST).picture.mode == "RGBA"


@pytest.mark.parametrize(("precision", "tolerance"), [("float16", 0.15), ("bfloat16", 0.15), ("float64", 0.01)])
def test_precisions_agree(precision, tolerance):
    _, expected = paint(iterations=15)
    _, losses = paint(iterations=15, precision=precision)
    np.testing.assert_allclose(losses, expected, rtol=tolerance)


def test_lbfgs_forgets_the_old_loss_when_weights_change():
    transfer = StyleTransfer(CONTENT, STYLE, **{**FAST, "iterations": 12})
    for step in transfer:
        if step.iteration == 6:
            transfer.settings.style_weight *= 100
            before = transfer._optimizer
        if step.iteration == 7:
            assert transfer._optimizer is not before
            raised = step.losses["total"]
    assert transfer._optimizer is not before
    assert step.losses["total"] < raised


@pytest.mark.parametrize("optimizer", ["Adam", "LBFGS", "SGD"])
def test_resumed_run_gives_the_same_picture(tmp_path, optimizer):
    options = {**FAST, "size": 128, "levels": 2, "iterations": 12, "optimizer": optimizer}
    whole, _ = paint(**options)
    for stop in (3, whole.counts[0], whole.counts[0] + 2):  # within a level, at its end, in the next
        part = StyleTransfer(CONTENT, STYLE, **options)
        for step in part:
            if step.iteration == stop:
                break
        part.save_checkpoint(tmp_path / "state.pt")
        rest = StyleTransfer(CONTENT, STYLE, **options)
        rest.load_checkpoint(tmp_path / "state.pt")
        assert len(list(rest)) == 12 - stop
        assert torch.equal(rest.image, whole.image)
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_checkpoints_of_other_work_are_refused(tmp_path):
    path = tmp_path / "state.pt"
    StyleTransfer(CONTENT, STYLE, **FAST).save_checkpoint(path)
    with pytest.raises(InputError, match="other pictures or settings"):
        StyleTransfer(STYLE, CONTENT, **FAST).load_checkpoint(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="other pictures or settings"):
        StyleTransfer(CONTENT, STYLE, **FAST).load_checkpoint(path)
    for rubbish in (b"rubbish", b"", b"PK\x03\x04 rubbish"):
        path.write_bytes(rubbish)
        with pytest.raises(InputError, match="is not a checkpoint"):
            StyleTransfer(CONTENT, STYLE, **FAST).load_checkpoint(path)


def test_interruption_gives_back_the_picture_so_far(tmp_path, monkeypatch):
    update = StyleTransfer._update

    def interrupted(self):
        if self.iteration == 4:
            raise KeyboardInterrupt
        return update(self)

    monkeypatch.setattr(StyleTransfer, "_update", interrupted)
    path = tmp_path / "state.pt"
    with pytest.warns(UserWarning, match="interrupted at iteration 4 of 6"):
        picture = stylize(CONTENT, STYLE, progress=False, checkpoint=path, **FAST)
    monkeypatch.undo()
    assert np.asarray(picture).std() > 0
    resumed = stylize(CONTENT, STYLE, progress=False, checkpoint=path, resume=True, **FAST)
    assert resumed == paint()[0].picture


def test_the_loss_of_lbfgs_is_that_of_the_picture_it_shows():
    """And not of one with values that no picture can have."""
    transfer = StyleTransfer(CONTENT, STYLE, **{**FAST, "optimizer": "LBFGS", "iterations": 12, "style_weight": 1e4})
    shown = None
    for step in transfer:
        if shown is not None and shown.shape[2:] == step.size:
            with torch.no_grad():
                loss = transfer._objective(shown, FULL)[3].item()
            assert step.losses["total"] == pytest.approx(loss, rel=1e-4)
        shown = transfer.image
    assert ((shown == 0) | (shown == 1)).any()  # it would have left the range


@pytest.mark.parametrize("levels", [1, 2])
def test_divergence_in_the_last_iteration_of_a_size(levels):
    """The loss of what the last step makes is never taken."""
    options = {**FAST, "levels": levels, "iterations": levels, "style_weight": 1e38}
    with pytest.warns(UserWarning, match="became (inf|nan) at iteration 1"):
        picture = stylize(CONTENT, STYLE, progress=False, **options)
    assert np.asarray(picture).std() > 0


def test_divergence_keeps_the_last_good_picture():
    transfer = StyleTransfer(CONTENT, STYLE, **{**FAST, "iterations": 20})
    for step in transfer:
        if step.iteration == 4:
            break
    good = transfer.image.clone()
    next(transfer)  # what this step made is what will be found wanting
    transfer.settings.style_weight = float("inf")
    with pytest.raises(Diverged, match=r"became (inf|nan) at iteration 6"):
        next(transfer)
    torch.testing.assert_close(transfer.image, good, rtol=0, atol=1e-3)  # kept in half precision
    with pytest.warns(UserWarning, match="last good one"):
        assert run(transfer, progress=False) is False


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_tightens_the_plan(monkeypatch, error):
    whole, _ = paint()
    real, plans = objective_module.feature_sums, []

    def scarce(net, image, taps, plan):
        plans.append(plan)
        if plan.tiled_blocks < 5 and image.requires_grad:
            raise error
        return real(net, image, taps, plan)

    monkeypatch.setattr(objective_module, "feature_sums", scarce)
    with pytest.warns(UserWarning) as caught:
        transfer, losses = paint()
    assert str(caught[0].message) == "out of memory with untiled: going on with blocks 1-2 in tiles of 256 px"
    assert len(caught) == 3
    assert len(losses) == 6  # no iteration is lost
    assert transfer.plan == Plan(5, 256)
    assert FULL in plans
    torch.testing.assert_close(transfer.image, whole.image, atol=1e-3, rtol=0)


def test_other_errors_pass_through(monkeypatch):
    def broken(*args):
        raise RuntimeError("something else")

    transfer = StyleTransfer(CONTENT, STYLE, **FAST)
    monkeypatch.setattr(objective_module, "feature_sums", broken)
    with pytest.raises(RuntimeError, match="something else"):
        next(transfer)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (np.zeros((1, 1, 3), np.uint8), {"size": None}, "the content would be 1 x 1 pixels"),
        (np.zeros((1, 4000, 3), np.uint8), {}, "need at least 16 on each side"),
        (CONTENT, {"size": 8}, "would be 8 x 6 pixels"),
        (CONTENT, {"style_layers": ["relu7_1"]}, "unknown layer 'relu7_1'"),
        (CONTENT, {"optimizer": "Adamax"}, "choose from Adam, AdamW, NAdam, RMSprop, SGD, LBFGS"),
        (CONTENT, {"style_loss": "mmd"}, "choose from gram, mean_std, wasserstein"),
        (CONTENT, {"iterations": 0}, "iterations must be a whole number"),
        (CONTENT, {"style_weight": -1}, "style_weight must be a number of at least 0"),
        (CONTENT, {"content_weight": float("nan")}, "content_weight must be a number"),
        (CONTENT, {"learning_rate": 0}, "learning_rate must be"),
        (CONTENT, {"style_blend": (1, 2)}, "1 style pictures need as many blend weights, received 2"),
        (CONTENT, {"style_layers": {"relu1_1": 0}}, "weights of at least 0 that are not all 0"),
        (CONTENT, {"memory": "little"}, "choose from auto, full, tiled"),
        (CONTENT, {"colour": 1}, "unknown option 'colour'; choose from size"),
        (CONTENT, {"preset": "gatys"}, "choose from default, gatys2016"),
        (CONTENT, {"device": "tpu"}, "choose from auto, cuda, mps, cpu"),
        (CONTENT, {"init": "nothing.png"}, "no such file: nothing.png"),
    ],
)
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
    again = StyleTransfer(CONTENT, STYLE, **json.loads(json.dumps(transfer.settings.as_dict())))
    assert again.settings == transfer.settings


def test_warnings_are_not_raised_by_a_normal_run():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stylize(CONTENT, STYLE, progress=False, **FAST).size == (64, 51)


@pytest.mark.filterwarnings("ignore")  # torch.compile warns of its own doings
def test_compiled_network_gives_the_same_losses():
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler on the CPU")
    _, expected = paint(iterations=2)
    _, losses = paint(iterations=2, compile=True)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


@pytest.mark.parametrize("moment", ["_losses_and_gradient", "_aim"])
def test_an_interrupted_transfer_can_go_on(moment, monkeypatch, tmp_path):
    options = {**FAST, "size": 128, "levels": 2, "iterations": 8}
    whole, _ = paint(**options)
    transfer, calls = StyleTransfer(CONTENT, STYLE, **options), itertools.count()
    real = getattr(StyleTransfer, moment)
    when = {"_losses_and_gradient": 3, "_aim": 1}[moment]

    def interrupted(self):
        if next(calls) == when:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(StyleTransfer, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(transfer)
    transfer.save_checkpoint(tmp_path / "state.pt")
    assert torch.equal(list(transfer)[-1]._transfer.image, whole.image)
    resumed = StyleTransfer(CONTENT, STYLE, **options)
    resumed.load_checkpoint(tmp_path / "state.pt")
    list(resumed)
    assert torch.equal(resumed.image, whole.image)


def test_a_network_given_is_left_as_it_is():
    net = make_net()
    transfer = StyleTransfer(CONTENT, STYLE, backbone=net, size=64, iterations=1, precision="float64")
    assert transfer.backbone.dtype == torch.float64
    assert net.dtype == torch.float32


def test_originals_are_let_go_at_the_last_size(tmp_path):
    options = {**FAST, "size": 128, "levels": 2, "iterations": 6}
    transfer = StyleTransfer(CONTENT, STYLE, **options)
    next(transfer)
    transfer.save_checkpoint(tmp_path / "first.pt")
    list(transfer)
    assert transfer._content is None
    transfer.save_checkpoint(tmp_path / "last.pt")
    transfer.load_checkpoint(tmp_path / "last.pt")  # of the same size: nothing is missing
    with pytest.raises(InputError, match="load the checkpoint into a new one"):
        transfer.load_checkpoint(tmp_path / "first.pt")
