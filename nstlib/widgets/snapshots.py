"""A strip of what was tried: look at it again, take its settings, paint on from it, compare."""

from dataclasses import is_dataclass
from typing import NamedTuple

import ipywidgets as widgets
from PIL import Image

from ..errors import InputError
from ..sheet import contact_sheet
from .drawing import button, heading, row
from .shelf import thumbnail
from .thumbnails import Thumbnails
from .worker import Snapshot

ROOM = 512 << 20  # bytes of all that is kept; the oldest give way
COLUMNS = 4  # of the contact sheet
PLAIN = str.maketrans({"×": "x", "α": "alpha", "β": "beta", "γ": "gamma"})  # the sheet's font lacks these


class Kept(NamedTuple):
    """A snapshot, the photograph it was painted from, a PIL picture, and what was asked for beside the settings, as in
    :attr:`~nstlib.widgets.desk.Desk.asked`."""

    snapshot: Snapshot
    photograph: Image.Image
    asked: tuple

    @property
    def picture(self):
        """The picture, PIL."""
        return self.snapshot.picture


class Snapshots(widgets.VBox):
    """Thumbnails of the pictures kept, by number, and what can be done with the one chosen.

    Args:
        changed: called without arguments when another one is chosen, or none.
        restore: called with a :class:`Kept` to put back all that it was painted with.
        branch: called with a :class:`Kept` to paint on from it.

    Attributes:
        kept: ``{number: Kept}``.
        current: number of the one chosen, or None.
        buttons: those that act on it.
    """

    def __init__(self, changed, restore, branch):
        self.kept, self.current, self._count, self._changed = {}, None, 0, changed
        self._strip, self._about = Thumbnails(self._pressed), widgets.HTML()

        def act(action):
            return lambda: action(self.chosen)

        back = "put pictures, regions and controls back to what it was painted with"
        on = "begin a painting of its photograph with this picture, in the style and with the settings of the panel"
        self.buttons = {
            "restore": button("Go back to it", "sliders", act(restore), back),
            "branch": button("Paint on from it", "code-fork", act(branch), on),
            "remove": button("Remove", "trash", self.remove, "forget this picture"),
        }
        super().__init__([heading("Snapshots"), self._strip, self._about, row(*self.buttons.values())])
        self._draw()

    @property
    def chosen(self):
        """The :class:`Kept` that is shown instead of the painting, or None."""
        return self.kept.get(self.current)

    def keep(self, snapshot, photograph, asked):
        """Add a snapshot, unless it is there already; see :class:`Kept`."""
        if self.number_of(snapshot) is not None:
            return
        self._count += 1
        photograph = next((kept.photograph for kept in self.kept.values() if kept.photograph == photograph), photograph)
        self.kept[self._count] = Kept(snapshot, photograph, asked)
        while len(self.kept) > 1 and bytes_of(self.kept) > ROOM:
            del self.kept[next(iter(self.kept))]
        self.choose(self.current if self.current in self.kept else None)

    def number_of(self, snapshot):
        """The number that a snapshot is kept under, or None."""
        return next((number for number, kept in self.kept.items() if kept.snapshot is snapshot), None)

    def choose(self, number):
        """Show one of those kept, or with None the painting again."""
        self.current = number
        self._draw()
        self._changed()

    def remove(self):
        """Forget the one chosen."""
        if self.kept.pop(self.current, None) is not None:
            self.choose(None)

    def close(self):
        """Forget all of them, and close."""
        self.kept.clear()
        super().close()

    def sheet(self):
        """All of them on one sheet, a PIL image.

        Raises:
            InputError: there are none.
        """
        if not self.kept:
            raise InputError("there are no snapshots yet: press Keep first")
        cells = [(kept.snapshot.image, caption(number, kept.snapshot)) for number, kept in self.kept.items()]
        # A sheet for each row, as a sheet's titles stand only over its first.
        columns = min(COLUMNS, len(cells))
        cells += [(Image.new("RGB", (4, 4), "white"), "")] * (-len(cells) % columns)
        rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
        sheets = [
            contact_sheet([[picture for picture, _ in cells]], [text.translate(PLAIN) or " " for _, text in cells])
            for cells in rows
        ]
        whole = Image.new("RGB", (sheets[0].width, sum(sheet.height for sheet in sheets)), "white")
        for place, sheet in enumerate(sheets):
            whole.paste(sheet, (0, sum(before.height for before in sheets[:place])))
        return whole

    def _pressed(self, number):
        self.choose(None if number == self.current else number)

    def _thumbnail(self, number):
        shot = self.kept[number].snapshot
        return thumbnail(shot.image, shot.transparency), f"{number}", caption(number, shot)

    def _draw(self):
        for one in self.buttons.values():
            one.disabled = self.current is None
        self._strip.show(self.kept, self._thumbnail)
        self._strip.mark(self.current)
        text = "what you stop, finish or keep is collected here; press one to see it again"
        if self.current is not None:
            text = (
                f"{caption(self.current, self.kept[self.current].snapshot)} · press it again to go back to the painting"
            )
        self._about.value = f'<span class="nstlib-quiet">{text}</span>'


def bytes_of(*things):
    """Bytes of the pictures, masks and files in lists, dicts and data classes, each counted once."""
    return sum({id(part): size for part, size in _parts(things)}.values())


def _parts(thing):
    if isinstance(thing, dict):
        thing = list(thing.values())
    elif is_dataclass(thing):
        thing = list(vars(thing).values())
    if isinstance(thing, (list, tuple)):
        for part in thing:
            yield from _parts(part)
    elif isinstance(thing, bytes):
        yield thing, len(thing)
    elif isinstance(thing, Image.Image):
        yield thing, thing.width * thing.height * len(thing.getbands())
    else:
        yield thing, getattr(thing, "nbytes", 0)  # of arrays and tensors


def caption(number, snapshot):
    """One line about a snapshot: its number, losses and main settings."""
    settings, losses = snapshot.settings, ", ".join(f"{name} {loss:.3g}" for name, loss in snapshot.losses.items())
    weights = "α {content_weight:g}, β {style_weight:g}, γ {tv_weight:g}, {optimizer}".format(**settings)
    height, width = snapshot.image.shape[2:]
    return f"{number}: {width} × {height}, {snapshot.iteration} iterations, {weights}; {losses}"
