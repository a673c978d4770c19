"""The studio: pictures, controls and a running transfer in one panel."""

import threading
import weakref

import ipywidgets as widgets

from .. import samples
from ..errors import InputError
from ..files import check_destination
from ..images import save_image
from ..transfer.presets import make_settings
from ..transfer.transfer import StyleTransfer
from .bar import Bar
from .controls import arrange, as_code, as_keywords, live_settings, make_controls, read_controls
from .drawing import View, code_box, explain
from .picker import Picker
from .worker import Painting


class Studio(widgets.VBox):
    """A panel for painting: choose pictures, press Start, move sliders, watch.

    The transfer runs in its own thread, reads the controls before each iteration and publishes snapshots of the
    picture. Only :meth:`wait` and :meth:`close` wait for an iteration to end.

    Args:
        content, style: pictures to begin with; names of samples, or whatever :func:`~nstlib.images.load_image` takes.
        preset, backbone: as for :class:`~nstlib.transfer.StyleTransfer`; a :class:`~nstlib.Backbone` has no control.
        **options: fields of :class:`~nstlib.Settings` to begin with.

    Attributes:
        content, style: the :class:`~nstlib.widgets.picker.Picker`\\ s, with ``choose(source)`` and ``source``.
        controls: the widgets, by the name of the setting or of the style layer; their ``value`` may be set.
        buttons, file: those of the :class:`~nstlib.widgets.bar.Bar`.
        view: the :class:`~nstlib.widgets.drawing.View`.

    Raises:
        InputError: a setting that makes no sense. A picture that cannot be read is reported in the panel instead.

    Only one studio per kernel paints: a new one stops the one before it, and waits for that to end.

    Example:
        >>> studio = Studio("chelsea", "swirls", size=64, iterations=4)
        >>> studio.start()
        >>> studio.wait()
        True
        >>> studio.picture.size
        (64, 43)
        >>> studio.close()
    """

    _latest = staticmethod(lambda: None)  # a weak reference: it must not keep a closed studio alive
    _painting = _snapshot = None

    def __init__(self, content="chelsea", style="swirls", *, preset="default", backbone="compact", **options):
        self._given = make_settings(preset, backbone=backbone, **options)
        self._enabling = threading.Lock()
        self.content = Picker("Content", samples.CONTENTS, content, self._refresh)
        self.style = Picker("Style", samples.STYLES, style, self._refresh)
        self.controls = make_controls(self._given)
        self._bar = Bar(start=self.start, pause=self.pause, stop=self.stop, save=self.save)
        self.buttons, self.file = self._bar.buttons, self._bar.file
        self.view, self._code = View(), widgets.HTML()
        controls = arrange(self.controls, self._given.style_layers)
        super().__init__([_row(self.content, self.style), _row(controls, _wide(self._bar, self.view)), self._code])
        for control in self.controls.values():
            control.observe(self._refresh, "value")
        self._refresh()
        self._enable()
        self._take_over()

    # What can be done, by button or in code

    def start(self):
        """Start painting in the background."""
        if self._painting is not None and self._painting.at_work:
            return
        try:
            content, style, settings = self.content.picture, self.style.picture, self.settings
        except InputError as error:
            self._bar.say(error)
            return
        self._bar.say("")
        self._take_over()
        self._painting = Painting(
            make=lambda: StyleTransfer(content, style, **as_keywords(settings)),
            begin=self.view.clear,
            live=lambda: live_settings(self._valid, settings),
            show=self._show,
            end=self._end,
        )
        self._enable()

    def pause(self):
        """Pause the painting after the current iteration, or resume it."""
        painting = self._painting
        if painting is not None and painting.at_work:
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

    def save(self):
        """Write the picture last shown to the file named in the panel, and offer it for download."""
        shown, name = self._snapshot, self.file.value.strip()
        if shown is None:
            self._bar.say("there is no picture yet: press Start first")
            return
        try:
            path = check_destination(name)
            save_image(shown.image, path, alpha=shown.transparency, settings=shown.settings)
            self._bar.say(f"saved as {name}", error=False, saved=path)
        except Exception as error:  # an exception in a button's callback would be lost
            self._bar.say(explain(error))

    def close(self):
        """Stop, wait for the thread to end, release the transfer and remove the panel."""
        if self._painting is not None:
            self._painting.release()
            self._painting.wait()
        _close_children(self)
        super().close()

    @property
    def settings(self):
        """The :class:`~nstlib.Settings` that Start would paint with.

        Raises:
            InputError: a text that cannot be read, or controls that contradict each other.
        """
        return read_controls(self.controls, self._given)

    @property
    def code(self):
        """The line of Python that paints with the pictures and settings of the panel."""
        return f"nstlib.stylize({', '.join([self.content.code, self.style.code, *as_code(self.settings)])})"

    @property
    def picture(self):
        """The picture last shown, a PIL image; None before there is one."""
        return None if self._snapshot is None else self._snapshot.picture

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

    # Called by the painting's thread

    def _show(self, snapshot):
        self._snapshot = snapshot
        self.view.show(snapshot)

    def _end(self, problem):
        if problem:
            self._bar.say(problem)
        self._enable()

    # The panel

    def _refresh(self, _=None):
        """Check what the panel says now and show it as code, or what is wrong; a running painting keeps the last."""
        try:
            self._valid = self.settings
        except InputError as error:
            self._bar.say(error)
            return
        self._bar.say(self.content.error or self.style.error or "")
        self._code.value = code_box(f"import nstlib\n{self.code}")

    def _enable(self):
        with self._enabling:  # one painting may end while the next one starts
            self._bar.enable(self._painting is not None and self._painting.at_work)

    def _take_over(self):
        """Become the studio that may paint."""
        before = Studio._latest()
        if before is not None and before is not self and before._painting is not None:
            before._painting.release()
        Studio._latest = weakref.ref(self)


def _row(*children):
    return widgets.HBox(children, layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start"))


def _wide(*children):
    layout = widgets.Layout(flex="1 1 20em", max_width="46em", min_width="16em", padding="0 0 0 1em")
    return widgets.VBox(children, layout=layout)


def _close_children(box):
    """Close all widgets below: ipywidgets keeps those that are open, with everything their callbacks refer to."""
    for child in getattr(box, "children", ()):
        _close_children(child)
        child.close()
