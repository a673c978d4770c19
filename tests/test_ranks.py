"""One picture over several ranks: the same picture as one process paints, whatever befalls one of them."""

import contextlib
import copy
import functools
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from conftest import make_net, make_picture
from PIL import Image

import nstlib
from nstlib import Diverged, InputError, Style, StyleTransfer
from nstlib.checkpoints import read_state
from nstlib.features.ranks import ALONE, INPUT, Elsewhere, MemoryElsewhere, Ranks
from nstlib.features.rectangles import divide, shared_sums
from nstlib.features.tiling import FULL, Plan, feature_sums
from nstlib.training.loop import TrainingState, train
from nstlib.transfer.estimate import estimate
from nstlib.transfer.memory import PLANS


@functools.cache
def small_network():
    """Made once: threads share the random numbers that it is made of."""
    return make_net(torch.float64)


def transfer_of(ranks=ALONE, size=(101, 134), style=None, transparent=False, **options):
    """A small transfer in float64."""
    options = {"size": size[1], "iterations": 30, "levels": 1, "precision": "float64", "device": "cpu", **options}
    content = make_picture(*size, 1)
    if transparent:
        content = np.dstack([content, make_picture(*size, 4)[..., :1]])
    return StyleTransfer(
        content, make_picture(70, 90, 2) if style is None else style, backbone=small_network(), ranks=ranks, **options
    )


def painted(transfer):
    for _ in transfer:
        pass
    return transfer._descent.image


# What a rank computes


@pytest.mark.parametrize("size", [(16, 16), (101, 134), (96, 640), (1080, 1920)])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 12])
def test_rectangles_cover_the_picture_once(size, count):
    covered = torch.zeros(size, dtype=torch.int64)
    rectangles = divide(size, count)
    for top, left, bottom, right in rectangles:
        assert top % 16 == left % 16 == 0
        assert bottom % 16 == 0 or bottom == size[0]
        assert right % 16 == 0 or right == size[1]
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
    assert len(rectangles) == count or size != (1080, 1920)


def test_the_grid_is_as_square_as_can_be():
    assert divide((1080, 1920), 4)[0] == (0, 0, 528, 960)
    assert len({top for top, *_ in divide((2160, 3840), 8)}) == 2
    assert len({left for _, left, *_ in divide((640, 96), 4)}) == 1


# The same picture


def in_threads(count, work):
    """What ``work(ranks)`` gives on each of so many ranks, which add up through the memory that they share."""
    barrier, parts, results, errors = threading.Barrier(count), [None] * count, [None] * count, []

    def add(index, tensor):
        parts[index] = tensor
        barrier.wait(30)
        total = sum(parts[1:], parts[0].clone())
        barrier.wait(30)
        tensor.copy_(total)

    def run(index):
        try:
            results[index] = work(Ranks(index, count, functools.partial(add, index)))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


@pytest.mark.parametrize("count", [2, 3, 6, 9])
@pytest.mark.parametrize("plan", [FULL, Plan(5, 32)])
def test_sums_and_gradient_are_those_of_the_whole_picture(count, plan):
    net = make_net(torch.float64)
    image = torch.rand(1, 3, 67, 131, dtype=torch.float64)
    weights = torch.rand(1, 1, 67, 131, dtype=torch.float64)

    def both(sums_of):
        x = image.clone().requires_grad_()
        taps = [(layer, lambda f, *_: (f.square().sum((2, 3)), f.sum((2, 3)))) for layer in ("relu1_1", "relu5_1")]
        taps.append(("conv1_1", lambda f, rows, columns: ((f * weights[..., rows, columns]).sum((2, 3)),)))
        sums = [value for values in sums_of(net, x, taps) for value in values]
        (sum(value.square().sum() for value in sums) + x.square().sum()).backward()
        return [*sums, x.grad]

    whole = both(feature_sums)
    for found in in_threads(count, lambda ranks: both(lambda *arguments: shared_sums(*arguments, plan, ranks))):
        for one, other in zip(whole, found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def test_more_ranks_than_fit_are_refused():
    with pytest.raises(
        InputError, match="20 ranks are too many for the 79 x 62 pixels of a level and its margin: use 12 of them"
    ):
        transfer_of(Ranks(0, 20), size=(101, 134), levels=2)


def regions(height, width):
    """Two styles, one of them in a soft disc."""
    y, x = np.mgrid[:height, :width]
    disc = np.clip(1.5 - np.hypot(y - height / 2, x - width / 3) / (height / 3), 0, 1)
    return [Style(make_picture(70, 90, 2), where=disc), Style(make_picture(120, 150, 3), brush=0.9)]


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (2, {"style": regions(75, 101), "transparent": True}),
        (3, {"style_loss": "wasserstein", "style_layers": ("relu1_1", "relu3_1"), "plan": Plan(5, 64)}),
        (4, {"style_loss": "mean_std", "levels": 2}),
        (2, {"direction": 1.0, "breadth": 0.5, "protect": np.eye(75, 101), "iterations": 12}),
        (3, {"optimizer": "LBFGS", "unitless": False, "style_weight": 1e3}),
    ],
)
def test_devices_of_one_process_paint_the_same_picture(count, options):
    options = {"optimizer": "Adam", "size": (75, 101), **options}
    whole = painted(transfer_of(**options))
    shared = transfer_of(**options, device=",".join(["cpu"] * count))
    assert [ranks.count for ranks in shared._crew.ranks] == [count] * count
    assert (painted(shared) - whole).abs().max() < (1e-9 if options["optimizer"] == "Adam" else 1e-6)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_ranks_in_half_precision_end_where_one_does(precision):
    options = {
        "size": (75, 101),
        "style": make_picture(70, 90, 2) // 3,
        "optimizer": "Adam",
        "learning_rate": 0.01,
        "margin": 0,
    }

    def loss(**start):
        """Of a picture, measured in double precision."""
        return next(transfer_of(**options, **start)).losses["total"]

    def end(**devices):
        return loss(init=painted(transfer_of(**options, precision=precision, **devices)).double())

    whole = end()
    assert whole < 0.5 * loss()
    assert end(device="cpu,cpu,cpu") == pytest.approx(whole, rel=0.02)


def test_what_is_sent_does_not_grow_with_the_number_of_ranks_and_memory_falls():
    options, sent, needs = {"size": (201, 334), "optimizer": "Adam", "margin": 0}, [], []
    options["style"] = make_picture(201, 334, 2)
    for count in (2, 4, 6):
        sent.append(0)

        def add(tensor):
            sent[-1] += tensor.numel() * tensor.element_size()

        transfer = transfer_of(Ranks(0, count, add), **options)
        next(transfer)
        sent[-1] = 0
        next(transfer)
        needs.append(estimate(transfer).memory)
    # The picture's gradient, and of each layer the matrix, the sums and the weight; content loss and flags add little.
    channels = [transfer.backbone.channels(layer) for layer in transfer.settings.style_layers]
    expected = 8 * (3 * 201 * 334 + sum(n * n + n + 1 for n in channels))
    assert all(expected <= bytes_sent < expected + 1000 for bytes_sent in sent)
    assert estimate(transfer_of(**options)).memory > needs[0] > needs[1] > needs[2]


def test_devices_of_one_process_go_on_after_whatever_happens(tmp_path):
    options = {"size": (64, 96), "optimizer": "Adam"}
    whole = painted(transfer_of(**options))
    transfer = transfer_of(**options, device="cpu,cpu")
    next(transfer)
    transfer._crew.ranks[0].interrupted = True  # what Ctrl-C does in an iteration
    with pytest.raises(KeyboardInterrupt):
        next(transfer)
    assert transfer.iteration == 1
    transfer.settings.style_weight = 1e308
    with pytest.raises(Diverged):
        next(transfer)
    transfer = transfer_of(**options, device="cpu,cpu,cpu")
    for _ in range(7):
        next(transfer)
    transfer.save_checkpoint(tmp_path / "state.pt")
    transfer = transfer_of(**options, device="cpu,cpu")  # another number of them
    transfer.load_checkpoint(tmp_path / "state.pt")
    assert transfer.iteration == 7
    assert (painted(transfer) - whole).abs().max() < 1e-9


@pytest.mark.parametrize("last", [0, 1, 2])
def test_a_failure_on_one_device_ends_the_iteration_on_all(last):
    transfer = transfer_of(size=(64, 96), device="cpu,cpu,cpu")
    next(transfer)
    [transfer, *transfer._crew._copies][last]._descent._stepper.move = None
    with pytest.raises(TypeError):
        next(transfer)


def test_a_failure_beside_the_first_device_is_no_success():
    transfer = transfer_of(size=(64, 96), device="cpu,cpu")
    copy = transfer._crew._copies[0]

    def work(each):
        if each is copy:
            raise ValueError("not here")

    with pytest.raises(ValueError, match="not here"):
        transfer._crew.do(transfer, work)


def test_devices_of_one_process_are_run_as_one_is(folder):
    options = {"backbone": small_network(), "size": 96, "levels": 1, "iterations": 6, "optimizer": "Adam"}
    options |= {"precision": "float64", "progress": False}
    pictures = folder / "content.png", folder / "style.png"
    whole = np.asarray(nstlib.stylize(*pictures, **options, device="cpu"), int)
    state = folder / "state.pt"
    shared = nstlib.stylize(*pictures, **options, device="cpu,cpu", checkpoint=state, checkpoint_every=0)
    assert np.abs(np.asarray(shared, int) - whole).max() <= 1
    again = nstlib.stylize(*pictures, **options, device="cpu,cpu,cpu", checkpoint=state, resume=True)
    assert np.abs(np.asarray(again, int) - whole).max() <= 1


def test_when_no_tiles_are_small_enough_for_one_device_all_end():
    transfer = transfer_of(size=(64, 96), device="cpu,cpu", plan=PLANS[-1])
    next(transfer)
    copy = transfer._crew._copies[0]

    def full(*_):
        raise torch.OutOfMemoryError("out of memory")

    copy._descent._losses_and_gradient = full
    with pytest.raises(torch.OutOfMemoryError):
        next(transfer)


def test_devices_that_are_not_there():
    with pytest.raises(InputError, match="cuda:7 is not available"):
        transfer_of(device="cpu,cuda:7")
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        transfer_of(device="cpu,gpu")
    with pytest.raises(InputError, match="each process has one device"):
        transfer_of(Ranks(0, 2), device="cpu,cpu")
    assert transfer_of(device="all").device.type == ("cuda" if torch.cuda.is_available() else "cpu")


#: How many ranks paint with which options.
CASES = [
    (2, {"optimizer": "LBFGS", "size": (67, 99)}),
    (3, {"optimizer": "Adam", "size": (67, 99), "style_loss": "mean_std"}),
    (4, {"optimizer": "Adam", "size": (67, 99), "levels": 2}),
]


def trained(state, generators=None):
    """The weights of a line fitted in five steps of SGD, to samples of the state, or to those of several generators."""
    model = torch.nn.Linear(2, 1, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(0.5)
        model.bias.zero_()
    state.start(model, torch.optim.SGD(model.parameters(), lr=0.1))

    def loss(rng):
        x = torch.tensor([[rng.random(), rng.random()] for _ in range(6)], dtype=torch.float64)
        return (model(x) - x.prod(1, keepdim=True)).square().mean()

    def losses():
        found = [loss(rng) for rng in generators or [state.rng]]
        return {"squared_error": sum(found) / len(found)}

    for _ in train(state, losses, until=5, rate=lambda step: 0.1, clip=1):
        pass
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def paint_as_rank(rank, folder):
    """One of four processes; paints those of the cases that have so many ranks, and trains."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=4)
    groups = {count: dist.new_group(range(count)) for count in (2, 3, 4)}
    for index, (count, options) in enumerate(CASES):
        if rank < count:
            ranks = Ranks(rank, count, functools.partial(dist.all_reduce, group=groups[count]))
            picture = painted(transfer_of(ranks, **options))
            assert not ranks.differ(picture)
            if rank == 0:
                torch.save(picture, f"{folder}/{index}.pt")
    torch.save(trained(TrainingState(0, f"{folder}/state.pt", 100)), f"{folder}/trained_by_{rank}.pt")
    dist.destroy_process_group()


def test_processes_paint_the_same_picture(tmp_path):
    mp.spawn(paint_as_rank, (str(tmp_path),), nprocs=4)
    for index, (_, options) in enumerate(CASES):
        difference = (torch.load(tmp_path / f"{index}.pt") - painted(transfer_of(**options))).abs().max()
        assert difference < (1e-9 if options["optimizer"] == "Adam" else 1e-6)
    # A training in four processes is one with four times the samples.
    generators = [random.Random(0), *(random.Random(f"0 0 {rank}") for rank in range(1, 4))]
    whole = trained(TrainingState(0, None, 100), generators)
    for rank in range(4):
        torch.testing.assert_close(torch.load(tmp_path / f"trained_by_{rank}.pt"), whole, rtol=0, atol=1e-12)
    assert read_state(tmp_path / "state.pt")["step"] == 5


# Whatever befalls one of them


def failing(error, ranks, index=1):
    """Whether a block that ends with ``error`` on one rank ends on all, and as what."""
    try:
        with ranks.together():
            if ranks.index == index:
                raise error
    except BaseException as found:
        return found
    return None


def test_an_error_of_one_is_one_of_all():
    error = InputError("no such file")
    first, second, third = in_threads(3, lambda ranks: failing(error, ranks))
    assert second is error
    assert (type(first), type(third)) == (Elsewhere, Elsewhere)
    assert (str(third), third.kind) == ("rank 1 failed", INPUT)
    first, second = in_threads(2, lambda ranks: failing(MemoryError(), ranks))
    assert (type(first), type(second)) == (MemoryElsewhere, MemoryError)
    assert in_threads(2, lambda ranks: failing(error, ranks, index=5)) == [None, None]


def test_what_several_notice_is_said_by_the_first():
    def work(ranks):
        with contextlib.suppress(Elsewhere), ranks.together():
            raise InputError(f"said by {ranks.index}")

    with pytest.raises(InputError, match="said by 0"):
        in_threads(3, work)


def test_all_are_interrupted_at_the_same_iteration():
    def work(ranks):
        transfer = transfer_of(ranks, size=(64, 64))
        try:
            for step in transfer:
                if step.iteration == 3 and ranks.index == 1:
                    ranks.interrupted = True
        except KeyboardInterrupt:
            return transfer.iteration

    assert in_threads(2, work) == [3, 3]


@pytest.mark.parametrize("where", ["forward", "backward", "update"])
def test_when_memory_runs_out_on_one_all_repeat_the_iteration(where, monkeypatch):
    options = {"size": (64, 96), "iterations": 12, "optimizer": "LBFGS" if where == "update" else "Adam"}
    whole = painted(transfer_of(**options))

    class Full(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, wanted):
            ctx.wanted = wanted
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            if ctx.wanted():
                raise torch.OutOfMemoryError("out of memory")
            return gradient, None

    def work(ranks):
        transfer = transfer_of(ranks, **options)
        left = [1] * (ranks.index == 1)

        def run(x, *arguments, **kinds):
            if transfer.iteration == 4 and where == "forward" and x.requires_grad and left:
                left.pop()
                raise torch.OutOfMemoryError("out of memory")

            def wanted():
                return transfer.iteration == 4 and left and left.pop()

            return type(net).run(net, Full.apply(x, wanted) if where == "backward" else x, *arguments, **kinds)

        net = transfer.backbone = copy.copy(transfer.backbone)
        net.run, transfer.plans._backbone = run, net
        transfer._descent = transfer._begin(transfer.size)
        if where == "update" and left:
            optimizer = transfer._descent._stepper._optimizer
            step = optimizer.step

            def full(closure):
                if transfer.iteration == 4:
                    raise torch.OutOfMemoryError("out of memory")
                return step(closure)

            optimizer.step = full
        picture = painted(transfer)
        return picture, transfer.plan, ranks.differ(picture), transfer._descent._stepper.history

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (first, plan, differ, history), (second, tighter, _, same) = in_threads(2, work)
    assert not differ
    if where == "update":
        assert history == same == 2
    else:
        assert plan == FULL != tighter
        assert (first - whole).abs().max() < 1e-9


def test_what_drifts_apart_is_brought_together(monkeypatch):
    monkeypatch.setattr("nstlib.transfer.descent.CHECK_EVERY", 5)

    def work(ranks):
        transfer = transfer_of(ranks, size=(64, 64), iterations=12, optimizer="Adam")
        for step in transfer:
            if step.iteration == 3 and ranks.index == 1:
                with torch.no_grad():
                    next(transfer._descent._canvas.parameters()).add_(1e-3)
            if step.iteration == 4:
                apart = ranks.differ(step.image)
        return apart, ranks.differ(transfer.image)

    assert in_threads(2, work) == [(True, False)] * 2


# As users run it


@pytest.fixture
def folder(tmp_path):
    for name, seed in (("content.png", 1), ("style.png", 2)):
        Image.fromarray(make_picture(101, 134, seed)).save(tmp_path / name)
    return tmp_path


SETTINGS = {"backbone": "compact", "size": 96, "levels": 1, "iterations": 100_000, "optimizer": "Adam"}
SETTINGS |= {"precision": "float64"}
OPTIONS = ["content.png", "style.png", *(f"--{name}={value}" for name, value in SETTINGS.items())]
OPTIONS += ["--checkpoint", "state.pt", "--checkpoint-every", "0"]


def torchrun(folder, count, *arguments):
    start = sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"
    return subprocess.Popen(
        [*start, "-m", "nstlib", *OPTIONS, *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def ranks_of(process):
    """The processes that torchrun started, by rank."""
    found = [p for p in psutil.Process(process.pid).children() if "nstlib" in p.cmdline()]
    return sorted(found, key=lambda p: int(p.environ()["RANK"]))


def wait_for(path, process, after=0):
    deadline = time.monotonic() + 240  # processes start slowly beside other tests
    while not path.exists() or path.stat().st_mtime_ns <= after:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_stops_all_more_ranks_go_on_and_one_is_killed(folder):
    process = torchrun(folder, 2, "-o", "out.png")
    wait_for(folder / "state.pt", process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=240)
    assert output.count("interrupted at iteration") == 1
    assert (folder / "out.png").exists()
    before = (folder / "state.pt").stat().st_mtime_ns
    process = torchrun(folder, 3, "--resume", "-o", "out.png")
    wait_for(folder / "state.pt", process, after=before)
    ranks_of(process)[0].kill()
    output, _ = process.communicate(timeout=240)
    assert process.returncode != 0
    assert output.count("another process of this picture ended") == 1
    resumed, whole = (StyleTransfer(folder / "content.png", folder / "style.png", **SETTINGS) for _ in range(2))
    resumed.load_checkpoint(folder / "state.pt")
    while whole.iteration < resumed.iteration:
        next(whole)
    assert (resumed.image - whole.image).abs().max() < 1e-6
