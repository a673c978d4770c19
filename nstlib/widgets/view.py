"""What is seen of a painting: progress, picture, curves, and the snapshots kept of it."""

import ipywidgets as widgets

from ..images import fit_size, load_image_and_alpha, resize_straight, to_pil
from ..transfer.settings import LIVE
from .comparison import Comparison
from .curves import Curves
from .drawing import PREVIEW
from .opening import is_opening, opening
from .snapshots import Snapshots


class View(widgets.VBox):
    """Shows the snapshots of a painting, or one of those kept.

    Args:
        restore, branch: as for :class:`~nstlib.widgets.snapshots.Snapshots`.

    Attributes:
        comparison: the :class:`~nstlib.widgets.comparison.Comparison`, with the picture.
        picture: the :class:`ipywidgets.Image` with the preview, a JPEG.
        progress: the :class:`ipywidgets.FloatProgress`, from 0 to 1.
        status: the :class:`ipywidgets.HTML` with the status line.
        curves, snapshots: the :class:`~nstlib.widgets.curves.Curves` and
            :class:`~nstlib.widgets.snapshots.Snapshots`, which stand elsewhere in the panel.
    """

    def __init__(self, restore, branch):
        self._latest = self._photograph = self._asked = self._coming = None
        self.progress = widgets.FloatProgress(0, min=0, max=1, layout=widgets.Layout(width="auto", height="14px"))
        self.status, self.comparison, self.curves = widgets.HTML("ready"), Comparison(), Curves()
        self.picture = self.comparison.picture
        self.snapshots = Snapshots(self._draw, restore, branch)
        super().__init__([self.progress, self.status, self.comparison])

    @property
    def shown(self):
        """The :class:`~nstlib.widgets.worker.Snapshot` that is shown: the one chosen, or the latest; None for none."""
        chosen = self.snapshots.chosen
        return self._latest if chosen is None else chosen.snapshot

    def prepare(self, content, style, asked):
        """Before anything is painted: show the painting that comes with nstlib, or of other pictures the photograph.

        Args:
            content, style: the :class:`~nstlib.widgets.picker.Picker`\\ s.
            asked: :attr:`~nstlib.widgets.desk.Desk.asked`.
        """
        if content.error or (self._latest is not None and self._latest.losses):
            return
        self._photograph, self._asked = reduced(content.picture), asked
        if is_opening(content.source, style.source):
            self._latest = opening()
            self.status.value = "painted beforehand, with VGG-19; press Start to paint it yourself"
        else:
            self._latest, self.status.value = None, "ready: press Start"
        self._draw()

    def begin(self, photograph, asked):
        """A painting is about to start.

        Args:
            photograph: array (H, W, 3 or 4).
            asked: :attr:`~nstlib.widgets.desk.Desk.asked`.
        """
        self._coming = reduced(photograph), asked
        self.snapshots.choose(None)

    def clear(self):
        """Discard the losses of the previous painting; its picture stays until there is a new one."""
        self.progress.value = 0
        self.curves.clear()
        self._photograph, self._asked = self._coming

    def follow(self, snapshot):
        """Draw a snapshot of the painting at work; what it ends with is kept."""
        self._latest = snapshot
        self.progress.value = snapshot.share
        self.status.value = describe(snapshot)
        if self.snapshots.chosen is None:
            self._draw()
        self.curves.add(snapshot, LIVE)
        if snapshot.state not in ("painting", "paused"):
            self.keep()

    def keep(self):
        """Keep the latest picture among the snapshots; returns whether there is one."""
        if self._latest is not None:
            self.snapshots.keep(self._latest, self._photograph, self._asked)
        return self._latest is not None

    def close(self):
        """Forget all but the painting, and close."""
        self._photograph = self._asked = self._coming = None
        super().close()

    def _draw(self):
        chosen = self.snapshots.chosen
        photograph = self._photograph if chosen is None else chosen.photograph
        others = {f"snapshot {number}": lambda kept=kept: kept.picture for number, kept in self.snapshots.kept.items()}
        self.comparison.offer({"photograph": lambda: photograph, **others})
        shown = self.shown
        if shown is not None or photograph is not None:
            self.comparison.show(photograph if shown is None else shown.picture)


def reduced(picture):
    """A PIL picture of an array (H, W, 3 or 4), no larger than what is sent to the browser needs."""
    image, alpha = load_image_and_alpha(picture)
    longest = min(max(image.shape[2:]), 2 * PREVIEW)
    return to_pil(*resize_straight(image, alpha, fit_size(*image.shape[2:], longest)))


def describe(snapshot):
    """One line of text about a :class:`~nstlib.widgets.worker.Snapshot`."""
    height, width = snapshot.image.shape[2:]
    facts = f"{width} × {height} · loss {snapshot.losses['total']:.4g}"
    if snapshot.state in ("painting", "paused"):
        left = snapshot.seconds * (1 - snapshot.share) / snapshot.share
        text = f"iteration {snapshot.iteration} of {snapshot.iterations} · {facts} · {left:.0f} s left"
        return text if snapshot.state == "painting" else f"paused · {text}"
    return f"{snapshot.state} after {snapshot.iteration} iterations, {snapshot.seconds:.0f} s · {facts}"
