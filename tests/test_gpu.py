"""benchmarks/gpu.py, rehearsed without a GPU: it will be run by someone who has one, once."""

import sys

import pytest
from conftest import ROOT


@pytest.fixture
def rehearse(monkeypatch, tmp_path, capsys):
    """What the command prints."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu

    def run(*parts):
        fixed = "--device", "cpu", "--rehearse", "--networks", "compact", "--output", str(tmp_path)
        gpu.main([*fixed, "--parts", *parts])
        return capsys.readouterr().out

    yield run
    for name in ("gpu", "half_precision", "speed", "measure"):
        sys.modules.pop(name)


def test_every_part_prints_its_table(rehearse, tmp_path):
    text = rehearse("half", "tiles", "memory", "speed", "picture")
    assert "mean" in text
    assert "| compact | bfloat16" in text or "| compact | float32" in text
    assert all(f"| {size}" in text for size in ("512", "1080p", "4K", "8K"))
    assert "left out" not in text
    assert (tmp_path / "4K.jpg").exists()


def test_what_does_not_fit_is_a_row(rehearse, monkeypatch):
    import speed

    def measure(size, method, *arguments):
        if method == "plain":
            raise MemoryError
        return 1.5, 2**30

    monkeypatch.setattr(speed, "measure", measure)
    text = rehearse("speed")
    assert text.count("does not fit") == 4
    assert text.count("1.5000") == 4


def test_late_parts_are_left_out(rehearse, monkeypatch):
    import gpu

    monkeypatch.setattr(gpu, "LATEST", -1)
    assert rehearse("tiles", "picture").count("left out: it is late") == 2
