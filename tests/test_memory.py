"""Estimates and plans."""

import subprocess
import sys

import pytest

from nstlib import StyleTransfer, load_backbone
from nstlib.features import ARCHITECTURES, Backbone
from nstlib.memory import PLANS, estimate, is_out_of_memory, largest_size, peak_memory, plan_for, tighten
from nstlib.tiling import FULL, Plan

from conftest import make_picture  # isort: skip


def vgg19():
    return Backbone(ARCHITECTURES["vgg19"], deepest="relu5_1")


def test_plans_get_more_frugal():
    for size in ((1080, 1920), (2160, 3840)):
        needs = [peak_memory(vgg19(), size, plan) for plan in PLANS]
        assert needs == sorted(needs, reverse=True)


def test_frugal_plans_keep_the_promises():
    size = (1080, 1920)
    assert peak_memory(vgg19(), size, PLANS[3]) < peak_memory(vgg19(), size, FULL) / 3


def test_budget_decides():
    size = (1080, 1920)
    for plan in PLANS:
        budget = peak_memory(vgg19(), size, plan)
        assert peak_memory(vgg19(), size, plan_for(vgg19(), size, budget)) <= budget
    assert plan_for(vgg19(), size, 1) == PLANS[-1]
    assert plan_for(vgg19(), size, "full") == FULL
    assert plan_for(vgg19(), size, "tiled") == Plan(5, 256)
    assert plan_for(load_backbone("compact"), (64, 64), "auto") == FULL


def test_tightening_ends():
    plan, steps = FULL, 0
    while (plan := tighten(plan)) is not None:
        steps += 1
    assert steps == len(PLANS) - 1


def test_largest_size_fits_and_a_larger_one_does_not():
    net, budget = vgg19(), 4 * 2**30
    longest = largest_size(net, 9 / 16, budget)
    assert longest > 3840
    height = round(longest * 9 / 16)
    assert peak_memory(net, (height, longest), PLANS[-1]) <= budget
    assert peak_memory(net, (height + 40, longest + 40), PLANS[-1]) > budget


@pytest.mark.parametrize(
    ("error", "expected"),
    [(MemoryError(), True), (RuntimeError("CUDA out of memory."), True), (RuntimeError("shape"), False)],
)
def test_recognises_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected


def test_estimate_of_a_transfer():
    content = make_picture(96, 128)
    few, many = (
        estimate(StyleTransfer(content, content, backbone="compact", size=128, iterations=n)) for n in (10, 1000)
    )
    assert few.size == (96, 128)
    assert few.memory == many.memory > 0
    assert many.seconds > 20 * few.seconds > 0
    assert "128 x 96 pixels, untiled" in str(few)


MEASURE = """
import sys
import numpy as np
from nstlib import StyleTransfer
from nstlib.features import ARCHITECTURES, Backbone
from nstlib.memory import peak_memory
net = Backbone(ARCHITECTURES["vgg19"], deepest="relu5_1").requires_grad_(False)
content = np.random.default_rng(0).random((720, 960, 3), dtype=np.float32)
memory = sys.argv[1]
next(StyleTransfer(content[:64, :64], content[:64, :64], backbone=net, size=64, iterations=1, memory=memory,
                   optimizer="Adam"))
def high_water():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
open("/proc/self/clear_refs", "w").write("5")
base = high_water()
transfer = StyleTransfer(content, content, backbone=net, size=960, iterations=1, levels=1, memory=memory,
                         optimizer="Adam")
for step in transfer:
    pass
print((high_water() - base) / peak_memory(net, transfer.size, transfer.plan))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory the way Linux counts it")
@pytest.mark.parametrize("memory", ["full", "tiled"])
def test_memory_estimate_is_within_a_quarter_of_the_measurement(memory):
    done = subprocess.run([sys.executable, "-c", MEASURE, memory], capture_output=True, text=True, check=True)
    assert 0.75 < float(done.stdout) < 1.25
