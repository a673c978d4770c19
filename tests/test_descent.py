"""What may go wrong on the way down: overflow, divergence, too little memory, Ctrl-C."""

import gc
import itertools
import os
import signal
import weakref

import numpy as np
import pytest
import torch
from conftest import Hooked, make_net, make_picture

from nstlib import Diverged, InputError, StyleTransfer, stylize
from nstlib.features.tiling import Plan
from nstlib.transfer.run import run

CONTENT, STYLE = make_picture(64, 96, seed=1), make_picture(64, 96, seed=2)
FAST = {"backbone": "compact", "size": 64, "iterations": 6, "levels": 1, "memory": "full"}
SMALL = {"size": 64, "iterations": 8, "levels": 1, "memory": "full"}


def hooked(hook):
    net = make_net(kind=Hooked)
    net.hook = hook
    return net


def after(calls, act):
    """A hook that calls ``act(x)`` once, at this call."""
    count = itertools.count(1)
    return lambda x: act(x) if next(count) == calls else x


HALF = [
    ("Adam", 1, "gram", "dark"), ("Adam", 1e4, "wasserstein", "bright"), ("Adam", 1000, "mean_std", "constant"),
    ("LBFGS", 1000, "gram", "normal"), ("LBFGS", 20, "wasserstein", "bright"),
]  # fmt: skip


@pytest.mark.parametrize(("optimizer", "beta", "style_loss", "kind"), HALF)
def test_half_precision_ends_where_single_does(optimizer, beta, style_loss, kind):
    style = {
        "normal": STYLE, "dark": STYLE // 12, "bright": 255 - STYLE // 12, "constant": np.full_like(STYLE, 90),
    }[kind]  # fmt: skip
    options = {"backbone": "compact", "size": 64, "levels": 1, "iterations": 30, "margin": 0}
    options |= {"optimizer": optimizer, "style_weight": beta, "style_loss": style_loss}
    single, half = (
        [step.losses["total"] for step in StyleTransfer(CONTENT, style, precision=precision, **options)]
        for precision in ("float32", "float16")
    )
    assert np.isfinite(half).all()
    assert half[0] == pytest.approx(single[0], rel=5e-3)
    # Pictures that begin one grey level apart end as far apart as this, in single precision alone.
    assert half[-1] == pytest.approx(single[-1], rel=0.1)


def test_gradients_that_overflow_are_taken_again_of_a_smaller_loss():
    calls = []

    def count(x):
        calls.append(x.requires_grad)
        return x

    transfer = StyleTransfer(CONTENT, STYLE, backbone=hooked(count), precision="float16", style_weight=1e6, **SMALL)
    losses = next(transfer).losses
    assert np.isfinite(losses["total"])
    assert sum(calls) > 3  # more than one run of each segment
    assert transfer.image.isfinite().all()


@pytest.mark.parametrize("optimizer", ["Adam", "LBFGS"])
def test_after_divergence_a_lowered_weight_goes_on_from_the_last_good_picture(optimizer):
    options = {**FAST, "iterations": 12, "optimizer": optimizer}
    transfer = StyleTransfer("sample:astronaut", "sample:starry_night", **options)
    for _ in range(4):
        good = transfer.image  # the last one whose loss was taken
        next(transfer)
    transfer.settings.style_weight = 1e45
    with pytest.raises(Diverged, match="the loss became (inf|nan): the picture is the last good one"):
        next(transfer)
    torch.testing.assert_close(transfer.image, good, rtol=0, atol=1e-3)  # kept in half precision
    assert transfer.iteration == 4
    with pytest.raises(Diverged):
        next(transfer)
    transfer.settings.style_weight = 20
    losses = [step.losses["total"] for step in transfer]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    assert transfer.image.isfinite().all()


@pytest.mark.parametrize("style_loss", ["gram", "mean_std", "wasserstein"])
def test_a_network_that_gives_nan_diverges_with_every_loss(style_loss):
    """The picture so far comes back, and no error of the mathematics inside."""
    net = hooked(after(40, lambda x: x * torch.nan))
    with pytest.warns(UserWarning, match="the last good one"):
        picture = stylize(
            CONTENT, STYLE, backbone=net, style_loss=style_loss, progress=False, **{**SMALL, "iterations": 50}
        )
    assert np.asarray(picture).std() > 0


@pytest.mark.parametrize("levels", [1, 2])
def test_divergence_in_the_last_iteration_of_a_size(levels):
    """The loss of what the last step makes is never taken."""
    options = {**FAST, "levels": levels, "iterations": levels, "style_weight": 1e38, "optimizer": "SGD"}
    with pytest.warns(UserWarning, match="last good one"):
        picture = stylize(CONTENT, STYLE, progress=False, learning_rate=1e30, **options)
    assert np.asarray(picture).std() > 0


def test_divergence_ends_a_run():
    transfer = StyleTransfer(CONTENT, STYLE, **FAST, style_weight=1e45)
    with pytest.warns(UserWarning, match="last good one"):
        assert run(transfer, progress=False).end == "diverged"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_tightens_the_plan(error):
    whole = StyleTransfer(CONTENT, STYLE, backbone=make_net(), **SMALL)
    expected = [step.losses["total"] for step in whole]

    def scarce(x):
        if x.requires_grad and x.shape[-1] * x.shape[-2] > 40 * 40:
            raise error
        return x

    transfer = StyleTransfer(CONTENT, STYLE, backbone=hooked(scarce), **{**SMALL, "memory": "full"})
    with pytest.warns(UserWarning, match="out of memory with") as caught, pytest.raises(type(error)):
        list(transfer)  # not even the smallest tiles are small enough
    assert str(caught[0].message) == "out of memory with untiled: going on with blocks 1-2 in tiles of 256 px"
    assert transfer.plan == Plan(5, 128)

    count = itertools.count()

    def scarce_twice(x):
        if x.requires_grad and next(count) < 2:
            raise error
        return x

    transfer = StyleTransfer(CONTENT, STYLE, backbone=hooked(scarce_twice), **SMALL)
    with pytest.warns(UserWarning, match="out of memory with"):
        losses = [step.losses["total"] for step in transfer]
    assert transfer.plan == Plan(3, 256)
    np.testing.assert_allclose(losses, expected, rtol=1e-3)  # no iteration is lost, none is done twice


def test_running_out_of_memory_in_the_update_shortens_the_history_of_lbfgs(monkeypatch):
    """The vectors of L-BFGS are torch's own; only a failing torch can show what happens then."""
    transfer = StyleTransfer(CONTENT, STYLE, backbone=make_net(), **{**SMALL, "iterations": 20})
    for _ in range(5):
        next(transfer)
    real, calls = torch.optim.LBFGS.step, itertools.count()

    def scarce(self, closure):
        if next(calls) == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, closure)

    monkeypatch.setattr(torch.optim.LBFGS, "step", scarce)
    with pytest.warns(UserWarning, match="L-BFGS goes on with 2 pairs"):
        losses = [step.losses["total"] for step in transfer]
    assert len(losses) == 15
    assert losses[-1] < losses[0]


def test_without_memory_for_any_history_the_iteration_fails(monkeypatch):
    """And none is counted that moved nothing."""
    transfer = StyleTransfer(CONTENT, STYLE, backbone=make_net(), **SMALL)
    start = transfer.image

    def scarce(self, closure):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.optim.LBFGS, "step", scarce)
    with pytest.warns(UserWarning, match="goes on with") as caught, pytest.raises(torch.OutOfMemoryError):
        next(transfer)
    assert ["2 pairs" in str(warning.message) for warning in caught] == [True]
    assert transfer.iteration == 0
    assert torch.equal(transfer.image, start)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_shortened_history_stays_short(monkeypatch, tmp_path, resumed):
    """At the next size, which needs more memory, and after a resumption."""
    options = {**SMALL, "levels": 2, "iterations": 12, "backbone": make_net()}
    transfer, lengths, real = StyleTransfer(CONTENT, STYLE, **options), [], torch.optim.LBFGS.step

    def watched(self, closure):
        lengths.append(self.param_groups[0]["history_size"])
        if len(lengths) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, closure)

    monkeypatch.setattr(torch.optim.LBFGS, "step", watched)
    with pytest.warns(UserWarning, match="goes on with 2 pairs"):
        next(transfer)
    if resumed:
        transfer.save_checkpoint(tmp_path / "state.pt")
        transfer = StyleTransfer(CONTENT, STYLE, **options)
        transfer.load_checkpoint(tmp_path / "state.pt")
    list(transfer)
    assert lengths[1:] == [2] * 12


def test_weights_may_be_numbers_of_numpy_when_a_checkpoint_is_saved(tmp_path):
    class Brightness:
        name, weight = "brightness", np.float64(3)

        def targets(self, view):
            return None

        def taps(self, view, targets):
            return []

        def loss(self, image, sums, targets):
            return image.mean((1, 2, 3))

    def make():
        return StyleTransfer(CONTENT, STYLE, terms=[Brightness()], **FAST)

    transfer, other = make(), make()
    transfer.settings.content_layers["relu4_2"] = np.float64(2)
    next(transfer)
    transfer.save_checkpoint(tmp_path / "state.pt")
    other.load_checkpoint(tmp_path / "state.pt")
    assert torch.equal(other.image, transfer.image)


def test_nothing_keeps_a_transfer_alive():
    """Its network and history are gigabytes that the next one needs: no cycle waits for a collection."""
    gc.collect()
    gc.disable()
    try:
        transfer = StyleTransfer(CONTENT, STYLE, backbone=make_net(), **{**SMALL, "levels": 2})
        list(transfer)
        alive = weakref.ref(transfer)
        del transfer
        assert alive() is None
    finally:
        gc.enable()


def test_other_errors_pass_through():
    def broken(x):
        raise RuntimeError("something else")

    transfer = StyleTransfer(CONTENT, STYLE, backbone=hooked(broken), **SMALL)
    with pytest.raises(RuntimeError, match="something else"):
        next(transfer)


@pytest.mark.parametrize("call", [1, 5, 12, 17, 25])
@pytest.mark.parametrize("optimizer", ["Adam", "LBFGS"])
def test_an_interrupted_transfer_can_go_on(call, optimizer, tmp_path):
    """Wherever the interruption comes, between two sizes too."""
    options = {**SMALL, "levels": 2, "optimizer": optimizer}
    whole = StyleTransfer(CONTENT, STYLE, backbone=make_net(), **options)
    list(whole)

    def interrupt(x):
        raise KeyboardInterrupt

    transfer = StyleTransfer(CONTENT, STYLE, backbone=hooked(after(call, interrupt)), **options)
    with pytest.raises(KeyboardInterrupt):
        list(transfer)
    assert transfer.picture.size == transfer.size[::-1]
    transfer.save_checkpoint(tmp_path / "state.pt")
    resumed = StyleTransfer(CONTENT, STYLE, backbone=make_net(), **options)
    resumed.load_checkpoint(tmp_path / "state.pt")
    for rest in (transfer, resumed):
        list(rest)
        assert torch.equal(rest.image, whole.image)


def test_ctrl_c_in_the_middle_of_an_update_waits_for_its_end(monkeypatch):
    """Torch's own step receives the signal: an update half done would be worth nothing."""
    whole = StyleTransfer(CONTENT, STYLE, backbone=make_net(), optimizer="Adam", **SMALL)
    list(whole)
    transfer = StyleTransfer(CONTENT, STYLE, backbone=make_net(), optimizer="Adam", **SMALL)
    next(transfer)
    real, calls = torch.optim.Adam.step, itertools.count()

    def interrupted(self, closure=None):
        if next(calls) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(transfer)
    assert transfer.iteration == 2  # whole
    list(transfer)
    assert torch.equal(transfer.image, whole.image)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interruption_gives_back_the_picture_so_far(tmp_path):
    def interrupt(x):
        raise KeyboardInterrupt

    path = tmp_path / "state.pt"
    options = {**SMALL, "progress": False, "checkpoint": path}
    with pytest.warns(UserWarning, match="interrupted at iteration [1-7] of 8"):
        picture = stylize(CONTENT, STYLE, backbone=hooked(after(20, interrupt)), **options)
    assert np.asarray(picture).std() > 0
    resumed = stylize(CONTENT, STYLE, backbone=make_net(), resume=True, **options)
    assert resumed == stylize(CONTENT, STYLE, backbone=make_net(), progress=False, **SMALL)


def test_more_levels_than_can_be_shared_out_end():
    transfer = StyleTransfer(CONTENT, STYLE, backbone=make_net(), size=96, levels=2, iterations=2)
    assert transfer.counts == [1, 1]
    for levels, iterations in ((12, 12), (12, 14), (10, 11), (13, 20)):
        with pytest.raises(InputError, match="would be"):
            StyleTransfer(CONTENT, STYLE, backbone=make_net(), size=96, levels=levels, iterations=iterations)
