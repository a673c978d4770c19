"""Choosing a picture: a sample, a path or URL, or an upload."""

import html
import os

import ipywidgets as widgets
import torch

from ..errors import InputError
from ..images import load_image_and_alpha, to_pil
from .drawing import EMPTY, explain, jpeg, labelled


class Picker(widgets.VBox):
    """Chooses a picture and shows a thumbnail of it.

    The fields are only for input; what was chosen is named beside the title. A path is read each time it is entered.
    If a picture cannot be read, its error replaces the picture chosen before.

    Args:
        title: ``"Content"`` or ``"Style"``.
        samples: names of the samples on offer.
        first: picture to begin with, as for :meth:`choose`.
        changed: called without arguments after each choice but the first.

    Attributes:
        source: what was chosen.
        error: why it cannot be used, as text; None if it can.
        code: the Python expression for it.
        sample, path, upload: the widgets.
    """

    def __init__(self, title, samples, first, changed):
        self._title, self._samples = title, samples
        self._changed = lambda: None
        options = [("choose a sample ...", ""), *((name, name) for name in samples)]
        self.sample = widgets.Dropdown(options=options, **labelled("sample"))
        self.path = widgets.Text(placeholder="URL or path, then Enter", continuous_update=False, **labelled("file"))
        small = widgets.Layout(width="auto", height="8.5em", margin="2px")
        self._small = widgets.Image(format="jpeg", value=EMPTY, layout=small)
        self._taken = widgets.HTML()
        self._upload_place = widgets.VBox()
        fields = widgets.VBox([self._taken, self.sample, self.path, self._upload_place])
        super().__init__(
            [widgets.HBox([fields, self._small], layout=widgets.Layout(flex_flow="row wrap"))],
            layout=widgets.Layout(margin="0 1em 0.5em 0"),
        )
        self.sample.observe(self._sample_chosen, "value")
        self.path.observe(self._path_entered, "value")
        self._renew_upload()
        self.choose(first)
        self._changed = changed

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
        sample = source.removeprefix("sample:") if isinstance(source, str) else ""
        sample = sample if sample in self._samples else ""
        self.source, self.error, self._picture = source, None, None
        if sample:
            source = f"sample:{sample}"
            self.code, self._name = repr(source), sample
        elif name or isinstance(source, (str, os.PathLike)):
            self.code, self._name = repr(name or str(source)), os.path.basename(name or str(source))
        else:
            self.code, self._name = self._title.lower(), "given in code"
        try:
            image, alpha = load_image_and_alpha(source)
            self._picture = (image if alpha is None else torch.cat([image, alpha], 1))[0].permute(1, 2, 0).numpy()
            self._small.value = jpeg(to_pil(image, alpha), 256)
        except Exception as error:  # an exception in a widget's callback would be lost
            self.error = f"{self._title}: {f'{name}: ' if name else ''}{explain(error)}"
            self._small.value = EMPTY
        # The fields are cleared, so that the same choice can be made again.
        self.path.value = ""
        self._sampled = "" if self.error else sample
        self.sample.value = self._sampled
        colour = "#c62828" if self.error else "inherit"
        self._taken.value = f'<b>{self._title}</b> <span style="color:{colour}">{html.escape(self._name)}</span>'
        self._changed()

    def _sample_chosen(self, change):
        if change["new"] not in ("", self._sampled):  # it also changes to show a sample that was chosen in code
            self.choose(change["new"])

    def _path_entered(self, change):
        if change["new"].strip():
            self.choose(change["new"].strip())

    def _uploaded(self, change):
        if not change["new"]:
            return
        # ipywidgets 7 has {name: {"content": bytes}}, 8 a tuple of {"name", "content": memoryview}.
        files = change["new"]
        (name, file), *_ = files.items() if isinstance(files, dict) else [(item["name"], item) for item in files]
        self.choose(bytes(file["content"]), name)
        self._renew_upload()

    def _renew_upload(self):
        """Replace the button: a used one would store the uploaded bytes in the notebook."""
        used = self._upload_place.children
        self.upload = widgets.FileUpload(accept="image/*", multiple=False, description="Upload")
        self.upload.observe(self._uploaded, "value")
        self._upload_place.children = (self.upload,)
        for widget in used:
            widget.close()
