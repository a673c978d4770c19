"""How the panel looks: its style sheet, labels with tooltips, previews of pictures, errors in words."""

import html
import io

import ipywidgets as widgets
from PIL import Image

from ..ambient import is_out_of_memory
from ..errors import Diverged, InputError

PREVIEW = 768  # pixels of the longer side, at most, that are sent to the browser
THUMBNAIL = 144  # likewise of a thumbnail, shown at half the size so that it is sharp on fine screens too
WHOLE = "calc(100% - 4px)"  # of the width that there is, but for the margins of a widget

# Colours are those of the notebook's theme, light or dark. Readouts of SelectionSliders look editable, but a number
# typed there would be shown without being used.
CSS = """<style>
.nstlib-slider .widget-readout { pointer-events: none }
.nstlib-heading { font-weight: 600; margin: 0 }
.nstlib-quiet { opacity: .72 }
.nstlib-error { color: var(--jp-error-color1, #d32f2f) }
.nstlib-panel .widget-html-content, .nstlib-panel .jupyter-widgets.widget-html { line-height: 1.45 }
.nstlib-panel .jupyter-button:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 1px }
.nstlib-thumbnail.jupyter-button { width: 62px; height: 66px; margin: 2px; padding: 45px 1px 0; line-height: 20px;
  flex: 0 0 auto; border-radius: 6px; font-size: 10px; letter-spacing: -.3px; color: white;
  text-shadow: 0 0 3px black, 0 1px 2px black;
  background-size: cover; background-position: center; box-shadow: inset 0 -26px 18px -14px rgba(0, 0, 0, .75) }
.nstlib-thumbnail.jupyter-button:hover { filter: brightness(1.12) }
.nstlib-chosen.jupyter-button { outline: 3px solid var(--jp-brand-color1, #1976d2); outline-offset: 1px }
.nstlib-picture img, img.nstlib-picture, img.nstlib-regions { border-radius: 4px }
.nstlib-panel .jupyter-widget-Collapse-header, .nstlib-panel .p-Collapse-header { padding: 5px 8px }
.nstlib-panel .jupyter-widget-Collapse-contents, .nstlib-panel .p-Collapse-contents { padding: 6px 4px }
</style>"""

#: The keyword that gives a control its tooltip, which ipywidgets 8 renamed.
TOOLTIP = "tooltip" if hasattr(widgets.DOMWidget, "tooltip") else "description_tooltip"


def labelled(text, tooltip=""):
    """Keywords that give a control its label, its tooltip and the width common to all controls."""
    style, layout = {"description_width": "9em"}, widgets.Layout(width="22.8em", max_width=WHOLE)
    return {"description": text, TOOLTIP: tooltip or text, "style": style, "layout": layout}


def narrow(text, tooltip, width="17em", label="4.5em"):
    """Likewise for controls that stand beside each other; a ``label`` of "initial" is as wide as its text."""
    style, layout = {"description_width": label}, widgets.Layout(width=width, max_width=WHOLE)
    return {**labelled(text, tooltip), "style": style, "layout": layout}


def button(text, icon, action, tooltip="", width="auto"):
    """A button that calls ``action`` without arguments."""
    made = widgets.Button(description=text, icon=icon, tooltip=tooltip or text, layout=widgets.Layout(width=width))
    made.on_click(lambda _: action())
    return made


def row(*children, reverse=False):
    """Widgets beside each other, in further rows where the window is narrow, the last row first if ``reverse``."""
    flow, top = ("row wrap-reverse", "flex-end") if reverse else ("row wrap", "flex-start")
    return widgets.HBox(children, layout=widgets.Layout(flex_flow=flow, align_items=top))


def wide(*children):
    """A column that takes the room beside it."""
    layout = widgets.Layout(flex="1 1 24em", max_width="54em", min_width="17em", padding="0 0 0 12px")
    return widgets.VBox(children, layout=layout)


def heading(text):
    """A heading within the panel."""
    return widgets.HTML(f'<p class="nstlib-heading">{html.escape(text)}</p>')


def explain(error):
    """The message for the user about any exception."""
    if is_out_of_memory(error):
        return f"out of memory: choose a smaller size, or the optimizer Adam ({type(error).__name__})"
    if isinstance(error, (InputError, Diverged)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def code_box(code):
    """HTML that shows lines of code, to be selected with one click."""
    box = "user-select:all;white-space:pre-wrap;word-break:break-word;line-height:1.4;margin:0;padding:.5em"
    box += ";background:rgba(128,128,128,.12);border-radius:4px"
    return f'<b>The same in code</b> (one click selects it)<pre style="{box}">{html.escape(code)}</pre>'


def on_white(picture):
    """A PIL picture as RGB, transparency shown as white."""
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def jpeg(picture, longest=PREVIEW):
    """JPEG bytes of a PIL picture, shrunk to ``longest`` pixels, transparency shown as white."""
    picture = on_white(picture).copy()
    picture.thumbnail((longest, longest))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


EMPTY = jpeg(Image.new("RGB", (4, 3), (235, 235, 235)))


def close_children(box):
    """Close all widgets below: ipywidgets keeps those that are open, with everything their callbacks refer to."""
    for child in getattr(box, "children", ()):
        close_children(child)
        child.close()
