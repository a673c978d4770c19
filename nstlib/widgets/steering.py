"""The controls in groups, each with a reset, and what was moved last to be undone."""

import contextlib
from types import SimpleNamespace

import ipywidgets as widgets

from ..transfer.derived import DERIVED
from .controls import move
from .drawing import button, heading
from .groups import AT_ONCE, GROUPS

OPEN = ("How much style", "Strokes", "Colour")  # the others are closed at first
REMEMBERED = 100  # moves that can be undone


class Steering(widgets.VBox):
    """A column of groups of controls.

    Args:
        controls: those of :func:`~nstlib.widgets.controls.make_controls`; they are reset to the values they have now.
        layers: names of the style layers.
        changed: called without arguments after each move, also one of several controls at once.

    Attributes:
        resets: the buttons that reset a group, by its title.
        groups: ``{title: names of its controls}``.
    """

    def __init__(self, controls, layers, changed):
        self._controls, self._layers, self._changed = controls, layers, changed
        self._moves, self._last = [], None  # what each move changed, and the control that made the last of them
        self._together = self._following = False
        self._first = {name: control.value for name, control in controls.items()}
        names = {"style_layers": list(layers)}
        self.groups = {
            title: [one for name in group for one in names.get(name, [name]) if one in controls]
            for title, group in GROUPS.items()
        }
        self.resets, parts = {}, []
        for title, names in self.groups.items():
            tip = f"Put {title.lower()} back to where it was"
            self.resets[title] = button("Reset", "undo", lambda names=names: self.reset(names), tip)
            shown = [controls[name] for name in names if name not in layers]
            if title == "Strokes":
                shown.append(_closed("Weight of each style layer", [controls[layer] for layer in layers]))
            parts.append(self._group(title, shown))
        legend = f"{AT_ONCE} acts at once, also while it paints; the others from the next start"
        super().__init__(
            [widgets.HTML(f'<span class="nstlib-quiet">{legend}</span>'), *parts],
            layout=widgets.Layout(width="24.5em", max_width="100%"),
        )
        for name, control in controls.items():
            control.observe(lambda change, name=name: self._moved(name, change), "value")
        controls["color"].observe(self._show_color_strength, "value")
        self._show_color_strength()

    def reset(self, names):
        """Put controls back to the values that the panel began with."""
        with self.together():
            self._put_back({name: self._first[name] for name in names})

    def undo(self):
        """Put back what was moved last; a slider dragged in one go counts once. Returns whether there was anything."""
        if not self._moves:
            return False
        before = self._moves[:-1]
        with self.together():
            self._put_back(self._moves[-2])
        self._moves = before
        return True

    @contextlib.contextmanager
    def together(self):
        """What is moved in this context is undone in one go."""
        self._together, self._last = True, None
        self._moves.append({})
        try:
            yield
        finally:
            self._together = False
            if not self._moves[-1]:
                self._moves.pop()
            self._changed()

    def _moved(self, name, change):
        if self._together or self._following:
            self._moves[-1].setdefault(name, change["old"])
        elif name != self._last:  # of moves of the same control in a row, only where it began is kept
            self._last = name
            self._moves.append({name: change["old"]})
            del self._moves[:-REMEMBERED]
        if not self._following:
            self._following = True
            self._put(self._followers(name))
            self._following = False
            if not self._together:
                self._changed()

    def _followers(self, name):
        """What moves with a control: the learning rate suits only the optimizer that it was chosen for, and settings
        that are not stored are other ways to write those that are."""
        if name == "optimizer":
            return {"learning_rate": None}
        stored = "style_layers" if name in self._layers else name
        weights = SimpleNamespace(style_layers={layer: self._controls[layer].value for layer in self._layers})
        for weight in ("content_weight", "style_weight"):
            setattr(weights, weight, self._controls[weight].value)
        if name not in DERIVED:
            moved = {
                other: derived.read(weights)
                for other, derived in DERIVED.items()
                if stored in derived.of and other in self._controls
            }
        else:
            DERIVED[name].write(weights, self._controls[name].value)
            moved = {other: getattr(weights, other) for other in DERIVED[name].of}
            moved = moved.pop("style_layers", {}) | moved
        # Six digits are plenty, and they read well.
        return {other: float(f"{value:.6g}") for other, value in moved.items()}

    def _show_color_strength(self, _=None):
        """How much of the photograph's colours is kept is asked only where any of them are."""
        none_kept = self._controls["color"].value == "style"
        self._controls["color_strength"].layout.display = "none" if none_kept else None

    def _put_back(self, values):
        # What is not stored follows what is; the learning rate would follow the optimizer, which is put back first.
        kept = {name: value for name, value in values.items() if name not in DERIVED}
        self._put(dict(sorted(kept.items(), key=lambda item: item[0] != "optimizer")))

    def _put(self, values):
        for name, value in values.items():
            if self._controls[name].value != value:
                move(self._controls[name], "style_layers" if name in self._layers else name, value)

    def _group(self, title, shown):
        if title not in OPEN:
            return _closed(title, [*shown, self.resets[title]])
        layout = widgets.Layout(justify_content="space-between", align_items="center")
        return widgets.VBox([widgets.HBox([heading(title), self.resets[title]], layout=layout), *shown])


def _closed(title, children):
    accordion = widgets.Accordion([widgets.VBox(children)], selected_index=None)
    accordion.set_title(0, title)
    return accordion
