"""Choosing a picture: a sample, one used before, a path or address, an upload, Google Drive."""

import hashlib
import html
import importlib
import importlib.util
import os

import ipywidgets as widgets
import torch

from ..errors import InputError
from ..images import load_image_and_alpha, to_pil
from .drawing import EMPTY, TOOLTIP, button, explain, jpeg, narrow, row
from .shelf import last_used, remember, remember_folder, sample_thumbnails, thumbnail
from .thumbnails import Thumbnails
from .uploads import Uploads

DRIVE = "/content/drive"  # where Colab mounts it


class Picker(widgets.VBox):
    """Chooses a picture and shows it.

    What was chosen is named beside the title. A path is read each time it is entered; of a folder, the pictures are
    offered. If a picture cannot be read, its error replaces the picture chosen before.

    Args:
        title: ``"Content"`` or ``"Style"``.
        samples: names of the samples on offer.
        first: picture to begin with, as for :meth:`choose`.
        changed: called without arguments after each choice but the first.

    Attributes:
        source: what was chosen.
        chosen: the arguments of :meth:`choose` that choose it again.
        error: why it cannot be used, as text; None if it can.
        code: the Python expression for it.
        thumbnails, path, upload: the widgets.
    """

    def __init__(self, title, samples, first, changed):
        self._title, self._samples = title, samples
        self._changed = lambda: None
        self._small = widgets.Image(format="jpeg", value=EMPTY, layout=widgets.Layout(height="8em", margin="2px 8px"))
        self._small.layout.max_width = "10em"
        self._small.layout.object_fit = "contain"
        self._taken = widgets.HTML()
        self.thumbnails = Thumbnails(self._pressed)
        about = narrow("path", f"where the picture for {title.lower()} lies", "19.5em", label="initial")
        self.path = widgets.Text(placeholder="path, folder or address, then Enter", continuous_update=False, **about)
        tip = {TOOLTIP: f"pictures for {title.lower()} from your computer"}
        self._uploads = Uploads(self._uploaded, multiple=True, description="Upload", **tip)
        fields = [self.path, self._uploads]
        if importlib.util.find_spec("google") and importlib.util.find_spec("google.colab"):
            fields.append(button("Drive", "folder-open", self._mount, "offer the pictures of your Google Drive"))
        side = widgets.VBox([self.thumbnails, row(*fields)], layout=widgets.Layout(flex="1 1 17em", min_width="0"))
        body = widgets.HBox([self._small, side], layout=widgets.Layout(align_items="flex-start"))
        super().__init__([self._taken, body], layout=widgets.Layout(flex="1 1 30em", min_width="18em"))
        self.path.observe(self._path_entered, "value")
        self.choose(first)
        self._changed = changed

    @property
    def upload(self):
        """The button for files at present; a used one is replaced."""
        return self._uploads.button

    @property
    def small(self):
        """JPEG of the picture, small."""
        return self._small.value

    @property
    def picture(self):
        """The picture, float32 in [0, 1], array (H, W, 3), or (H, W, 4) with straight colours and transparency.

        Raises:
            InputError: what was chosen cannot be used.
        """
        if self.error:
            raise InputError(self.error)
        return self._picture

    def choose(self, source, name=None):
        """Load and show a picture.

        Args:
            source: name of a sample on offer, or whatever :func:`~nstlib.images.load_image` takes.
            name: file name to show, if ``source`` is the content of a file.
        """
        self.source, self.chosen = source, (source, name)
        self.error = self._picture = key = None
        sample = source.removeprefix("sample:") if isinstance(source, str) else ""
        if sample in self._samples:
            source = key = f"sample:{sample}"
            self.code, shown = repr(source), sample.replace("_", " ")
        elif name or isinstance(source, (str, os.PathLike)):
            self.code, shown = repr(name or str(source)), os.path.basename(name or str(source))
            key = f"{name} {hashlib.sha256(source).hexdigest()}" if name else str(source)
        else:
            self.code, shown = self._title.lower(), "given in code"
        try:
            image, alpha = load_image_and_alpha(source)
            self._picture = (image if alpha is None else torch.cat([image, alpha], 1))[0].permute(1, 2, 0).numpy()
            self._small.value = jpeg(to_pil(image, alpha), 320)
            if key and not key.startswith("sample:"):
                remember(self._title, key, source if name else str(source), name or shown, thumbnail(image, alpha))
        except Exception as error:  # an exception in a widget's callback would be lost
            self.error, key = f"{self._title}: {f'{name}: ' if name else ''}{explain(error)}", None
            self._small.value = EMPTY
        self.path.value = ""  # so that the same path can be entered again
        class_ = "nstlib-error" if self.error else "nstlib-quiet"
        self._taken.value = f'<b>{self._title}</b> <span class="{class_}">{html.escape(shown)}</span>'
        self._offer()
        self.thumbnails.mark(key)
        self._changed()

    def close(self):
        """Forget the picture, and close."""
        self._picture = self.source = self.chosen = None
        self.error = f"{self._title}: the panel is closed"
        super().close()

    def _offer(self):
        last = {
            key: (small, name, name if isinstance(source, bytes) else source)
            for key, (source, name, small) in last_used(self._title).items()
        }
        offered = {**sample_thumbnails(self._samples), **last}
        self.thumbnails.show(offered, offered.get)

    def _pressed(self, key):
        source, name, _ = last_used(self._title).get(key, (key, None, None))
        self.choose(source, name if isinstance(source, bytes) else None)

    def _path_entered(self, change):
        text = change["new"].strip()
        if os.path.isdir(os.path.expanduser(text)) and text:
            self.open_folder(text)
        elif text:
            self.choose(text)

    def open_folder(self, folder):
        """Offer the pictures of a folder."""
        self.path.value = ""
        try:
            count = remember_folder(self._title, folder)
        except Exception as error:
            self._say(explain(error), "nstlib-error")
            return
        self._offer()
        self._say(f"{count} picture{'s' * (count != 1)} in {folder}: choose one", "nstlib-quiet")

    def _say(self, text, class_):
        self._taken.value = f'<b>{self._title}</b> <span class="{class_}">{html.escape(text)}</span>'

    def _mount(self):
        importlib.import_module("google.colab.drive").mount(DRIVE)
        self._say(f"write {DRIVE}/MyDrive and the name of a picture or folder below", "nstlib-quiet")
        self.path.value = ""
        self.path.placeholder = f"{DRIVE}/MyDrive/…"

    def _uploaded(self, files):
        problems = []
        for name, content in reversed(files):  # all are offered, the first is chosen
            self.choose(content, name)
            problems += [self.error] if self.error else []
        if problems and not self.error:
            self._say(problems[-1], "nstlib-error")
