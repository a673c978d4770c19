"""The painting beside what it is compared with: the photograph, or a picture painted before."""

import ipywidgets as widgets
from PIL import Image, ImageDraw

from .drawing import EMPTY, PREVIEW, TOOLTIP, jpeg, on_white, row

MODES = {
    "painting": "the whole painting",
    "wipe": "a border to move: left of it what it is compared with, right of it the painting",
    "side by side": "both at once",
    "100 %": "a part of the painting, pixel by pixel",
}
ACTUAL = 560  # pixels of a side, at most, of the part shown at 100 %


def compose(painting, other, mode, wipe=0.5, x=0.5, y=0.5, longest=PREVIEW):
    """The picture that a mode shows.

    Args:
        painting, other: PIL pictures; ``other`` may be None, and is shown at the painting's size.
        mode: key of :data:`MODES`.
        wipe: where the border stands, from 0 (all painting) to 1.
        x, y: place of the part shown at 100 %, from 0 (left, top) to 1.
        longest: longer side of each picture in pixels, at most.

    Returns:
        A PIL picture, RGB.
    """
    painting = on_white(painting)
    if mode == "100 %":
        width, height = (min(side, longest) for side in painting.size)
        left, top = round(x * (painting.width - width)), round(y * (painting.height - height))
        return painting.crop((left, top, left + width, top + height))
    scale = min(1, longest / max(painting.size))
    size = tuple(max(1, round(side * scale)) for side in painting.size)
    painting = painting.resize(size, Image.Resampling.LANCZOS) if size != painting.size else painting.copy()
    if mode == "painting" or other is None:
        return painting
    other = on_white(other).resize(size, Image.Resampling.LANCZOS)
    if mode == "wipe":
        border = round(wipe * size[0])
        painting.paste(other.crop((0, 0, border, size[1])), (0, 0))
        if 0 < border < size[0]:
            ImageDraw.Draw(painting).line([(border, 0), (border, size[1])], "white", 2)
        return painting
    both = Image.new("RGB", (2 * size[0] + 4, size[1]), "white")
    both.paste(other, (0, 0))
    both.paste(painting, (size[0] + 4, 0))
    return both


class Comparison(widgets.VBox):
    """Shows a painting alone, against another picture, or a part of it.

    Attributes:
        picture: the :class:`ipywidgets.Image`, a JPEG.
        mode, against, wipe, x, y: the controls; ``against`` names what it is compared with.
    """

    def __init__(self):
        self.picture = widgets.Image(format="jpeg", value=EMPTY, layout=widgets.Layout(max_width="calc(100% - 4px)"))
        self.picture.add_class("nstlib-picture")
        self.mode = widgets.ToggleButtons(
            options=list(MODES), tooltips=list(MODES.values()), style={"button_width": "auto"}
        )
        tip = {TOOLTIP: "what the painting is compared with"}
        style, layout = {"description_width": "4em"}, widgets.Layout(width="15em")
        about = {"description": "against", "style": style, "layout": layout, **tip}
        self.against = widgets.Dropdown(options=["photograph"], **about)
        self.wipe = _share("border", "where the border between both pictures stands")
        self.x = _share("left, right", "which part is shown")
        self.y = _share("up, down", "which part is shown")
        self._painting, self._others = None, {"photograph": None}
        self._sliders = row(self.wipe, self.x, self.y, self.against)
        super().__init__([self.mode, self._sliders, self.picture])
        for control in (self.mode, self.against, self.wipe, self.x, self.y):
            control.observe(self._draw, "value")
        self._draw()

    def show(self, painting):
        """Show another painting, a PIL picture."""
        self._painting = painting
        self._draw()

    def offer(self, others):
        """Compare with one of ``{name: function that returns a PIL picture}`` from now on; the first stays there."""
        self._others = others
        if self.against.options != tuple(others):
            kept = self.against.value
            self.against.options = tuple(others)
            self.against.value = kept if kept in others else next(iter(others))
        self._draw()

    def close(self):
        """Forget the pictures, and close."""
        self._painting, self._others = None, dict.fromkeys(self._others)
        super().close()

    def _draw(self, _=None):
        mode = self.mode.value
        shown = {"wipe": (self.wipe, self.against), "side by side": (self.against,), "100 %": (self.x, self.y)}
        self._sliders.layout.display = None if mode in shown else "none"
        for control in (self.wipe, self.x, self.y, self.against):
            control.layout.display = None if control in shown.get(mode, ()) else "none"
        if self._painting is None:
            return
        self.x.disabled, self.y.disabled = (side <= ACTUAL for side in self._painting.size)
        other = self._others[self.against.value] if mode in ("wipe", "side by side") else None
        longest = ACTUAL if mode == "100 %" else PREVIEW
        place = self.wipe.value, self.x.value, self.y.value
        actual = mode == "100 %"  # there, a pixel stays a pixel
        self.picture.layout.width, self.picture.layout.align_self = ("auto", "flex-start") if actual else ("100%", None)
        self.picture.value = jpeg(compose(self._painting, other and other(), mode, *place, longest), 2 * PREVIEW + 4)


def _share(name, tooltip):
    """A slider from 0 to 1."""
    style, layout = {"description_width": "5em"}, widgets.Layout(width="20em", max_width="100%")
    about = {"description": name, "style": style, "layout": layout, TOOLTIP: tooltip}
    return widgets.FloatSlider(0.5, min=0, max=1, step=0.01, readout=False, **about)
