"""The studio: pictures, controls and a running transfer in one panel."""

import threading

import ipywidgets as widgets

from ..errors import InputError
from ..styles import as_styles
from ..transfer.presets import PRESETS, make_settings
from ..transfer.transfer import StyleTransfer
from .bar import Bar
from .cells import close_former
from .controls import as_keywords, live_settings
from .desk import Desk
from .drawing import CSS, close_children, row, wide
from .saving import Saving
from .speeds import SPEEDS
from .view import View
from .worker import Painting, release_other


class Studio(widgets.VBox):
    """A panel for painting: choose pictures, press Start, move sliders, watch, compare, save.

    The transfer runs in its own thread, reads the controls before each iteration and publishes snapshots of the
    picture. Only :meth:`wait` and :meth:`close` wait for an iteration to end.

    Args:
        content, style, protect: to begin with, as for :class:`~nstlib.transfer.StyleTransfer`; or names of samples.
        preset, backbone: as for :class:`~nstlib.transfer.StyleTransfer`; a :class:`~nstlib.Backbone` has no control.
        **options: fields of :class:`~nstlib.Settings` to begin with; size and iterations are small by default.

    Attributes:
        content, style: the :class:`~nstlib.widgets.picker.Picker`\\ s, with ``choose(source)`` and ``source``.
        controls: the widgets, by the name of the setting or of the style layer; their ``value`` may be set.
        regions, speeds, steering, view, snapshots, saving: the parts of the panel, of the classes of these names.
        buttons, file: those of the :class:`~nstlib.widgets.bar.Bar`, and the name of the file to save.

    Raises:
        InputError: a setting that makes no sense. A picture that cannot be read is reported in the panel instead.

    Only one studio per kernel paints: a new one stops the one before it, and waits for that to end. One that the same
    cell of a notebook has made before is closed.

    Example:
        >>> studio = Studio("chelsea", "swirls", size=64, iterations=4)
        >>> studio.start()
        >>> studio.wait()
        True
        >>> studio.picture.size
        (64, 43)
        >>> studio.close()
    """

    _painting = _desk = None

    def __init__(
        self, content="chelsea", style="starry_night", *, protect=None, preset="default", backbone="compact", **options
    ):
        close_former(self)
        small = {name: value for name, value in SPEEDS["interactive"].items() if name not in PRESETS.get(preset, {})}
        given = make_settings(preset, **{**small, "backbone": backbone, **options})
        self._enabling = threading.Lock()
        self._bar = Bar(start=self.start, pause=self.pause, stop=self.stop, keep=self.keep, undo=lambda: desk.undo())
        given = content, as_styles(style), protect, given
        desk = self._desk = Desk(*given, self._prepare, self._bar.say, lambda: self._busy)
        self.content, self.style, self.controls = desk.content, desk.style, desk.controls
        self.regions, self.steering, self.speeds, self.undo = desk.regions, desk.steering, desk.speeds, desk.undo
        self.view = View(desk.go_back, self.start)
        self.saving = Saving(self.view, desk.set_saved, self._bar.say)
        self.snapshots, self.save, self.file = self.view.snapshots, self.saving.save, self.saving.file
        self.buttons = {**self._bar.buttons, "save": self.saving.button}
        # In a narrow window, the picture comes above the controls.
        painted = wide(self.speeds, self._bar, self.view, self.saving, self.snapshots, self.view.curves)
        easel = row(self.steering, painted, reverse=True)
        super().__init__([widgets.HTML(CSS), row(self.content, self.style), self.regions, easel, desk.box])
        self.add_class("nstlib-panel")
        self._prepare()
        desk.refresh()
        self._enable()
        release_other(self)

    # What can be done, by button or in code

    def start(self, begin=None):
        """Start painting in the background, from a :class:`~nstlib.widgets.snapshots.Kept` if given."""
        if self._busy:
            return
        if begin is not None:
            self._desk.choose_photograph(begin)
        try:
            content, styles, settings = self.content.picture, self.regions.styles, self.settings
        except InputError as error:
            self._bar.say(error)
            return
        self._bar.say("")
        release_other(self)
        self.view.begin(content, self._desk.asked)
        self._desk.branch = None if begin is None else (self.snapshots.number_of(begin.snapshot), begin.snapshot.image)
        options = {**as_keywords(settings), **self._desk.start, "protect": self.regions.protection.mask}
        self._painting = Painting(
            make=lambda: StyleTransfer(content, styles, **options),
            begin=self.view.clear,
            live=lambda: live_settings(self._desk.valid, settings),
            show=self.view.follow,
            end=self._end,
        )
        self._desk.refresh()
        self._enable()

    def pause(self):
        """Pause the painting after the current iteration, or resume it."""
        if self._busy:
            painting = self._painting
            painting.resume() if painting.paused else painting.pause()
            self.buttons["pause"].description = "Resume" if painting.paused else "Pause"

    def stop(self):
        """Ask the painting to end after the current iteration, and return at once; the picture so far stays."""
        if self._painting is not None:
            self.buttons["pause"].disabled = self.buttons["stop"].disabled = True
            self._painting.stop()

    def wait(self, timeout=None):
        """Wait for the end of the painting, at most ``timeout`` seconds; returns whether it has ended."""
        return self._painting is None or self._painting.wait(timeout)

    def keep(self):
        """Keep the picture as it is now among the snapshots."""
        if not self.view.keep():
            self._bar.say("there is no picture yet: press Start first")

    def release(self):
        """Ask the painting to end, and release the transfer and its memory."""
        if self._painting is not None:
            self._painting.release()

    def close(self):
        """Stop, wait for the threads to end, remove the panel and free its memory but for the last painting."""
        self.release()
        self.wait()
        if self._desk is not None:
            self.speeds.end()
            self._desk.branch = None
        close_children(self)
        super().close()

    @property
    def settings(self):
        """The :class:`~nstlib.Settings` that Start would paint with.

        Raises:
            InputError: a text that cannot be read, or controls that contradict each other.
        """
        return self._desk.settings

    @property
    def code(self):
        """The lines of Python, after ``import nstlib``, that paint with the pictures and settings of the panel."""
        return self._desk.code

    @property
    def picture(self):
        """The picture shown, a PIL image; None before there is one."""
        return None if self.view.shown is None else self.view.shown.picture

    @property
    def message(self):
        """The last message to the user, as text: mostly an error, or empty."""
        return self._bar.message

    @property
    def status(self):
        """The status line, as text."""
        return self.view.status.value

    @property
    def transfer(self):
        """The last :class:`~nstlib.transfer.StyleTransfer`; None before it is made and after it was released."""
        return None if self._painting is None else self._painting.transfer

    # The panel

    @property
    def _busy(self):
        return self._painting is not None and self._painting.at_work

    def _prepare(self):
        self.view.prepare(self.content, self.style, self._desk.asked)

    def _end(self, problem):
        if problem:
            self._bar.say(problem)
        self._enable()

    def _enable(self):
        with self._enabling:  # one painting may end while the next one starts
            self._bar.enable(self._busy)
