"""Every notebook runs from top to bottom and is committed clean."""

import os

import nbclient
import nbformat
import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert f"notebooks/{path.name}" in notebook.cells[0].source  # the Open-in-Colab badge
    assert "find_spec" in code[0].source  # the install cell
    assert notebook.metadata["accelerator"] == "GPU"
    assert set(notebook.metadata) <= {"accelerator", "colab", "kernelspec", "language_info"}
    assert not any(line.startswith(("def ", "class ")) for cell in code for line in cell.source.splitlines())


#: Replacements with which a notebook runs in half precision, the default of the machines it is made for. The second is
#: cut after its first experiment, at the size from which the gradients of beta = 1000 leave the range of float16.
HALF = {
    "00_quickstart": {'backbone="compact"': 'backbone="compact", precision="float16"'},
    "02_hyperparameters": {
        '"backbone": BACKBONE': '"backbone": BACKBONE, "precision": "float16"',
        "64 if FAST": "96 if FAST",
        "## Smoothness": None,
    },
}


def execute(notebook, folder, monkeypatch):
    monkeypatch.setenv("NSTLIB_FAST", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()


@pytest.mark.filterwarnings("ignore")  # of the kernel's own libraries
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, monkeypatch):
    execute(nbformat.read(path, as_version=4), tmp_path, monkeypatch)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HALF)
def test_runs_in_half_precision(name, tmp_path, monkeypatch):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for old, new in HALF[name].items():
        found = [number for number, cell in enumerate(notebook.cells) if old in cell.source]
        assert found, f"{old!r} is no longer in the notebook"
        if new is None:
            del notebook.cells[found[0] :]
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new or "")
    execute(notebook, tmp_path, monkeypatch)
