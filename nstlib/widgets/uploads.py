"""A button for picture files of the user's own."""

import ipywidgets as widgets


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
        self.button = widgets.FileUpload(accept="image/*", **self._about)
        self.button.observe(self._uploaded, "value")
        self.children = (self.button,)
        for widget in used:
            widget.close()
