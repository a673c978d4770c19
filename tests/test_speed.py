"""benchmarks/speed.py: where the time goes, and the comparison with another library, with a small one in its place."""

import sys

import pytest
from conftest import ROOT

CHECKOUT = '''
"""What speed.py calls of crowsonkb/style-transfer-pytorch, and a picture that moves a little towards grey."""

import time
from types import SimpleNamespace

from PIL import Image
from torchvision import models


class StyleTransfer:
    def __init__(self, devices):
        self.weight = models.vgg19(pretrained=True).features[0].weight

    def stylize(self, content, styles, *, initial_iterations, end_scale, min_scale=None, iterations=0, callback=None):
        for _ in range(initial_iterations + iterations):
            if callback is not None:
                callback(SimpleNamespace(time=time.perf_counter()))
        content.thumbnail((end_scale, end_scale))
        return Image.blend(content, Image.new("RGB", content.size, "grey"), 0.9)
'''


class Peak:
    """A measure of memory that does not depend on what other tests have left in this process."""

    bytes = 1 << 30

    def __init__(self, device):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


@pytest.fixture
def speed(monkeypatch):
    """The module, with every case in this process."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import peer
    import speed

    monkeypatch.setattr(peer, "Peak", Peak)
    for module in (speed, peer):
        monkeypatch.setattr(module, "in_own_process", lambda function, *arguments: function(*arguments))
    yield speed
    for name in ("speed", "peer", "profiling", "measure", "style_transfer", "style_transfer.style_transfer"):
        sys.modules.pop(name, None)


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_a_profile_names_every_part(speed, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["speed.py", "--profile", "--network", "compact", "--sizes", "tiny"])
    monkeypatch.setitem(speed.SIZES, "tiny", (64, 96))
    speed.main()
    header, _, row = rows(capsys.readouterr().out)
    found = dict(zip(header, row, strict=True))
    parts = {name: int(share.removesuffix(" %")) for name, share in found.items() if share.endswith("%")}
    assert sum(parts.values()) == pytest.approx(100, abs=6)  # each is rounded
    assert parts["convolutions"] > 10
    assert float(found["ratio"]) == pytest.approx(
        float(found["s/iteration"]) / float(found["convolutions alone, s"]), rel=0.2
    )


def test_the_peer_gets_our_weights_and_its_distances_are_reached(speed, tmp_path, capsys):
    import peer

    (tmp_path / "style_transfer").mkdir()
    (tmp_path / "style_transfer" / "style_transfer.py").write_text(CHECKOUT)
    pictures = "sample:coffee", "sample:starry_night"
    counts = {"side": 64, "counts": (3, 1), "longest": 20}
    peer.compare(tmp_path, *pictures, {"tiny": (48, 64)}, "cpu", 2, **counts)
    table = rows(capsys.readouterr().out)
    assert [row[:3] for row in table[2:6]] == [
        ["tiny", "peer", "float32"],
        ["tiny", "nstlib, memory='auto'", "float32"],
        ["tiny", "nstlib, memory='tiled'", "float32"],
        ["tiny", "nstlib, memory='auto'", table[5][2]],
    ]
    ours = peer.load_backbone("vgg19").convs["conv1_1"].weight
    assert (peer.peer(tmp_path).weight == ours).all()
    assert {row[-1].rpartition("/ ")[2] for row in table[2:6]} == {"1.00"}  # of memory
    theirs, own = table[-2:]
    assert own[1] != "not reached"
    assert all(float(mine) <= float(bar) for mine, bar in zip(own[2:], theirs[2:], strict=True))
