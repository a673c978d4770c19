"""The notebook cell that makes a panel: when it is run again, the panels that it made before are closed."""

import threading
import warnings
import weakref

from IPython import get_ipython

from .drawing import explain

_MADE = weakref.WeakKeyDictionary()  # in this kernel: {panel: (cell, run of the cell)}


def close_former(panel):
    """Close what earlier runs of the cell at work have made, now that it makes another ``panel``.

    That is done in the background, as it may have to wait for an iteration to end. Where no cell is known, as in a
    script or a console, nothing is closed.
    """
    request = getattr(get_ipython(), "get_parent", dict)()
    about = request.get("metadata", {})
    cell = about.get("cellId") or about.get("colab", {}).get("cell_id")  # Jupyter and VS Code, or Colab
    if cell is None:
        return
    run = request["header"]["msg_id"]
    for other, (its_cell, its_run) in list(_MADE.items()):
        if its_cell == cell and its_run != run:  # one run may make several
            del _MADE[other]
            threading.Thread(target=_close, args=[other], daemon=True, name="nstlib-close").start()
    _MADE[panel] = cell, run


def _close(panel):
    try:
        panel.close()
    except Exception as error:  # a thread's log is lost
        warnings.warn(f"the panel that this cell made before is not closed: {explain(error)}", stacklevel=1)
