"""How the panel looks: labels, errors, the preview, the loss curves, and the view that shows a run's progress."""

import functools
import html
import io
import time

import ipywidgets as widgets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ..errors import Diverged, InputError
from ..transfer.memory import is_out_of_memory

PREVIEW = 768  # pixels of the longer side, at most, that are sent to the browser


class View(widgets.VBox):
    """The progress of a painting: bar, status, picture and loss curves.

    Attributes:
        picture: the :class:`ipywidgets.Image` with the preview, a JPEG.
        progress: the :class:`ipywidgets.FloatProgress`, from 0 to 1.
        status: the :class:`ipywidgets.HTML` with the status line.
    """

    def __init__(self):
        full_width = {"width": "100%", "height": "auto"}
        self.progress = widgets.FloatProgress(0, min=0, max=1, layout=widgets.Layout(width="100%"))
        self.status = widgets.HTML("ready")
        self.picture = widgets.Image(format="jpeg", value=EMPTY, layout=widgets.Layout(**full_width))
        self.picture.add_class("nstlib-picture")
        self._curves = widgets.Image(format="png", layout=widgets.Layout(**full_width))
        self.clear()
        super().__init__([self.progress, self.status, self.picture, self._curves])

    def clear(self):
        """Discard the losses of the previous painting; its picture stays until there is a new one."""
        self._history, self._next_plot = [], 0.0
        self.progress.value = 0
        self._curves.value = _empty_plot()

    def show(self, snapshot):
        """Draw a :class:`~nstlib.widgets.worker.Snapshot`."""
        if not self._history or self._history[-1][0] != snapshot.iteration:
            self._history.append((snapshot.iteration, snapshot.losses))
        self.progress.value = snapshot.share
        self.status.value = describe(snapshot)
        self.picture.value = jpeg(snapshot.picture)
        now = time.monotonic()
        if snapshot.state != "painting" or now > self._next_plot:
            self._curves.value = plot_losses(self._history)
            # Plotting is slow; it gets at most a tenth of the time.
            self._next_plot = time.monotonic() + max(1, 9 * (time.monotonic() - now))


def describe(snapshot):
    """One line of text about a :class:`~nstlib.widgets.worker.Snapshot`."""
    height, width = snapshot.image.shape[2:]
    facts = f"{width} × {height} · loss {snapshot.losses['total']:.4g}"
    if snapshot.state in ("painting", "paused"):
        left = snapshot.seconds * (1 - snapshot.share) / snapshot.share
        text = f"iteration {snapshot.iteration} of {snapshot.iterations} · {facts} · {left:.0f} s left"
        return text if snapshot.state == "painting" else f"paused · {text}"
    return f"{snapshot.state} after {snapshot.iteration} iterations, {snapshot.seconds:.0f} s · {facts}"


def explain(error):
    """The message for the user about any exception."""
    if is_out_of_memory(error):
        return f"out of memory: choose a smaller size, or the optimizer Adam ({type(error).__name__})"
    if isinstance(error, (InputError, Diverged)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def code_box(code):
    """HTML that shows lines of code, to be selected with one click."""
    box = "user-select:all;white-space:pre-wrap;word-break:break-word;line-height:1.4;margin:0;padding:.5em"
    box += ";background:rgba(128,128,128,.12)"
    return f'<b>The same in code</b> (one click selects it)<pre style="{box}">{html.escape(code)}</pre>'


def labelled(text):
    """Keywords that give a control its label and the width common to all controls."""
    return {"description": text, "style": {"description_width": "7.5em"}, "layout": widgets.Layout(width="22.5em")}


def jpeg(picture, longest=PREVIEW):
    """JPEG bytes of a PIL picture, shrunk to ``longest`` pixels, transparency shown as white."""
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    picture = picture.convert("RGB")
    picture.thumbnail((longest, longest))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


EMPTY = jpeg(Image.new("RGB", (4, 3), (235, 235, 235)))


def plot_losses(history):
    """PNG bytes of the loss curves, one for each name in the losses.

    Args:
        history: list of ``(iteration, losses)``, with the losses of :class:`~nstlib.transfer.Step`.
    """
    # Not pyplot: its global state is not safe in threads.
    figure = Figure(figsize=(6.4, 2.4), dpi=100, layout="constrained")
    axes = figure.subplots()
    if history:
        iterations, losses = zip(*history, strict=True)
        for name in losses[0]:
            width = 2 if name == "total" else 1.2
            axes.plot(iterations, [loss[name] for loss in losses], label=name, linewidth=width)
        figure.legend(loc="outside upper center", fontsize="small", ncols=6, frameon=False)
    axes.set(xlabel="iteration", ylabel="loss", yscale="log" if history else "linear")
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


_empty_plot = functools.cache(lambda: plot_losses([]))  # drawing it takes a tenth of a second
