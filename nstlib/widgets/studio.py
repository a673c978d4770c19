"""The studio: pictures, controls and a painting at work, in one panel."""

import html
import threading
import weakref
from base64 import b64encode

import ipywidgets as widgets

from .. import samples
from ..errors import InputError
from ..files import check_destination
from ..images import save_image
from ..transfer.settings import make_settings
from ..transfer.transfer import StyleTransfer
from .controls import LIVE, arrange, as_code, as_keywords, make_controls, read_controls
from .drawing import View, explain
from .picker import Picker
from .worker import Painting

DOWNLOAD = 24 << 20  # bytes; larger pictures are only written to disk


class Studio(widgets.VBox):
    """A panel for painting: choose pictures, press Start, move sliders, watch.

    The transfer runs in a thread of its own, takes over the controls before each iteration and publishes finished
    pictures. Everything but :meth:`wait` and :meth:`close` returns without waiting for an iteration.

    Args:
        content, style: pictures to begin with; whatever :func:`~nstlib.images.load_image` takes, or names of samples.
        preset, backbone: as for :class:`~nstlib.transfer.StyleTransfer`; a ready backbone has no control.
        **options: fields of :class:`~nstlib.Settings` to begin with.

    Attributes:
        content, style: the :class:`~nstlib.widgets.picker.Picker`\\ s, with ``choose(source)`` and ``source``.
        controls: the widgets, by the name of the setting or of the style layer; their ``value`` may be set.
        buttons: the buttons, by ``"start"``, ``"pause"``, ``"stop"``, ``"save"``.
        file: the text field with the name of the file to save.
        view: the :class:`~nstlib.widgets.drawing.View`.
        message: what was last said to the user, text; mostly an error, or empty.

    Raises:
        InputError: a setting that makes no sense. A picture that cannot be read is said in the panel instead.

    Only one studio of a kernel paints: a new one stops the one before it, and waits for its end before it paints.
    ``close()`` ends its thread.

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
        self._backbone = {} if isinstance(backbone, str) else {"backbone": backbone}
        self._given = make_settings(preset, **options, **({} if self._backbone else {"backbone": backbone}))
        self.message, self._enabling = "", threading.Lock()
        self.content = Picker("Content", samples.CONTENTS, samples.content, content, self._refresh)
        self.style = Picker("Style", samples.STYLES, samples.style, style, self._refresh)
        self.controls = make_controls(self._given)
        if self._backbone:
            self.controls.pop("backbone").close()
        self.view = View()
        super().__init__(self._make_panel())
        for control in self.controls.values():
            control.observe(self._refresh, "value")
        self._refresh()
        self._enable()
        self._take_over()

    # What can be done, by button or by code

    def start(self):
        """Begin to paint in the background."""
        if self._painting is not None and self._painting.at_work:
            return
        try:
            content, style, options = self.content.picture, self.style.picture, as_keywords(self.settings)
        except InputError as error:
            self._say(error)
            return
        self._say("")
        self._take_over()
        self._painting = Painting(
            make=lambda: StyleTransfer(content, style, **{**options, **self._backbone}),
            begin=self.view.clear,
            live=lambda: {name: value for name, value in as_keywords(self._sound).items() if name in LIVE},
            show=self._show,
            end=self._end,
        )
        self._enable()

    def pause(self):
        """Hold the painting after the iteration at work, or let it go on."""
        if self._painting is None or not self._painting.at_work:
            return
        if self._painting.paused:
            self._painting.resume()
        else:
            self._painting.pause()
        self.buttons["pause"].description = "Resume" if self._painting.paused else "Pause"

    def stop(self):
        """Ask the painting to end after the iteration at work, and return at once; the picture so far stays."""
        if self._painting is not None:
            self.buttons["pause"].disabled = self.buttons["stop"].disabled = True
            self._painting.stop()

    def wait(self, timeout=None):
        """Wait for the end of the painting, at most ``timeout`` seconds; returns whether it has come."""
        return self._painting is None or self._painting.wait(timeout)

    def save(self):
        """Write the picture last shown to the file named in the panel, and offer it for download."""
        shown, name = self._snapshot, self.file.value.strip()
        if shown is None:
            self._say("there is no picture yet: press Start first")
            return
        try:
            path = check_destination(name)
            save_image(shown.image, path, alpha=shown.transparency, settings=shown.settings)
            with open(path, "rb") as file:
                data = file.read(DOWNLOAD + 1)
        except Exception as error:
            self._say(explain(error))
            return
        link = ""
        if len(data) <= DOWNLOAD:
            link = f' · <a download="{html.escape(path.name)}" href="data:application/octet-stream;base64,'
            link += f'{b64encode(data).decode()}">download</a>'
        self._say(f"saved as {name}", error=False, link=link)

    def close(self):
        """Stop, wait for the end of the thread, let go of the transfer and remove the panel."""
        if self._painting is not None:
            self._painting.release()
            self._painting.wait()
        _close_children(self)
        super().close()

    @property
    def settings(self):
        """The :class:`~nstlib.Settings` that Start would paint with.

        Raises:
            InputError: the controls contradict each other.
        """
        return read_controls(self.controls, self._given)

    @property
    def code(self):
        """The line of Python that paints with the pictures and settings of the panel."""
        arguments = [self.content.code, self.style.code, *as_code(self.settings), *(f"{n}={n}" for n in self._backbone)]
        return f"nstlib.stylize({', '.join(arguments)})"

    @property
    def picture(self):
        """The picture last shown, a PIL image; None before there is one."""
        return None if self._snapshot is None else self._snapshot.picture

    @property
    def status(self):
        """The line about the progress, text."""
        return self.view.status.value

    @property
    def transfer(self):
        """The :class:`~nstlib.transfer.StyleTransfer` at work or the last one; None before, and once another studio
        has taken over or this one is closed."""
        return None if self._painting is None else self._painting.transfer

    # What the painting's thread calls

    def _show(self, snapshot):
        self._snapshot = snapshot
        self.view.show(snapshot)

    def _end(self, problem):
        if problem:
            self._say(problem)
        self._enable()

    # The panel

    def _make_panel(self):
        row = {"flex_flow": "row wrap", "align_items": "flex-start"}
        self.buttons = {
            "start": _button("Start", "play", self.start, "primary"),
            "pause": _button("Pause", "pause", self.pause),
            "stop": _button("Stop", "stop", self.stop),
            "save": _button("Save", "download", self.save),
        }
        self.file = widgets.Text("stylized.png", layout=widgets.Layout(width="9.5em"))
        self._message, self._code = widgets.HTML(), widgets.HTML()
        buttons = widgets.HBox([*self.buttons.values(), self.file], layout=row)
        right = widgets.VBox(
            [buttons, self._message, self.view],
            layout=widgets.Layout(flex="1 1 20em", max_width="46em", min_width="16em", padding="0 0 0 1em"),
        )
        pickers = widgets.HBox([self.content, self.style], layout=row)
        return [
            pickers,
            widgets.HBox([arrange(self.controls, self._given.style_layers), right], layout=row),
            self._code,
        ]

    def _refresh(self, _=None):
        """Take over what the panel says now, or say why it cannot be painted; what is at work then keeps the last."""
        try:
            self._sound = self.settings
        except InputError as error:
            self._say(error)
            return
        self._say(self.content.error or self.style.error or "")
        box = "user-select:all;white-space:pre-wrap;word-break:break-word;line-height:1.4;margin:0;padding:.5em"
        self._code.value = (
            f'<b>The same in code</b> (one click selects it)<pre style="{box};background:rgba(128,128,128,.12)">'
            f"{html.escape(f'import nstlib{chr(10)}{self.code}')}</pre>"
        )

    def _say(self, message, error=True, link=""):
        self.message = str(message)
        text = html.escape(self.message) + link
        self._message.value = f'<span style="color:#c62828">{text}</span>' if error and text else text

    def _enable(self):
        with self._enabling:  # a painting may end while the next one is begun
            running = self._painting is not None and self._painting.at_work
            self.buttons["start"].disabled = running
            self.buttons["pause"].disabled = self.buttons["stop"].disabled = not running
            self.buttons["pause"].description = "Pause"

    def _take_over(self):
        """From now on this is the studio that may paint."""
        before = Studio._latest()
        if before is not None and before is not self and before._painting is not None:
            before._painting.release()
        Studio._latest = weakref.ref(self)


def _button(text, icon, action, style=""):
    button = widgets.Button(description=text, icon=icon, button_style=style, layout=widgets.Layout(width="6.5em"))
    button.on_click(lambda _: action())
    return button


def _close_children(box):
    """ipywidgets keeps every widget that is not closed, and with it all that its callbacks refer to."""
    for child in getattr(box, "children", ()):
        _close_children(child)
        child.close()
