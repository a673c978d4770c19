"""The evaluation that quality is reported by, on one pair of small pictures."""

import csv
import sys

import numpy as np
import pytest
from conftest import ROOT

from nstlib import InputError, load_image, read_settings


@pytest.fixture
def evaluation(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import evaluation

    yield evaluation
    for name in ("evaluation", "measure"):
        sys.modules.pop(name)


def test_methods(evaluation):
    parse = evaluation.Method.parse
    assert parse("vgg19") == ("vgg19", "vgg19", {})
    strong = parse("strong@compact:style_weight=50,style_layers=relu1_1=2,relu2_1=1,levels=1")
    assert strong[:2] == ("strong", "compact")
    assert strong.settings == {"style_weight": 50, "style_layers": {"relu1_1": 2, "relu2_1": 1}, "levels": 1}
    assert parse("folder=a/b") == ("b", "folder", {"path": "a/b"})
    with pytest.raises(InputError, match="unknown method 'vgg20'"):
        parse("vgg20")
    with pytest.raises(InputError, match="unknown setting 'styles'"):
        parse("vgg19:styles=2")


def test_interval_holds_the_mean(evaluation):
    values = np.random.default_rng(1).normal(3, 2, 50)
    low, high = evaluation.interval(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 50**0.5, rel=0.15)
    assert low < values.mean() < high


def test_an_evaluation(evaluation, tmp_path, capsys):
    folder = tmp_path / "out"
    plain = ["sample:astronaut", "sample:scream", "--size", "64", "--judge", "compact", "--output", str(folder)]
    compact = "few@compact:iterations=4,precision=float32"
    evaluation.main([*plain, "--methods", compact, "random:iterations=2"])
    with open(folder / "values.csv", encoding="utf-8") as file:
        rows = {row["method"]: {name: row[name] for name in row} for row in csv.DictReader(file)}
    assert [*rows] == ["photograph", "painting", "few", "random:iterations=2"]
    number = {method: {name: float(rows[method][name]) for name in ("style", "content", "closed")} for method in rows}
    # Doing nothing loses on style alone, pasting the painting on content alone.
    assert number["photograph"]["content"] == 0
    assert number["photograph"]["closed"] == 0
    assert number["few"]["closed"] == 1
    assert 0 < number["few"]["style"] < number["photograph"]["style"]
    assert number["painting"]["style"] < 0.3 * number["photograph"]["style"]
    assert number["painting"]["content"] > 2 * number["few"]["content"] > 0
    assert rows["few"]["seconds"]
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table.startswith("64 px, judged by compact, which stood in the loss of few\n\n")
    assert table.partition("\n\n")[2] == capsys.readouterr().out
    assert load_image(folder / "sheet.png").shape[3] >= 4 * 64
    assert load_image(folder / "plot.png").shape[3] > 500

    painted = folder / "few" / "astronaut--scream.png"
    assert read_settings(painted)["iterations"] == 4
    before = painted.read_bytes()
    evaluation.main([*plain, "--methods", compact])
    assert painted.read_bytes() == before
    with open(folder / "values.csv", encoding="utf-8") as file:
        again = {row["method"]: row for row in csv.DictReader(file)}
    assert again["few"]["style"] == rows["few"]["style"]
    assert not again["few"]["seconds"]  # nothing was painted

    evaluation.main(
        [*plain, "--methods", "few@compact:iterations=3,precision=float32", f"others@folder={painted.parent}"]
    )
    assert read_settings(painted)["iterations"] == 3  # other settings: painted anew
    with open(folder / "values.csv", encoding="utf-8") as file:
        last = {row["method"]: row for row in csv.DictReader(file)}
    assert last["others"]["style"] == last["few"]["style"] != rows["few"]["style"]
