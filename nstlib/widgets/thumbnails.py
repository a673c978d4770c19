"""A row of pictures to choose from. Each is a button, so that the keyboard and screen readers reach it."""

import html
from base64 import b64encode
from itertools import count

import ipywidgets as widgets

_NUMBERS = count()  # of the style classes: a page may hold several rows


class Thumbnails(widgets.VBox):
    """Buttons that show small pictures with their names.

    Args:
        chosen: called with the key of the picture that was pressed.

    Attributes:
        buttons: ``{key: button}``.
    """

    def __init__(self, chosen):
        self._chosen, self.buttons, self._rules, self._current = chosen, {}, {}, None
        self._styles = widgets.HTML(layout=widgets.Layout(display="none"))
        self._row = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__([self._styles, self._row])

    def show(self, keys, make):
        """Show pictures in this order instead of those before.

        Args:
            keys: of the pictures.
            make: returns ``(jpeg, name, tooltip)`` of a key; those that are shown already keep theirs.
        """
        for key in [key for key in self.buttons if key not in keys]:
            self.buttons.pop(key).close()
            del self._rules[key]
        for key in keys:
            if key not in self.buttons:
                self.buttons[key], self._rules[key] = self._button(key, *make(key))
        self.buttons = {key: self.buttons[key] for key in keys}
        self._styles.value = f"<style>{''.join(self._rules.values())}</style>"
        self._row.children = tuple(self.buttons.values())
        self.mark(self._current)

    def mark(self, key):
        """Show one as chosen, or none where there is no such key."""
        self._current = key
        for other, button in self.buttons.items():
            (button.add_class if other == key else button.remove_class)("nstlib-chosen")

    def _button(self, key, jpeg, name, tooltip):
        style = f"nstlib-thumbnail-{next(_NUMBERS)}"
        button = widgets.Button(description=name, tooltip=tooltip)
        button.add_class("nstlib-thumbnail")
        button.add_class(style)
        button.on_click(lambda _: self._chosen(key))
        address = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
        return button, f".{html.escape(style)}.jupyter-button {{ background-image: url({address}) }}\n"
