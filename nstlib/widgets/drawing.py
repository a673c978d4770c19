"""How things look in the panel: labels, errors, pictures, loss curves, and the view of a painting at work."""

import functools
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
        status: the :class:`ipywidgets.HTML` with the line of text.
    """

    def __init__(self):
        whole_width = {"width": "100%", "height": "auto"}
        self.progress = widgets.FloatProgress(0, min=0, max=1, layout=widgets.Layout(width="100%"))
        self.status = widgets.HTML("ready")
        self.picture = widgets.Image(format="jpeg", value=EMPTY, layout=widgets.Layout(**whole_width))
        self.picture.add_class("nstlib-picture")
        self._curves = widgets.Image(format="png", layout=widgets.Layout(**whole_width))
        self.clear()
        super().__init__([self.progress, self.status, self.picture, self._curves])

    def clear(self):
        """Forget the losses of the painting before; its picture stays until there is another."""
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
            # Plotting is slow; nine tenths of the time are for other things.
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
    """What to tell the user about an exception, whatever it is."""
    if is_out_of_memory(error):
        return f"out of memory: choose a smaller size, or the optimizer Adam ({type(error).__name__})"
    if isinstance(error, (InputError, Diverged)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def labelled(text):
    """Keywords that give a control its description and the width of all."""
    return {"description": text, "style": {"description_width": "6.5em"}, "layout": widgets.Layout(width="21.5em")}


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
    """PNG bytes of the loss curves.

    Args:
        history: list of ``(iteration, losses)``, with the losses of :class:`~nstlib.transfer.Step`.
    """
    # Without pyplot, whose global state is no place for a thread.
    figure = Figure(figsize=(6.4, 2.4), dpi=100, layout="constrained")
    axes = figure.subplots()
    iterations = [iteration for iteration, _ in history]
    for name, label in (("total", "total"), ("style", "style"), ("content", "content"), ("image", "smooth")):
        axes.plot(iterations, [losses[name] for _, losses in history], label=label, lw=2 if name == "total" else 1.2)
    axes.set(xlabel="iteration", ylabel="loss", yscale="log" if history else "linear")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", fontsize="small", ncols=4, frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


_empty_plot = functools.cache(lambda: plot_losses([]))  # a tenth of a second for each studio
