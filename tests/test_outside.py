"""What others add from outside the package, through public names alone: a term, a canvas, a style loss."""

import pytest
import torch
from conftest import make_picture
from torch import nn

import nstlib
from nstlib.losses import STYLE_LOSSES
from nstlib.transfer import CANVASES

CONTENT, STYLE = make_picture(60, 80, seed=1), make_picture(60, 80, seed=2)
OPTIONS = {"backbone": "compact", "size": 80, "iterations": 24, "levels": 2, "device": "cpu"}


class Darkness:
    """A term: the mean of the picture is to be that of the content times a factor."""

    name, weight = "darkness", 1000.0

    def __init__(self, factor):
        self.factor = factor

    def targets(self, view):
        return self.factor * view.opaque.mean((1, 2, 3))

    def taps(self, view, targets):
        return []

    def loss(self, image, sums, targets):
        return (image.mean((1, 2, 3)) - targets).square()


class Affine(nn.Module):
    """A canvas: the picture to start with under an affine map of its colours."""

    def __init__(self, image, margin=0):
        super().__init__()
        self.register_buffer("start", nn.functional.pad(image, (margin,) * 4, mode="reflect"))
        self.matrix = nn.Parameter(torch.eye(3, dtype=image.dtype)[:, :, None, None])
        self.shift = nn.Parameter(torch.zeros(3, dtype=image.dtype))

    def image(self):
        return nn.functional.conv2d(self.start, self.matrix, self.shift).clamp(0, 1)

    def resized(self, start, margin=0):
        other = Affine(start, margin)
        other.matrix.data.copy_(self.matrix)
        other.shift.data.copy_(self.shift)
        return other

    def clamp_(self):
        pass


def mean_loss(moments, target):
    """A style loss: squared distance of the mean features."""
    return (moments.mean - target.mean).square().sum((1, 2)) / target.mean.square().sum((1, 2))


def test_a_term():
    plain = nstlib.StyleTransfer(CONTENT, STYLE, **OPTIONS)
    dark = nstlib.StyleTransfer(CONTENT, STYLE, **OPTIONS, terms=[Darkness(0.5)])
    first, *_, last = dark
    assert set(first.losses) == {"content", "style", "tv", "darkness", "total"}
    assert last.losses["darkness"] < 0.2 * first.losses["darkness"]
    *_, end = plain
    assert last.image.mean() < 0.8 * end.image.mean()


@pytest.mark.parametrize("optimizer", ["Adam", "LBFGS"])
def test_a_canvas(monkeypatch, tmp_path, optimizer):
    monkeypatch.setitem(CANVASES, "affine", Affine)
    options = {**OPTIONS, "canvas": "affine", "optimizer": optimizer, "tv_weight": 0, "style_loss": "mean_std"}
    transfer = nstlib.StyleTransfer(CONTENT, STYLE, **options)
    losses = []
    for step in transfer:
        losses.append(step.losses["total"])
        if step.iteration == 7:
            transfer.save_checkpoint(tmp_path / "state.pt")
    assert losses[-1] < 0.9 * losses[0]
    # The result is the content under an affine map of its colours, which the pixels alone could leave.
    content = nstlib.images.resize(nstlib.load_image(CONTENT), transfer.size)
    inside = ((transfer.image > 0.02) & (transfer.image < 0.98)).all(1).flatten()
    colours = torch.cat([content, torch.ones_like(content[:, :1])], 1)[0].flatten(1).T[inside]
    painted = transfer.image[0].flatten(1).T[inside]
    fit = colours @ torch.linalg.lstsq(colours, painted).solution
    assert (fit - painted).abs().mean() < 0.01
    resumed = nstlib.StyleTransfer(CONTENT, STYLE, **options)
    resumed.load_checkpoint(tmp_path / "state.pt")
    *_, last = resumed
    assert torch.equal(last.image, transfer.image)


def test_a_style_loss(monkeypatch):
    monkeypatch.setitem(STYLE_LOSSES, "mean", mean_loss)
    first, *_, last = nstlib.StyleTransfer(CONTENT, STYLE, **OPTIONS, style_loss="mean")
    assert last.losses["style"] < 0.2 * first.losses["style"]
