"""Saving the picture with its settings, and loading the settings of a saved one."""

import tempfile
from pathlib import Path

import ipywidgets as widgets

from ..errors import InputError
from ..files import check_destination
from ..images import read_settings, save_image
from .drawing import TOOLTIP, button, explain, narrow, row
from .uploads import Uploads

SHEET = "snapshots.png"
FORMATS = {"PNG": ".png", "JPEG": ".jpg", "16-bit TIFF": ".tif"}


class Saving(widgets.VBox):
    """File name, format and Save, the contact sheet, and a button for a saved picture.

    Args:
        view: the :class:`~nstlib.widgets.view.View`, whose picture is saved.
        load: called with the settings of a saved picture, a dict.
        say: what says what was saved or is wrong, as :meth:`~nstlib.widgets.bar.Bar.say`.

    Attributes:
        file: the text field with the name of the file; its suffix decides the format.
        format: the drop-down list, which changes the suffix.
        upload: the button for a saved picture.
    """

    def __init__(self, view, load, say):
        self._view, self._load, self._say = view, load, say
        tip = "name of the file; its suffix decides the format"
        self.file = widgets.Text("stylized.png", **narrow("file", tip, "12em", label="initial"))
        tip = "PNG loses nothing, JPEG is small, TIFF has 16 bits a channel; all hold the settings"
        self.format = widgets.Dropdown(options=FORMATS, **narrow("as", tip, "9em", label="initial"))
        self.format.observe(self._renamed, "value")
        tooltip = "write the picture at full size, with its settings inside"
        self.button = button("Save", "download", self.save, tooltip, "6.2em")
        tooltip = f"write all snapshots on one sheet, {SHEET} beside the picture"
        self.sheet = button("Contact sheet", "th", self.save_sheet, tooltip)
        about = {"description": "Settings from a picture", "icon": "sliders"}
        about[TOOLTIP] = "put the controls to the settings that a picture was saved with"
        self._uploads = Uploads(self._uploaded, multiple=False, **about)
        super().__init__([row(self.button, self.file, self.format, self.sheet, self._uploads)])

    @property
    def upload(self):
        """The button for a saved picture at present; a used one is replaced."""
        return self._uploads.button

    def save(self):
        """Write the picture shown to the file named, and offer it for download."""
        shown = self._view.shown
        if shown is None:
            self._say("there is no picture yet: press Start first")
            return
        settings, alpha = shown.settings, shown.transparency
        self._write(self.file.value.strip(), lambda path: save_image(shown.image, path, alpha=alpha, settings=settings))

    def save_sheet(self):
        """Write all snapshots on one sheet, beside the file named."""
        place = str(Path(self.file.value.strip()).parent / SHEET)
        self._write(place, lambda path: self._view.snapshots.sheet().save(path))

    def _write(self, name, write):
        try:
            path = check_destination(name)
            write(path)
            self._say(f"saved as {name}", error=False, saved=path)
        except Exception as error:  # an exception in a button's callback would be lost
            self._say(explain(error))

    def _renamed(self, change):
        self.file.value = str(Path(self.file.value or "stylized").with_suffix(change["new"]))

    def _uploaded(self, files):
        ((name, content),) = files
        try:
            self._load(settings_in(name, content))
        except Exception as error:  # an exception in a widget's callback would be lost
            self._say(f"{name}: {explain(error)}")


def settings_in(name, content):
    """The settings that a saved picture holds.

    Raises:
        InputError: no picture, or one without settings.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "picture").with_suffix(Path(name).suffix)
        file.write_bytes(content)
        settings = read_settings(file)
    if settings is None:
        raise InputError("this picture holds no settings: choose one that nstlib has saved")
    return settings
