"""Everything at once: three regions with brushes of their own, protection, direction, colours, tiles, a kill."""

import numpy as np
import pytest
import torch
from conftest import goes_on, make_net, make_picture, painted, same
from PIL import Image

import nstlib.__main__ as cli
from nstlib import Style, StyleTransfer
from nstlib.features import Plan

CONTENT, NIGHT, WAVE = make_picture(67, 83, 1), make_picture(70, 90, 2), make_picture(84, 60, 3)
CRY = make_picture(66, 78, 4)
LABELS = np.zeros((67, 83), int)
LABELS[:, 30:], LABELS[40:] = 1, 2
FADE = np.broadcast_to(np.linspace(0, 1, 83), (67, 83))
FACE = np.exp(-np.square(np.mgrid[:67, :83] - np.array([20, 55])[:, None, None]).sum(0) / 200)
OPTIONS = {"size": 52, "iterations": 3, "levels": 2, "precision": "float64"}
TOGETHER = {"protect": FACE, "direction": 0.7, "color": "symmetric"}


def regions():
    return [
        Style(NIGHT, where=LABELS == 0, brush=(0.5, 1, FADE)),
        Style(WAVE, where=LABELS == 1, brush=1.7, weight=2, of=np.arange(84)[:, None] < np.full(60, 50)),
        Style(CRY, where=LABELS == 2, layers="coarse"),
        Style(NIGHT, where=LABELS == 2, layers="fine"),
    ]


def transfer_of(styles=None, dtype=torch.float64, **options):
    options = {**OPTIONS, **TOGETHER, **options}
    return StyleTransfer(CONTENT, regions() if styles is None else styles, backbone=make_net(dtype), **options)


def test_tiled_is_untiled():
    whole, tiled = painted(transfer_of(memory="full")), painted(transfer_of(plan=Plan(4, 32)))
    same(tiled, whole, 1e-6)


@pytest.mark.parametrize(("plan", "size"), [(Plan(5, 32), 61), (Plan(2, 16), 83)])
def test_tiled_is_untiled_in_single_precision(plan, size):
    """Losses and the step of a plain gradient descent, which is the gradient."""
    options = {"size": size, "precision": "float32", "optimizer": "SGD", "iterations": 1, "levels": 1}
    (image, losses), (expected, goals) = (
        painted(transfer_of(dtype=torch.float32, **options, **how)) for how in ({"plan": plan}, {"memory": "full"})
    )
    assert losses[0] == pytest.approx(goals[0], rel=1e-5)
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2], ids=["first level", "second level"])
def test_killed_in_tiles_and_resumed_is_as_if_nothing_had_been(tmp_path, steps):
    goes_on(lambda: transfer_of(plan=Plan(4, 32)), tmp_path / "state.pt", steps)


@pytest.mark.parametrize(
    "left_out",
    [
        {"protect": None},
        {"direction": 0},
        {"color": "style"},
        "brush",
        "where",
        "of",
        "layers",
        "weight",
    ],
)
def test_each_acts_beside_the_others(left_out):
    """Without it, the first step is another."""
    if isinstance(left_out, dict):
        other = transfer_of(levels=1, **left_out)
    else:
        names = {"where", "of", "weight", "brush", "layers"} - {left_out}
        other = transfer_of(
            [Style(one.picture, **{name: getattr(one, name) for name in names}) for one in regions()], levels=1
        )
    assert abs(next(other).losses["style"] / next(transfer_of(levels=1)).losses["style"] - 1) > 1e-3


def test_from_the_command_line_with_files(tmp_path, monkeypatch):
    """Painted whole, and resumed from what a transfer in code had saved on its way."""
    monkeypatch.chdir(tmp_path)
    labels = np.array([(255, 0, 0), (0, 0, 255), (255, 255, 0)], np.uint8)[LABELS]
    pictures = {"photo": CONTENT, "night": NIGHT, "wave": WAVE, "cry": CRY, "labels": labels}
    for name, picture in {**pictures, "near": np.uint8(255 * FADE), "face": np.uint8(255 * FACE)}.items():
        Image.fromarray(picture).save(f"{name}.png")
    styles = (
        "night.png@labels.png#red@brush=0.5,1,near.png", "wave.png@labels.png#0000ff@brush=1.7@weight=2",
        "cry.png@labels.png#yellow@layers=coarse", "night.png@labels.png#yellow@layers=fine",
    )  # fmt: skip
    options = {"size": 52, "iterations": 3, "levels": 2, "direction": 0.7, "color": "symmetric", "backbone": "compact"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    arguments = ["photo.png", *(f"--style={style}" for style in styles), "--protect=face.png", *words, "--quiet"]
    assert cli.main([*arguments, "-o", "whole.png"]) == 0
    begun = StyleTransfer("photo.png", [Style.parse(style) for style in styles], protect="face.png", **options)
    for _ in range(2):
        next(begun)
    begun.save_checkpoint("state.pt")
    assert cli.main([*arguments, "--checkpoint", "state.pt", "--resume", "-o", "part.png"]) == 0
    assert np.array_equal(*(np.asarray(Image.open(f"{name}.png")) for name in ("whole", "part")))
