"""What is asked for: pictures, regions and settings, as the panel says now."""

from dataclasses import replace

import ipywidgets as widgets

from .. import samples
from ..errors import InputError
from .controls import as_code, make_controls, of_the_picture, read_controls, set_controls
from .drawing import code_box
from .picker import Picker
from .regions import Regions
from .speeds import Speeds
from .steering import Steering


class Desk:
    """The pictures and the controls, checked and written as code whenever something is moved.

    Args:
        content: picture to begin with.
        styles: list of :class:`~nstlib.Style` to begin with.
        protect: mask to begin with, or None.
        given: :class:`~nstlib.Settings` to begin with.
        pictured: called without arguments when another picture is chosen.
        say: called with what is wrong, or with an empty text.
        busy: tells whether something is being painted.

    Attributes:
        content, style: the :class:`~nstlib.widgets.picker.Picker`\\ s.
        controls: the widgets, by the name of the setting or of the style layer.
        regions: the :class:`~nstlib.widgets.regions.Regions`.
        steering, speeds, box: the parts of the panel; ``box`` shows the code.
        valid: the last settings that made sense.
        branch: ``(number, picture)`` of the snapshot that the last painting began with, or None.
    """

    def __init__(self, content, styles, protect, given, pictured, say, busy):
        self._given, self._say, self._busy = given, say, busy
        self.valid, self.box, self.branch = given, widgets.HTML(), None
        self.controls = make_controls(given)
        self.steering, self.speeds = Steering(self.controls, given.style_layers, self.refresh), Speeds(self.set)

        def chosen(follow):
            follow()
            pictured()
            self.refresh()

        self.content = Picker("Content", samples.CONTENTS, content, lambda: chosen(self._renew))
        self.style = Picker("Style", samples.STYLES, styles[0].picture, lambda: chosen(self.regions.restyle))
        self.regions = Regions(self.content, self.style, self.controls["protection"], self.refresh)
        self.regions.give(styles, protect)

    @property
    def settings(self):
        """The :class:`~nstlib.Settings` of the controls.

        Raises:
            InputError: a text that cannot be read, or controls that contradict each other.
        """
        return read_controls(self.controls, self._given)

    @property
    def asked(self):
        """The pictures chosen, regions and protection, for :meth:`go_back`."""
        return self.content.chosen, self.style.chosen, self.regions.state

    @property
    def start(self):
        """The settings that begin a painting with a snapshot instead of what the controls say, ``{name: value}``."""
        return {} if self.branch is None else {"init": self.branch[1], "levels": 1}

    @property
    def code(self):
        """The lines of Python, after ``import nstlib``, that paint with the pictures and settings of the panel."""
        before, style, arguments = self.regions.code
        name = "init"
        if self.branch is not None:
            name = f"snapshot_{self.branch[0]}"
            before.append(f"# {name} is the picture kept as {self.branch[0]}: save it, and give the name of its file")
        settings = replace(self.settings, **self.start)
        arguments = [self.content.code, style, *arguments, *as_code(settings, init=name)]
        return "\n".join([*before, f"nstlib.stylize({', '.join(arguments)})"])

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
            divided = bool(self.regions.rows)
            self.speeds.show(self.valid, self.content.picture.shape[:2], divided, idle=not self._busy())

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

    def go_back(self, kept):
        """Put back pictures, regions and controls that a :class:`~nstlib.widgets.snapshots.Kept` was painted with."""
        self.choose_photograph(kept)
        _choose_again(self.style, kept.asked[1])
        self.regions.put_back(kept.asked[2])
        self.set_saved(kept.snapshot.settings)

    def choose_photograph(self, kept):
        """Choose the one that a :class:`~nstlib.widgets.snapshots.Kept` was painted from."""
        _choose_again(self.content, kept.asked[0])

    def _renew(self):
        """Another photograph has other regions, and nothing to paint on from."""
        self.branch = None
        self.regions.clear()

    def undo(self):
        """Put back what was moved last."""
        if not self.steering.undo():
            self._say("nothing was moved")


def _choose_again(picker, chosen):
    """Choose a picture once more, unless it still is the one: to choose a photograph clears its regions."""
    source, name = chosen
    if picker.source is not source or picker.chosen[1] != name:
        picker.choose(source, name)
