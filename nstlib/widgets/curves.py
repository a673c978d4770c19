"""The curves of the losses, with the moments at which something was moved."""

import io
import math
import time

import ipywidgets as widgets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..transfer.derived import moved
from .drawing import EMPTY
from .groups import called

INK = "#808080"  # legible on a light and on a dark page, both of which show through


class Curves(widgets.Image):
    """The losses of a painting so far, drawn anew now and then."""

    def __init__(self):
        super().__init__(format="png", layout=widgets.Layout(width="calc(100% - 4px)", height="auto"))
        self.clear()

    def clear(self):
        """Discard the losses of the previous painting."""
        self._history, self._marks, self._live, self._moved, self._next = [], [], None, 0, 0.0
        self.value, self.layout.display = EMPTY, "none"

    def add(self, snapshot, live):
        """Add the losses of a :class:`~nstlib.widgets.worker.Snapshot`; a change of the settings ``live`` is marked."""
        now = {name: snapshot.settings[name] for name in live if name in snapshot.settings}
        names = [] if self._live is None else moved(self._live, now)
        self._live = now
        if names:
            text = ", ".join(map(called, names))
            # A slider that is dragged on is marked once, where that began.
            dragged = snapshot.iteration - self._moved <= snapshot.iterations / 25
            if not (dragged and self._marks and self._marks[-1][1] == text):
                self._marks.append((snapshot.iteration, text))
            self._moved = snapshot.iteration
        if not self._history or self._history[-1][0] != snapshot.iteration:
            self._history.append((snapshot.iteration, snapshot.losses))
        began = time.monotonic()
        if snapshot.state != "painting" or began > self._next:
            self.value, self.layout.display = plot_losses(self._history, self._marks), None
            # Plotting is slow; it gets at most a tenth of the time.
            self._next = time.monotonic() + max(1, 9 * (time.monotonic() - began))


def plot_losses(history, marks=()):
    """PNG bytes of the loss curves, one for each name in the losses, on a transparent ground.

    Args:
        history: list of ``(iteration, losses)``, with the losses of :class:`~nstlib.transfer.Step`.
        marks: list of ``(iteration, text)``, each drawn as a line with its text.
    """
    # Not pyplot: its global state is not safe in threads.
    figure = Figure(figsize=(5.4, 2.7 if marks else 2.3), dpi=140, layout="constrained", facecolor="none")
    axes = figure.subplots()
    iterations, losses = zip(*history, strict=True)
    for name in losses[0]:
        # The content loss of the photograph itself is 0, which a logarithmic axis cannot show.
        width = 2 if name == "total" else 1.2
        axes.plot(iterations, [loss[name] or math.nan for loss in losses], label=name, linewidth=width)
    figure.legend(loc="outside upper center", fontsize="small", ncols=6, frameon=False, labelcolor=INK)
    for iteration, text in marks:
        axes.axvline(iteration, color=INK, linestyle=":", linewidth=1)
        place = axes.get_xaxis_transform()
        # Above the axes, where no curve crosses it, and slanted, so that the next one has a place beside it.
        axes.text(iteration, 1.02, text, transform=place, color=INK, fontsize=7, rotation=30, rotation_mode="anchor")
    axes.set(xlabel="iteration", ylabel="loss", yscale="log", facecolor="none")
    axes.grid(color=INK, alpha=0.3)
    axes.tick_params(colors=INK, which="both")
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.spines[:].set_color(INK)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
