"""The margin: painted with the picture, and cut off."""

import numpy as np
import pytest
import torch
from conftest import make_net, make_picture
from hypothesis import given
from hypothesis import strategies as st

from nstlib import StyleTransfer
from nstlib.images import resize
from nstlib.transfer.canvas import Pixels
from nstlib.transfer.estimate import needs
from nstlib.transfer.margin import around, margin_of, outer, within

CONTENT, STYLE = make_picture(67, 80, 1), make_picture(84, 90, 2)
FADE = np.broadcast_to(np.linspace(20, 255, 80, dtype=np.uint8), (67, 80))
OPTIONS = {"levels": 1, "iterations": 3, "precision": "float64", "optimizer": "Adam"}


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 50))
def test_what_is_added_is_cut_off(height, width, wanted):
    image, size = torch.rand(1, 3, height, width), (height, width)
    margin = margin_of(size, wanted)
    assert margin <= min(wanted, height / 8, width / 8)
    assert tuple(around(image, margin).shape[2:]) == outer(size, margin)
    assert torch.equal(within(around(image, margin), size), image)


@pytest.mark.parametrize("content", [CONTENT, np.dstack([CONTENT, FADE])], ids=["opaque", "transparent"])
def test_it_is_a_picture_with_mirrored_edges_of_which_the_middle_is_kept(content):
    wide = np.pad(content, ((8, 8), (8, 8), (0, 0)), mode="reflect")
    transfer = StyleTransfer(content, STYLE, backbone=make_net(torch.float64), size=80, margin=8, **OPTIONS)
    other = {**OPTIONS, "size": 96, "brush": 80 / 96, "margin": 0}
    expected = StyleTransfer(wide, STYLE, backbone=make_net(torch.float64), **other)
    for step, goal in zip(transfer, expected, strict=True):
        assert step.losses == pytest.approx(goal.losses, rel=1e-6)
        assert step.size == tuple(step.image.shape[2:]) == (67, 80)
        torch.testing.assert_close(step.image, goal.image[..., 8:-8, 8:-8], atol=1e-5, rtol=0)


def test_a_larger_level_starts_from_the_picture_without_its_margin():
    image, larger = torch.rand(1, 3, 20, 30), torch.rand(1, 3, 41, 60)
    canvas = Pixels(image, 2)
    with torch.no_grad():
        canvas.pixels[..., :2, :] = 7  # what was painted in the margin stays there
    shown = canvas.resized(larger, 5).image().detach()
    torch.testing.assert_close(shown, around(resize(image, (41, 60)), 5))


def test_the_margin_needs_memory_too():
    def memory(margin):
        return needs(StyleTransfer(CONTENT, STYLE, size=512, margin=margin, backbone="compact", memory="full"))

    # About as the pixels: (512 + 64) * (429 + 64) for 512 * 429, but for what does not depend on them.
    assert 1.15 < (memory(32) - 110e6) / (memory(0) - 110e6) < 1.35
