"""Regions found in a photograph: by colours, from scribbles, by themselves; and how they are shown."""

import numpy as np
import pytest
from conftest import make_picture

from nstlib import InputError, Style, regions, stylize

NOISE = make_picture(90, 120) // 16
AREAS = np.zeros((90, 120), int)
AREAS[:, 50:], AREAS[60:] = 1, 2
BLOCKS = np.array([(200, 60, 40), (40, 60, 200), (60, 180, 60)])[AREAS].astype(np.uint8) + NOISE


def agrees(mask, area):
    return ((mask > 0.5) == area).mean()


def test_segments_are_the_areas_of_a_picture():
    masks = regions.segments(BLOCKS, 3)
    np.testing.assert_allclose(sum(masks), 1, atol=1e-5)
    assert all(mask.shape == (90, 120) and mask.dtype == np.float32 for mask in masks)
    assert [mask.sum() for mask in masks] == sorted((mask.sum() for mask in masks), reverse=True)
    for index in range(3):
        assert max(agrees(mask, index == AREAS) for mask in masks) > 0.97
    with pytest.raises(InputError, match="fewer than 5000"):
        regions.segments(BLOCKS, 5000)


def test_scribbles_grow_to_the_edges():
    labels = np.zeros((90, 120), int)
    labels[10:50, 20], labels[10:50, 100], labels[80, 10:110] = 1, 2, 3
    masks = regions.scribbles(BLOCKS, labels)
    np.testing.assert_allclose(sum(masks), 1, atol=1e-5)
    for index, mask in enumerate(masks):
        assert agrees(mask, index == AREAS) > 0.97
    for wrong, message in (
        (labels[:50], r"of shape \(90, 120\), as the photograph, received int64 of shape \(50, 120\)"),
        (labels / 1.0, "must be whole numbers"),
        (labels * 0, "at least two regions"),
        (labels * (labels != 2), r"there is no \[2\]"),
        (labels - 1, "at least two regions"),
    ):
        with pytest.raises(InputError, match=message):
            regions.scribbles(BLOCKS, wrong)


def test_thin_scribbles_of_large_photographs_count():
    large = np.repeat(np.repeat(BLOCKS, 8, 0), 8, 1)
    labels = np.zeros(large.shape[:2], int)
    labels[101:300, 101], labels[101:300, 801], labels[-51, 101:-101] = 1, 2, 3
    masks = regions.scribbles(large, labels)
    assert agrees(masks[1][::8, ::8], AREAS == 1) > 0.97


def test_palettes_pair_what_is_alike():
    """The painting's colours in another order, and darker: each finds its own."""
    painting = (np.flip(BLOCKS, 1) * 0.8).astype(np.uint8)
    places, parts = regions.palette(BLOCKS, painting, 3)
    for place, part in zip(places, parts, strict=True):
        assert agrees(place, np.flip(part, 1) > 0.5) > 0.97
    np.testing.assert_allclose(sum(places), 1, atol=1e-5)
    again, _ = regions.palette(BLOCKS, painting, 3)
    assert all((one == other).all() for one, other in zip(places, again, strict=True))
    with pytest.raises(InputError, match="fewer than 4 colours"):
        regions.palette(BLOCKS, np.full((60, 60, 3), 90, np.uint8), 4)


def test_regions_are_shown_over_the_photograph():
    left = (np.arange(120) < 60) * np.ones((90, 1))
    shown = np.asarray(regions.show(BLOCKS, [left, 1 - left])).astype(int)
    assert shown.shape == (90, 120, 3)
    assert np.abs(shown[:, :60].mean((0, 1)) - shown[:, 60:].mean((0, 1))).max() > 40
    assert (np.asarray(regions.show(BLOCKS, [0 * left])).astype(int) - BLOCKS).max() <= 1
    with pytest.raises(InputError, match="as the photograph"):
        regions.show(BLOCKS, [left[:50]])


def test_what_is_found_can_be_painted():
    painting = make_picture(64, 64, 2)
    places, parts = regions.palette(BLOCKS, painting, 2)
    styles = [Style(painting, where=place, of=part) for place, part in zip(places, parts, strict=True)]
    options = {"size": 64, "iterations": 2, "backbone": "compact", "progress": False}
    assert stylize(BLOCKS, styles, **options).size == (64, 48)
