"""The buttons above the picture, and the line of messages below them."""

import html
from base64 import b64encode

import ipywidgets as widgets

from .drawing import button, row

DOWNLOAD = 24 << 20  # bytes; larger files are only written to disk
BUTTONS = {
    "start": ("Start", "play", "paint with the pictures and settings of the panel"),
    "pause": ("Pause", "pause", "hold the painting, or go on with it"),
    "stop": ("Stop", "stop", "end the painting; the picture so far stays"),
    "keep": ("Keep", "camera", "keep the picture as it is now among the snapshots"),
    "undo": ("Undo", "undo", "put back the control that was moved last"),
}


class Bar(widgets.VBox):
    """Buttons and message.

    Args:
        **actions: what the buttons call, functions without arguments, by the keys of :data:`BUTTONS`.

    Attributes:
        buttons: the buttons, by the same names.
        message: the last message, as text.
    """

    def __init__(self, **actions):
        self.buttons = {
            name: button(text, icon, actions[name], tooltip, "6.2em") for name, (text, icon, tooltip) in BUTTONS.items()
        }
        self.buttons["start"].button_style = "primary"
        self.message, self._line = "", widgets.HTML()
        super().__init__([row(*self.buttons.values()), self._line])

    def say(self, message, *, error=True, saved=None):
        """Show a message, an error in red.

        Args:
            message: text, or an exception.
            error: whether the message is an error.
            saved: path of a file to offer for download.
        """
        self.message = str(message)
        text = html.escape(self.message) + (_download(saved) if saved else "")
        self._line.value = f'<span class="nstlib-error" role="alert">{text}</span>' if error and text else text

    def close(self):
        """Forget the file on offer, and close."""
        self._line.value = ""
        super().close()

    def enable(self, running):
        """Enable the buttons that make sense while a painting is running, or while none is."""
        self.buttons["start"].disabled = running
        self.buttons["pause"].disabled = self.buttons["stop"].disabled = not running
        self.buttons["pause"].description = "Pause"


def _download(path):
    """A link that holds the whole file, or nothing if it is too large for that."""
    with open(path, "rb") as file:
        data = file.read(DOWNLOAD + 1)
    if len(data) > DOWNLOAD:
        return ""
    address = f"data:application/octet-stream;base64,{b64encode(data).decode()}"
    return f' · <a download="{html.escape(path.name)}" href="{address}">download</a>'
