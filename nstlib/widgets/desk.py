"""What is asked for: two pictures and the settings, as the panel says now."""

import ipywidgets as widgets

from .. import samples
from ..errors import InputError
from .controls import as_code, make_controls, of_the_picture, read_controls, set_controls
from .drawing import code_box
from .picker import Picker
from .speeds import Speeds
from .steering import Steering


class Desk:
    """The pictures and the controls, checked and written as code whenever something is moved.

    Args:
        content, style: pictures to begin with.
        given: :class:`~nstlib.Settings` to begin with.
        pictured: called without arguments when another picture is chosen.
        say: called with what is wrong, or with an empty text.
        busy: tells whether something is being painted.

    Attributes:
        content, style: the :class:`~nstlib.widgets.picker.Picker`\\ s.
        controls: the widgets, by the name of the setting or of the style layer.
        steering, speeds, box: the parts of the panel; ``box`` shows the code.
        valid: the last settings that made sense.
    """

    def __init__(self, content, style, given, pictured, say, busy):
        self._given, self._say, self._busy = given, say, busy
        self.valid, self.box = given, widgets.HTML()
        self.controls = make_controls(given)
        self.steering, self.speeds = Steering(self.controls, given.style_layers, self.refresh), Speeds(self.set)

        def chosen():
            pictured()
            self.refresh()

        self.content = Picker("Content", samples.CONTENTS, content, chosen)
        self.style = Picker("Style", samples.STYLES, style, chosen)

    @property
    def settings(self):
        """The :class:`~nstlib.Settings` of the controls.

        Raises:
            InputError: a text that cannot be read, or controls that contradict each other.
        """
        return read_controls(self.controls, self._given)

    @property
    def code(self):
        """The line of Python that paints with the pictures and settings of the panel."""
        return f"nstlib.stylize({', '.join([self.content.code, self.style.code, *as_code(self.settings)])})"

    def refresh(self):
        """Check what the panel says now and show it as code, or what is wrong; a running painting keeps the last."""
        try:
            self.valid = self.settings
        except InputError as error:
            self._say(error)
            return
        self._say(self.content.error or self.style.error or "")
        self.box.value = code_box(f"import nstlib\n{self.code}")
        if not self.content.error:
            self.speeds.show(self.valid, self.content.picture.shape[:2], idle=not self._busy())

    def set(self, values):
        """Move several controls at once, as one move to be undone, to settings by name."""
        try:
            with self.steering.together():
                set_controls(self.controls, values)
        except InputError as error:
            self._say(error)

    def set_saved(self, saved):
        """Move the controls to the settings that a picture was saved with."""
        self.set(of_the_picture(saved))

    def undo(self):
        """Put back what was moved last."""
        if not self.steering.undo():
            self._say("nothing was moved")
