"""Every notebook runs from top to bottom and is committed clean."""

import os
import re

import nbclient
import nbformat
import pytest
from conftest import ROOT

import nstlib
from nstlib.transfer.settings import OPTIONS

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    badge, install = notebook.cells[0].source, code[0].source
    tag = f"v{nstlib.__version__}"
    assert f"nstlib/nstlib/blob/{tag}/notebooks/{path.name}" in badge  # Open in Colab
    assert "find_spec" in install
    assert f"github.com/nstlib/nstlib@{tag}" in install
    assert not any("nstlib/nstlib" in cell.source for cell in notebook.cells if cell.source not in (badge, install))
    assert notebook.metadata["accelerator"] == "GPU"
    assert set(notebook.metadata) <= {"accelerator", "colab", "kernelspec", "language_info"}
    assert not any(line.startswith(("def ", "class ")) for cell in code for line in cell.source.splitlines())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_somewhere_from_colab_too(path):
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [link for link in links if not link.startswith("https://")] == []
    of_ours = re.compile(rf".*/nstlib/nstlib/blob/v{re.escape(nstlib.__version__)}/([\w./]+?)(?:#([\w-]+))?")
    linked = [of_ours.fullmatch(link).groups() for link in links if "nstlib/nstlib" in link]
    for file, anchor in linked:
        headings = re.findall(r"^#+ (.*)", (ROOT / file).read_text(), re.M)
        places = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor is None or anchor in places
    named = re.findall(r"docs/\w+\.md", text) + [f"notebooks/{name}.ipynb" for name in re.findall(r"\b0\d_\w+", text)]
    assert set(named) <= {file for file, _ in linked}


#: Replacements that make a notebook a trial of seconds: text in its cells -> what the test runs instead.
SHORT = {
    "00_quickstart": {"SIZE = 400": "SIZE = 64", "ITERATIONS = 150": "ITERATIONS = 5"},
    "01_gatys_step_by_step": {"SIZE = 256": "SIZE = 64", "ITERATIONS = 150": "ITERATIONS = 4"},
    "02_hyperparameters": {
        "SIZE = 224": "SIZE = 64",
        "ITERATIONS = 150": "ITERATIONS = 2",
        'load_backbone("vgg19")': 'load_backbone("compact")',
    },
    "03_color_preservation": {"SIZE = 320": "SIZE = 64", "ITERATIONS = 200": "ITERATIONS = 4"},
    "04_high_resolution": {
        "SIZE = 3840 if CUDA else 960": "SIZE = 192",
        "TILE = 512 if CUDA else 320": "TILE = 96",
        "ITERATIONS = 120": "ITERATIONS = 4",
    },
    "05_compact_network": {
        "STEPS = 500": "STEPS = 6",
        "CROP = 128": "CROP = 32",
        "BATCH = 8": "BATCH = 2",
        "SIZE = 384": "SIZE = 64",
        "ITERATIONS = 200": "ITERATIONS = 4",
    },
    "06_super_resolution": {"STEPS = 1000": "STEPS = 4", "CROP = 40": "CROP = 16"},
    "07_regions": {"SIZE = 384": "SIZE = 64", "ITERATIONS = 150": "ITERATIONS = 3"},
    "08_brushes": {"SIZE = 512": "SIZE = 64", "ITERATIONS = 150": "ITERATIONS = 2"},
}
#: Further ones that run a notebook in half precision, the default of the machines it is made for. The second is cut
#: after its first experiment, at the size from which the gradients of beta = 1000 leave the range of float16.
HALF = {
    "00_quickstart": {
        "backbone=BACKBONE": 'backbone=BACKBONE, precision="float16"',
        '"backbone": BACKBONE': '"backbone": BACKBONE, "precision": "float16"',
    },
    "02_hyperparameters": {
        '"backbone": BACKBONE': '"backbone": BACKBONE, "precision": "float16"',
        "SIZE = 64": "SIZE = 96",
        "values = (0.05, 0.25": None,
    },
}


def replaced(notebook, replacements):
    """The notebook with these texts replaced, each of which it must have; None cuts it there."""
    for old, new in replacements.items():
        found = [number for number, cell in enumerate(notebook.cells) if old in cell.source]
        assert found, f"{old!r} is not in the notebook"
        if new is None:
            del notebook.cells[found[0] :]
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new or "")
    return notebook


def execute(notebook, folder, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_sizes_are_set_in_one_cell(path):
    cells = nbformat.read(path, as_version=4).cells
    places = [[place for place, cell in enumerate(cells) if old in cell.source] for old in SHORT[path.stem]]
    assert places == [places[0]] * len(places)
    assert len(places[0]) == 1


@pytest.mark.filterwarnings("ignore")  # of the kernel's own libraries
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, monkeypatch):
    execute(replaced(nbformat.read(path, as_version=4), SHORT[path.stem]), tmp_path, monkeypatch)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HALF)
def test_runs_in_half_precision(name, tmp_path, monkeypatch):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    execute(replaced(replaced(notebook, SHORT[name]), HALF[name]), tmp_path, monkeypatch)


def test_every_knob_has_its_experiment():
    notebook = nbformat.read(ROOT / "notebooks" / "02_hyperparameters.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    # What names a file or a machine, or leaves no choice, changes no picture.
    knobs = set(OPTIONS) - {"canvas", "weights", "network", "device", "compile"}
    assert not {name for name in knobs if not re.search(rf"\b{name}\b", code)}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_results_may_be_kept_on_drive(path):
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    (place,) = [number for number, source in enumerate(cells) if "drive.mount" in source]
    assert "DRIVE = False  # @param" in cells[place]
    assert any("FOLDER" in source for source in cells[place + 1 :])
