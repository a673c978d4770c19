"""Measures of pictures: the field's own implementations, and answers known by hand."""

from itertools import pairwise

import pytest
import torch
from conftest import make_picture
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from nstlib import InputError, load_image
from nstlib.features import Plan
from nstlib.metrics import psnr, seam_ratio, seams
from nstlib.transfer.split import Grid


def test_psnr_is_scikit_images():
    a, b = make_picture(40, 50, 1), make_picture(40, 50, 1)
    b[::3] //= 2
    found = psnr(load_image(a), load_image(b), shave=4)
    luma = [rgb2ycbcr(x)[4:-4, 4:-4, 0] for x in (a, b)]
    assert found == pytest.approx(peak_signal_noise_ratio(*luma, data_range=255), abs=1e-3)


def test_psnr_leaves_the_border_out():
    image = load_image(make_picture(40, 50))
    framed = torch.ones_like(image)
    framed[..., 3:-3, 3:-3] = image[..., 3:-3, 3:-3]
    assert psnr(framed, image, shave=3) == float("inf")
    assert psnr(framed, image, shave=2) < 40


def test_pictures_that_cannot_be_compared():
    image = torch.rand(1, 3, 20, 30)
    assert psnr(image, image / 2, shave=0) < 20
    assert psnr(torch.zeros_like(image), torch.ones_like(image), shave=0) == pytest.approx(1.32, abs=0.01)
    for shave, reference in ((10, image), (0, image[..., 1:])):
        with pytest.raises(InputError, match="expected pictures of one shape and more than"):
            psnr(image, reference, shave)
    with pytest.raises(InputError, match="shave must be a whole number"):
        psnr(image, image, shave=-1)


def test_seam_ratio():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 400, 600)
    grid = Grid(400, 600, 160, 40)
    assert grid.seams == ([140, 260], [135, 245, 355, 465])
    assert seam_ratio(image, grid.seams) == pytest.approx(1, abs=0.03)
    hard = image.clone()
    for (rows, columns), random in zip(grid.boxes, torch.rand(len(grid.boxes)), strict=True):
        hard[..., rows, columns] += random
    starts = [[box[axis].start for box in grid.boxes] for axis in (0, 1)]
    assert seam_ratio(hard, [sorted({*axis} - {0}) for axis in starts]) > 1.2
    noise = grid.stitch([torch.rand_like(tile) for tile in grid.split(image)])
    assert seam_ratio(noise, grid.seams, around=60) < 0.8  # where two noises are blended there is less energy
    with pytest.raises(InputError, match="no tile borders"):
        seam_ratio(image, Grid(400, 600, 600, 0).seams)


def test_seam_ratio_of_a_transposed_picture():
    image, lines = torch.rand(1, 3, 60, 90), ([20, 41], [30])
    assert seam_ratio(image.mT, lines[::-1]) == pytest.approx(seam_ratio(image, lines))


@pytest.mark.parametrize("size", [(512, 512), (300, 700), (257, 1000)])
def test_tiles_meet_where_they_are_said_to(size):
    """At even distances, multiples of the pooling, no more than the tile apart; nowhere in a picture of one tile."""
    for length, places in zip(size, seams(Plan(5, 256), *size), strict=True):
        edges = [0, *places, length]
        assert len(places) == -(-length // 256) - 1
        assert all(place % 4 == 0 for place in places)
        assert max(b - a for a, b in pairwise(edges)) <= 256
    assert seams(Plan(5, 256), 256, 256) == ([], [])
