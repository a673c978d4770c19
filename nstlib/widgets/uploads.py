"""Buttons and fields for picture files of the user's own."""

import ipywidgets as widgets

from .drawing import TOOLTIP, narrow


class Uploads(widgets.VBox):
    """A button for files, replaced after each use: a used one would store the uploaded bytes in the notebook.

    Args:
        take: called with ``[(name, bytes)]``.
        **about: further keywords of :class:`ipywidgets.FileUpload`.

    Attributes:
        button: the :class:`ipywidgets.FileUpload`.
    """

    def __init__(self, take, **about):
        super().__init__()
        self._take, self._about = take, about
        self._renew()

    def _uploaded(self, change):
        if not change["new"]:
            return
        # ipywidgets 7 has {name: {"content": bytes}}, 8 a tuple of {"name", "content": memoryview}.
        files = change["new"]
        files = files.items() if isinstance(files, dict) else [(item["name"], item) for item in files]
        self._take([(name, bytes(file["content"])) for name, file in files])
        self._renew()

    def _renew(self):
        used = self.children
        layout = widgets.Layout(width="auto")
        self.button = widgets.FileUpload(accept="image/*", layout=layout, **self._about)
        self.button.observe(self._uploaded, "value")
        self.children = (self.button,)
        for widget in used:
            widget.close()


class FileField(widgets.HBox):
    """A field for a path or an address, and a button for a file, which both take one picture.

    Args:
        tip: what is to be given, for the tooltip.
        take: called with what to load and its name.

    Attributes:
        path: the field, empty again after each use, so that the same may be entered again.
    """

    def __init__(self, tip, take):
        about = narrow("file", tip, "14em", label="initial")
        self.path = widgets.Text(placeholder="path, then Enter", continuous_update=False, **about)
        self._uploads = Uploads(lambda files: take(files[0][1], files[0][0]), multiple=False, **{TOOLTIP: tip})
        super().__init__([self.path, self._uploads])
        self._take = take
        self.path.observe(self._entered, "value")

    @property
    def upload(self):
        """The button at present; a used one is replaced."""
        return self._uploads.button

    def _entered(self, change):
        text, self.path.value = change["new"].strip(), ""
        if text:
            self._take(text, text)
