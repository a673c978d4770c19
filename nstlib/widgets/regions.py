"""Regions of the photograph: what finds them, what is painted in them, what is protected."""

import html

import ipywidgets as widgets
import numpy as np

from .. import regions
from ..images import fit_size, load_image, load_image_and_alpha, resize
from ..masks import load_mask
from .areas import ABOVE, Area, AreaControls, Offer, beside_picture, expression, offers
from .drawing import EMPTY, button, close_children, explain, jpeg, narrow, row
from .finding import WAYS, areas_of, found
from .protection import Protection
from .shelf import thumbnail
from .uploads import FileField

TITLE = "Regions: a style for each part of the photograph, and what of it is protected"
NONE_YET = "find regions, or load a picture of them; without any, the style is everywhere"
PREVIEW = 640  # pixels of the longer side, at most


class Regions(widgets.Accordion):
    """A closed group of controls for regions and protection. What goes wrong is said in it.

    Args:
        content, style: the :class:`~nstlib.widgets.picker.Picker`\\ s.
        slider: that of the setting ``protection``.
        changed: called without arguments when something else is asked for, but not at first.

    Attributes:
        rows: the :class:`~nstlib.widgets.areas.AreaControls` of each region; empty for one style everywhere.
        way, count, find, file, clear_all: what finds, loads and clears regions.
        protection: the :class:`~nstlib.widgets.protection.Protection`.
        picture: the :class:`ipywidgets.Image` of the photograph with its regions.
        message: what is said about them, as text.
    """

    def __init__(self, content, style, slider, changed):
        self._content, self._style, self._changed = content, style, lambda: None
        self.rows, self.message, self._code, self._given = [], "", "", {}
        self.way = widgets.Dropdown(options=WAYS, **narrow("find", "what makes a region", "19em"))
        self.count = widgets.IntSlider(3, min=2, max=8, **narrow("number", "how many regions to find"))
        look = "look for regions in the photograph"
        self.find = button("Find", "search", lambda: self._attempt(self._find), look)
        self.clear_all = button("Clear", "times", self.clear, "one style everywhere, and nothing protected")
        tip = "scribbles, if these are chosen, else a map of labels, a plain colour for each region, or a mask"
        self.file = FileField(tip, lambda *file: self._attempt(self._load, *file))
        self.picture = widgets.Image(format="jpeg", value=EMPTY, layout=widgets.Layout(width="20em", max_width="100%"))
        self.picture.add_class("nstlib-regions")
        self._about = widgets.HTML()
        self._list = widgets.VBox(layout=widgets.Layout(flex="1 1 22em", margin="0 0 0 10px"))
        self.protection = Protection(content, slider, self._refresh, self._attempt)
        finding = row(self.way, self.count, self.find, self.file, self.clear_all)
        seen = row(self.picture, self._list)
        super().__init__([widgets.VBox([finding, self._about, seen, self.protection])], selected_index=None)
        self.set_title(0, TITLE)
        self.way.observe(self._show_count, "value")
        self._show([])
        self._changed = changed

    @property
    def styles(self):
        """What is painted: the style picture, or a list of :class:`~nstlib.Style`, one for each region.

        Raises:
            InputError: the style picture cannot be used.
        """
        if not self.rows:
            return self._style.picture
        return [one.styled(self._style.picture) for one in self.rows]

    @property
    def code(self):
        """``(lines, style, arguments)``: lines to come before, the expression for the style, further arguments."""
        names = [name for name, needed in (("Style", self.rows), ("regions", self._code)) if needed]
        before = [f"from nstlib import {', '.join(names)}"] if names else []
        before += [self._code] if self._code else []
        styles = "".join(f"    {one.code},\n" for one in self.rows)
        protect = self.protection.code
        return before, f"[\n{styles}]" if styles else self._style.code, [f"protect={protect}"] if protect else []

    @property
    def state(self):
        """What is asked for now, for :meth:`put_back`."""
        rows = [(one.area, one.state, one.chosen) for one in self.rows]
        return rows, self._code, self.protection.state

    def put_back(self, state):
        """Ask for what was asked for when this was the :attr:`state`, of the same photograph and style picture."""
        self._attempt(self._put_back, *state)

    def clear(self):
        """One style everywhere, nothing protected: as it is with every new photograph."""
        self._show([])
        self.protection.clear()

    def close(self):
        """Forget the regions, and close."""
        self.rows, self._list.children, self._given = [], (), {}
        super().close()

    def restyle(self):
        """Another style picture was chosen."""
        if any(one.area.style.of is not None and one.area.own == ABOVE for one in self.rows):
            self._show([])
            self._say("these regions were paired with the painting before: find them again")
        on_offer = offers(self._style, self._given)
        for one in self.rows:
            one.offer(on_offer)

    def give(self, styles, protect):
        """Begin with what was given in code, if that is more than the picture of the style.

        Args:
            styles: list of :class:`~nstlib.Style`; the picture of the first is that of the picker.
            protect: mask, or None.
        """
        divided = len(styles) > 1 or beside_picture(styles[0])
        if divided:
            self._attempt(self._give, styles)
        if protect is not None:
            self.protection.add("the mask given", protect, expression(protect, "protect"))
        self.selected_index = 0 if divided or protect is not None else None

    def _attempt(self, action, *arguments):
        try:
            action(*arguments)
        except Exception as error:  # an exception in a widget's callback would be lost
            self._say(explain(error), "nstlib-error")

    def _find(self):
        self._say("looking …")
        self._show(*found(self.way.value, self._content, self._style, self.count.value))

    def _load(self, source, name):
        if self.way.value == "scribbles":
            masks = regions.scribbles(self._content.picture, source)
            self._show(*areas_of(masks, f"regions.scribbles({self._content.code}, {name!r})"))
        else:
            self._show(*areas_of(regions.areas(source), f"regions.areas({name!r})"))

    def _give(self, styles):
        areas, self._given = areas_given(styles, self._content.picture.shape[:2])
        self._show(areas)

    def _put_back(self, rows, code, protected):
        known = offers(self._style, self._given)  # of the pictures used last, one may have been forgotten
        self._given |= {key: offer for _, _, (key, offer) in rows if key not in known}
        self._show([area for area, _, _ in rows], code)
        for one, (_, moved, _) in zip(self.rows, rows, strict=True):
            one.put_back(moved)
        self.protection.put_back(protected)

    def _show(self, areas, code=""):
        """Replace the regions by others, found by a line of code."""
        for area in areas:
            fitted(area.shown, self._content.picture.shape[:2])  # its proportions are wrong now or never
        on_offer = offers(self._style, self._given)
        rows = [AreaControls(k, area, on_offer, self._changed) for k, area in enumerate(areas)]
        used, self.rows, self._code = self.rows, rows, code
        self._list.children = tuple(rows)
        for one in used:
            close_children(one)
            one.close()
        self._say(f"{len(rows)} regions, painted from the next start" if rows else NONE_YET)
        self.protection.offer(
            {
                f"region {area.name}": (area.style.where, area.codes["where"])
                for area in areas
                if area.style.where is not None
            }
        )
        self._refresh()

    def _refresh(self):
        self._attempt(self._draw)
        self._changed()

    def _draw(self):
        protected = self.protection.mask
        nothing = not self.rows and protected is None
        self.picture.layout.display = "none" if nothing else None
        if not nothing:
            masks = {one.area.name: one.area.shown for one in self.rows}
            self.picture.value = jpeg(seen_over(self._content.picture, masks, protected))

    def _show_count(self, _):
        self.count.layout.display = "none" if self.way.value in ("objects", "scribbles") else None

    def _say(self, message, class_="nstlib-quiet"):
        self.message = message
        role = ' role="alert"' if class_ == "nstlib-error" else ""
        self._about.value = f'<span class="{class_}"{role}>{html.escape(message)}</span>'


def areas_given(styles, shape):
    """What styles given in code ask for.

    Args:
        styles: list of :class:`~nstlib.Style`.
        shape: (height, width) of the photograph.

    Returns:
        ``(areas, offers)``: a region for each, and ``{key: Offer}`` of all their pictures but the first.
    """
    masks = [None if style.where is None else fitted(style.where, shape) for style in styles]
    rest = np.clip(1 - sum(mask for mask in masks if mask is not None), 0, 1) * np.ones(shape)
    areas, offered = [], {}
    for k, (style, mask) in enumerate(zip(styles, masks, strict=True), 1):
        codes = {name: expression(value, f"{name}_{k}") for name, value in vars(style).items()}
        codes["picture"] = expression(style.picture, f"style_{k}")
        own = ABOVE if k == 1 else f"style {k}"
        if own != ABOVE:
            small = thumbnail(*load_image_and_alpha(style.picture))
            offered[own] = Offer(style.picture, codes["picture"], own, small)
        areas.append(Area(f"{k}", rest if mask is None else mask, style, codes, own))
    return areas, offered


def seen_over(photo, masks, protected=None):
    """:func:`nstlib.regions.show` of masks of any size, over a small copy of the photograph."""
    photo = load_image(photo)
    shape = photo.shape[2:]
    size = fit_size(*shape, min(PREVIEW, max(shape)))
    protected = None if protected is None else fitted(protected, shape, size)
    return regions.show(
        resize(photo, size), {name: fitted(mask, shape, size) for name, mask in masks.items()}, protected
    )


def fitted(mask, shape, size=None):
    """A mask of a photograph of this shape as array of ``size``; raises as :func:`~nstlib.masks.load_mask` does."""
    return resize(load_mask(mask, shape, "the mask"), size or shape)[0, 0].numpy()
