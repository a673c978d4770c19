"""What is protected: nothing, a region, or a mask from a file; and how much."""

import ipywidgets as widgets

from ..masks import load_mask
from .drawing import narrow, row
from .uploads import FileField

NOTHING = "nothing"


class Protection(widgets.VBox):
    """Chooses the mask of what is protected.

    Args:
        photograph: the :class:`~nstlib.widgets.picker.Picker` of the content.
        slider: that of the setting ``protection``: it is shown here too, and only where something is protected.
        changed: called without arguments when another mask is chosen.
        attempt: called with a function to call, and its arguments; it says what goes wrong.

    Attributes:
        choice: the drop-down list; its values are names.
        file: the :class:`~nstlib.widgets.uploads.FileField` for a mask.
        mask, code: what is protected and the expression for it; None and an empty text for nothing.
    """

    def __init__(self, photograph, slider, changed, attempt):
        self._photograph, self._slider, self._changed = photograph, slider, changed
        self._masks, self._loaded = {NOTHING: (None, "")}, {}
        about = narrow("protect", "where the photograph stays much as it is", "19em")
        self.choice = widgets.Dropdown(options=[NOTHING], **about)
        tip = "a mask, white where the photograph stays much as it is, such as a face"
        self.file = FileField(tip, lambda *file: attempt(self._load, *file))
        super().__init__([row(self.choice, self.file, slider)])
        self.choice.observe(self._chosen, "value")
        self._show_slider()

    @property
    def mask(self):
        return self._masks[self.choice.value][0]

    @property
    def code(self):
        return self._masks[self.choice.value][1]

    def offer(self, regions):
        """Let regions be chosen, ``{name: (mask, code)}``, instead of those before; a mask loaded stays."""
        chosen = self.choice.value if self.choice.value in self._loaded else NOTHING
        self._masks = {NOTHING: (None, ""), **regions, **self._loaded}
        self.choice.options = list(self._masks)
        self.choice.value = chosen

    def add(self, name, mask, code):
        """Offer a mask under a name, and choose it."""
        self._loaded[name] = self._masks[name] = mask, code
        self.choice.options = list(self._masks)
        self.choice.value = name

    @property
    def state(self):
        """What is on offer and chosen, for :meth:`put_back`."""
        return dict(self._masks), dict(self._loaded), self.choice.value

    def put_back(self, state):
        """Offer and choose what was when this was the :attr:`state`."""
        masks, loaded, chosen = state
        self._masks, self._loaded = dict(masks), dict(loaded)
        self.choice.options = list(masks)
        self.choice.value = chosen

    def clear(self):
        """Protect nothing; masks loaded are forgotten."""
        self._loaded = {}
        self.offer({})

    def close(self):
        """Forget the masks, and close."""
        self._masks, self._loaded = dict.fromkeys(self._masks, (None, "")), {}
        super().close()

    def _load(self, source, name):
        mask = load_mask(source, self._photograph.picture.shape[:2], f"the mask {name}")
        self.add(name, mask[0, 0].numpy(), repr(name))

    def _chosen(self, _):
        self._show_slider()
        self._changed()

    def _show_slider(self):
        self._slider.layout.display = "none" if self.mask is None else None
