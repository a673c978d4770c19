"""The buttons above the picture, the name of the file to save, and the line of messages below them."""

import html
from base64 import b64encode

import ipywidgets as widgets

DOWNLOAD = 24 << 20  # bytes; larger files are only written to disk


class Bar(widgets.VBox):
    """Buttons, file name and message.

    Args:
        **actions: what the buttons call, functions without arguments, by ``start``, ``pause``, ``stop`` and ``save``.

    Attributes:
        buttons: the buttons, by the same names.
        file: the text field with the name of the file to save.
        message: the last message, as text.
    """

    def __init__(self, **actions):
        icons = {"start": "play", "pause": "pause", "stop": "stop", "save": "download"}
        self.buttons = {name: _button(name.title(), icon, actions[name]) for name, icon in icons.items()}
        self.buttons["start"].button_style = "primary"
        self.file = widgets.Text("stylized.png", layout=widgets.Layout(width="9.5em"))
        self.message, self._line = "", widgets.HTML()
        row = widgets.Layout(flex_flow="row wrap", align_items="flex-start")
        super().__init__([widgets.HBox([*self.buttons.values(), self.file], layout=row), self._line])

    def say(self, message, *, error=True, saved=None):
        """Show a message, an error in red.

        Args:
            message: text, or an exception.
            error: whether the message is an error.
            saved: path of a file to offer for download.
        """
        self.message = str(message)
        text = html.escape(self.message) + (_download(saved) if saved else "")
        self._line.value = f'<span style="color:#c62828">{text}</span>' if error and text else text

    def enable(self, running):
        """Enable the buttons that make sense while a painting is running, or while none is."""
        self.buttons["start"].disabled = running
        self.buttons["pause"].disabled = self.buttons["stop"].disabled = not running
        self.buttons["pause"].description = "Pause"


def _button(text, icon, action):
    button = widgets.Button(description=text, icon=icon, layout=widgets.Layout(width="6.5em"))
    button.on_click(lambda _: action())
    return button


def _download(path):
    """A link that holds the whole file, or nothing if it is too large for that."""
    with open(path, "rb") as file:
        data = file.read(DOWNLOAD + 1)
    if len(data) > DOWNLOAD:
        return ""
    address = f"data:application/octet-stream;base64,{b64encode(data).decode()}"
    return f' · <a download="{html.escape(path.name)}" href="{address}">download</a>'
