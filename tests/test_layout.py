"""The shape of the house: imports run one way, and everything can be read in one sitting."""

import ast

import pytest
from conftest import ROOT

PACKAGE = ROOT / "nstlib"


def words(*lines):
    return " ".join(lines).split()


#: A module may import only from those before it.
ORDER = words(
    "errors checks ambient distributed",
    "sums moments losses",
    "files checkpoints samples.strokes samples",
    "pictures pictures.formats pictures.pixels pictures.tiff pictures.decoding pictures.encoding pictures.sources",
    "images masks styles directions color sheet",
    "features.replicate features.backbone features.weight_files features.original features.pretrained",
    "features.crop features.tiling features.ranks features.rectangles features",
    "networks networks.tiles networks.upscale",
    "regions.reduced regions.colours regions.drawn regions.recognition regions.shown regions regions.command",
    "terms.objective terms.measures terms.texture terms.standard terms",
    "metrics.alignment metrics.fidelity metrics.seams metrics.distances metrics.sharpness metrics.strokes",
    "metrics.summary metrics transfer.optimizers transfer.margin transfer.canvas transfer.fields transfer.derived",
    "transfer.settings transfer.presets transfer.precision",
    "transfer.network transfer.interruption transfer.crew transfer.processes transfer.memory transfer.stepper",
    "transfer.descent transfer.layout transfer.paintings transfer.direction",
    "transfer.scene transfer.step transfer.given transfer.transfer",
    "transfer.estimate transfer.split transfer.run transfer",
    "training",
    "widgets.drawing widgets.groups widgets.curves widgets.thumbnails widgets.comparison widgets.shelf widgets.uploads",
    "widgets.picker widgets.controls widgets.steering widgets.areas widgets.finding",
    "widgets.protection",
    "widgets.regions widgets.speeds widgets.desk widgets.bar widgets.cells widgets.worker widgets.opening",
    "widgets.snapshots widgets.view widgets.saving widgets.studio",
    "widgets widgets.launch",
    "arguments many terminal __main__",
)
#: What someone new reads to know how a picture is painted; the other wings hang beside it.
PATH = words(
    "moments features.backbone features.tiling terms.objective terms.standard",
    "transfer.canvas transfer.optimizers transfer.stepper transfer.descent transfer.scene transfer.step",
    "transfer.settings transfer.transfer widgets.controls widgets.studio",
)


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def imported(name, path):
    """The modules of the package that a module imports, wherever in it the line stands."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            base = ".".join([*base, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}".lstrip(".")
                yield whole if whole in MODULES else base


def test_the_order_names_every_module():
    named = {name for name in MODULES if not name.startswith("training")}
    assert named == {name for name in ORDER if name != "training"}


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name):
    place = ORDER.index("training" if name.startswith("training") else name)
    found = [other for other in imported(name, MODULES[name]) if other]  # the empty name: the version
    if name.startswith("training"):
        assert not any(other.startswith("transfer") for other in found)
        found = [other for other in found if not other.startswith("training")]
    above = [other for other in found if ORDER.index(other) >= place]
    assert not above, f"nstlib.{name} imports {', '.join(above)}, which stand below it"


@pytest.mark.parametrize("name", MODULES)
def test_files_and_classes_are_short(name):
    text = MODULES[name].read_text()
    assert len(text.splitlines()) <= 250
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            assert node.end_lineno - node.lineno < 180, node.name


def test_the_path_of_a_newcomer_is_read_in_one_sitting():
    assert sum(len(MODULES[name].read_text().splitlines()) for name in PATH) < 2500
