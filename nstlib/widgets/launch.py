"""The studio from the command line: a notebook with one cell, opened in JupyterLab."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from ..errors import InputError

NOTEBOOK = "nstlib_studio.ipynb"
CELLS = (
    ("markdown", "Click into the cell below and press Shift+Enter."),
    ("code", "from nstlib.widgets import Studio\n\nStudio()"),
)


def open_studio(folder="."):
    """Open the notebook in JupyterLab, which is written into ``folder`` if it is not there yet.

    Returns:
        The exit status of JupyterLab, once that is closed.

    Raises:
        InputError: no JupyterLab in this environment.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise InputError(
            "the studio opens in JupyterLab, which is not installed here: pip install jupyterlab, and try again; "
            "in a notebook of your own, it is: from nstlib.widgets import Studio; Studio()"
        )
    notebook = Path(folder, NOTEBOOK)
    if not notebook.exists():
        notebook.write_text(json.dumps(_notebook()))
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(notebook)])


def _notebook():
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [
        {"cell_type": kind, "id": kind, "metadata": {}, "source": text}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for kind, text in CELLS
    ]
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
