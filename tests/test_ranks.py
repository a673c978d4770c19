"""One picture over several ranks: the same picture as one process paints, whatever befalls one of them."""

import functools
import threading

import pytest
import torch
from conftest import make_net, make_picture

from nstlib import InputError, StyleTransfer
from nstlib.features.ranks import ALONE, Ranks
from nstlib.features.rectangles import divide, shared_sums
from nstlib.features.tiling import FULL, Plan, feature_sums


@functools.cache
def small_network():
    """Made once: threads share the random numbers that it is made of."""
    return make_net(torch.float64)


def transfer_of(ranks=ALONE, size=(101, 134), **options):
    """A small transfer in float64."""
    options = {"size": size[1], "iterations": 30, "levels": 1, "precision": "float64", "device": "cpu", **options}
    content, style = make_picture(*size, 1), make_picture(70, 90, 2)
    return StyleTransfer(content, style, backbone=small_network(), ranks=ranks, **options)


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
    with pytest.raises(InputError, match="20 ranks are too many for the 67 x 50 pixels .*: use 12 of them"):
        transfer_of(Ranks(0, 20), size=(101, 134), levels=2)


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (2, {}),
        (3, {"style_loss": "wasserstein", "style_layers": ("relu1_1", "relu3_1"), "plan": Plan(5, 32)}),
        (4, {"style_loss": "mean_std", "levels": 2}),
        (2, {"optimizer": "LBFGS"}),
        (3, {"optimizer": "LBFGS", "unitless": False, "style_weight": 1e3}),
    ],
)
def test_threads_paint_the_same_picture(count, options):
    options = {"optimizer": "Adam", "size": (75, 101), **options}
    whole = painted(transfer_of(**options))
    for picture in in_threads(count, lambda ranks: painted(transfer_of(ranks, **options))):
        assert (picture - whole).abs().max() < (1e-9 if options["optimizer"] == "Adam" else 1e-6)
