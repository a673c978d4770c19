"""The studio: a panel of core ipywidgets in which a picture is painted while its sliders are moved.

The transfer runs in a thread of its own. Before every iteration that thread reads the sliders and takes over their
values; nothing else passes between the two, so no notebook front end is ever blocked. Core widgets only, of
ipywidgets 7.7 (Colab) and 8.
"""

import html
import io
import math
import threading
import time
from base64 import b64encode

import ipywidgets as widgets
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from . import samples
from .color import COLORS
from .errors import InputError
from .features import BACKBONES
from .images import load_image, to_pil
from .losses import STYLE_LOSSES
from .optimizers import OPTIMIZERS
from .settings import INITS, Settings, make_settings
from .transfer import StyleTransfer

#: Settings that take effect at once while a picture is painted; the others, at the next start.
LIVE = ("content_weight", "style_weight", "tv_weight", "learning_rate", "optimizer", "style_layers")
PREVIEW = 768  # pixels of the longer side, at most, that are sent to the browser
INTERVAL = 0.12  # seconds between two previews, at least
DOWNLOAD = 24 << 20  # bytes; larger pictures are only written to disk
STEP = 0.05  # of the sliders with a logarithmic scale, in powers of ten
WIDTH = "21.5em"  # of the controls


class Studio(widgets.VBox):
    """A panel for painting: choose pictures, press Start, move sliders, watch.

    Args:
        content, style: pictures to begin with; whatever :func:`~nstlib.images.load_image` takes, or names of samples.
        **options: fields of :class:`~nstlib.settings.Settings` to begin with.

    Attributes:
        transfer: the :class:`~nstlib.transfer.StyleTransfer` at work, or the last one; None before.
        picture: what is shown, a PIL image, or None.

    Only one studio of a kernel paints: a new one stops the one before it. ``close()`` ends its thread.

    Example:
        >>> studio = Studio("chelsea", "swirls", size=64, iterations=4)
        >>> studio.start()
        >>> studio.wait()
        True
        >>> studio.picture.size
        (64, 43)
        >>> studio.close()
    """

    _latest = None

    def __init__(self, content="chelsea", style="swirls", **options):
        self.transfer = None
        self._thread, self._lock = None, threading.Lock()
        self._go, self._stop = threading.Event(), threading.Event()
        self._given = options
        settings = make_settings(**{"backbone": "compact", **options})
        if Studio._latest is not None:
            Studio._latest.stop()
        Studio._latest = self
        self._message = widgets.HTML()
        self._content = _Picker("Content", samples.CONTENTS, samples.content, content, self._say)
        self._style = _Picker("Style", samples.STYLES, samples.style, style, self._say)
        self._controls = _controls(settings)
        self._layers = {
            layer: widgets.FloatSlider(weight, min=0, max=max(2, weight), step=0.05, **_described(layer))
            for layer, weight in settings.style_layers.items()
        }
        super().__init__(self._make_panel())
        self._controls["optimizer"].observe(self._suit_rate, "value")
        for control in (*self._controls.values(), *self._layers.values()):
            control.observe(self._write_code, "value")
        self._content.changed = self._style.changed = self._write_code
        self._write_code()
        self._enable(running=False)

    # What can be done, by button or by code

    def start(self):
        """Begin to paint in the background."""
        if self._thread is not None and self._thread.is_alive():
            return
        try:
            content, style = self._content.picture, self._style.picture
            settings = self._settings()
        except InputError as error:
            self._say(error)
            return
        self._say("")
        self._stop.clear()
        self._go.set()
        self._enable(running=True)
        self._thread = threading.Thread(target=self._work, args=(content, style, settings), daemon=True, name="nstlib")
        self._thread.start()

    def pause(self):
        """Hold the painting, or let it go on."""
        if self._go.is_set():
            self._go.clear()
            self._pause.description = "Resume"
        else:
            self._go.set()
            self._pause.description = "Pause"

    def stop(self):
        """End the painting; the picture so far stays. Returns once the thread is gone."""
        self._stop.set()
        self._go.set()
        self.wait()

    def wait(self, timeout=None):
        """Wait for the end of the painting, at most ``timeout`` seconds; returns whether it has come."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
            return not self._thread.is_alive()
        return True

    def save(self):
        """Write the picture so far to the file named in the panel, and offer it for download."""
        if self.transfer is None:
            self._say("there is no picture yet: press Start first")
            return
        path = self._file.value.strip()
        try:
            with self._lock:
                self.transfer.save(path)
        except (InputError, OSError) as error:
            self._say(error)
            return
        with open(path, "rb") as file:
            data = file.read(DOWNLOAD + 1)
        link = ""
        if len(data) <= DOWNLOAD:
            name = html.escape(path.replace("\\", "/").rpartition("/")[2], quote=True)
            link = f' · <a download="{name}" href="data:application/octet-stream;base64,{b64encode(data).decode()}">'
            link += "download</a>"
        self._say(f"saved as <b>{html.escape(path)}</b>{link}", error=False)

    def close(self):
        """Stop, end the thread, and remove the panel."""
        self.stop()
        super().close()

    @property
    def picture(self):
        """What is shown, a PIL image, or None."""
        if self.transfer is None:
            return None
        with self._lock:
            return self.transfer.picture

    @property
    def code(self):
        """The line of Python that paints with the settings of the panel."""
        settings, defaults = vars(self._settings()), vars(Settings())
        changed = [f"{name}={value!r}" for name, value in settings.items() if value != defaults[name]]
        arguments = [self._content.code, self._style.code, *changed]
        return f"nstlib.stylize({', '.join(arguments)})"

    # The thread

    def _work(self, content, style, settings):
        try:
            self.transfer = transfer = StyleTransfer(content, style, **vars(settings))
            report = _Report(self, transfer)
            while not self._stop.is_set():
                for name, value in self._values(LIVE).items():
                    setattr(transfer.settings, name, value)
                with self._lock:
                    step = next(transfer, None)
                if step is None:
                    break
                report(step)
                if not self._go.is_set():
                    report(step, at_once=True)
                    self._status.value = "paused · " + self._status.value
                    report.rest(self._go.wait)
            report.finish()
        except Exception as error:  # whatever it is, it belongs in front of the user, not in a lost thread's log
            self._say(error if isinstance(error, (InputError, RuntimeError)) else f"{type(error).__name__}: {error}")
        finally:
            self._enable(running=False)

    # The panel

    def _make_panel(self):
        row = {"flex_flow": "row wrap", "align_items": "flex-start"}
        self._start = _button("Start", "play", self.start, "primary")
        self._pause = _button("Pause", "pause", self.pause)
        self._end = _button("Stop", "stop", self.stop)
        self._save = _button("Save", "download", self.save)
        self._file = widgets.Text("stylized.png", layout=widgets.Layout(width="9.5em"))
        self._bar = widgets.FloatProgress(0, min=0, max=1, layout=widgets.Layout(width="100%"))
        self._status = widgets.HTML("ready")
        self._view = widgets.Image(format="jpeg", value=_EMPTY, layout=widgets.Layout(width="100%", height="auto"))
        self._view.add_class("nstlib-picture")
        self._curves = widgets.Image(format="png", value=_plot([]), layout=widgets.Layout(width="100%", height="auto"))
        self._code = widgets.HTML()
        layers = widgets.Accordion([widgets.VBox(list(self._layers.values()))], selected_index=None)
        layers.set_title(0, "Weight of each style layer")
        live = [self._controls[name] for name in LIVE if name in self._controls]
        others = [control for name, control in self._controls.items() if name not in LIVE]
        controls = widgets.VBox(
            [
                widgets.HTML("<b>At once, also while it paints</b>"), *live, layers,
                widgets.HTML("<b>From the next start</b>"), *others,
            ],
            layout=widgets.Layout(width="auto", max_width="100%"),
        )  # fmt: skip
        buttons = widgets.HBox([self._start, self._pause, self._end, self._save, self._file], layout=row)
        view = widgets.VBox(
            [buttons, self._bar, self._status, self._message, self._view, self._curves],
            layout=widgets.Layout(flex="1 1 20em", max_width="46em", min_width="16em", padding="0 0 0 1em"),
        )
        pickers = widgets.HBox([self._content, self._style], layout=row)
        middle = widgets.HBox([controls, view], layout=row)
        return [pickers, middle, self._code]

    def _values(self, names):
        values = {name: self._controls[name].value for name in names if name in self._controls}
        # Three digits are as fine as a slider can be moved, and read well in the line of code.
        values = {name: float(f"{v:.3g}") if isinstance(v, float) else v for name, v in values.items()}
        if "style_layers" in names:
            weights = {layer: slider.value for layer, slider in self._layers.items()}
            # All of them at 0 would leave no style to follow: the last sensible ones stay.
            values["style_layers"] = self._weights = weights if any(weights.values()) else self._weights
        default = _default_rate(self._controls["optimizer"].value)
        if "learning_rate" in names and abs(math.log10(values["learning_rate"] / default)) < STEP:
            values["learning_rate"] = None
        return values

    def _settings(self):
        return make_settings(**{**self._given, **self._values((*self._controls, "style_layers"))})

    def _suit_rate(self, change):
        self._controls["learning_rate"].value = _default_rate(change["new"])

    def _write_code(self, _=None):
        box = "user-select:all;white-space:pre-wrap;word-break:break-word;line-height:1.4;margin:0;padding:.5em"
        code = f"import nstlib\n{self.code}"
        self._code.value = (
            f'<b>The same in code</b> (one click selects it)<pre style="{box};background:rgba(128,128,128,.12)">'
            f"{html.escape(code)}</pre>"
        )

    def _say(self, message, error=True):
        text = html.escape(f"{message}") if error else message
        self._message.value = f'<span style="color:#c62828">{text}</span>' if error and text else text

    def _enable(self, running):
        self._start.disabled = running
        self._pause.disabled = self._end.disabled = not running
        self._pause.description = "Pause"


class _Report:
    """Brings what a transfer does into the panel, not more often than it can be looked at."""

    def __init__(self, studio, transfer):
        self.studio, self.transfer = studio, transfer
        self.history = []
        self.began = time.monotonic()
        self.next_preview = self.next_plot = 0.0
        self.step = None

    def __call__(self, step, at_once=False):
        self.step = step
        now = time.monotonic()
        if now < self.next_preview and not at_once:
            return
        studio, transfer = self.studio, self.transfer
        if not self.history or self.history[-1][0] != step.iteration:
            self.history.append((step.iteration, step.losses))
        share = transfer.work_done / transfer.work
        studio._bar.value = share
        left = (now - self.began) * (1 - share) / share
        height, width = step.size
        studio._status.value = (
            f"iteration {step.iteration} of {len(transfer)} · {width} × {height} · loss "
            f"{self.history[-1][1]['total']:.4g} · {left:.0f} s left"
        )
        studio._view.value = _jpeg(step.image)
        shown = time.monotonic()
        # Large pictures take long to show: three quarters of the time are for painting.
        self.next_preview = shown + max(INTERVAL, 3 * (shown - now))
        if at_once or shown > self.next_plot:
            studio._curves.value = _plot(self.history)
            self.next_plot = time.monotonic() + max(1, 9 * (time.monotonic() - shown))

    def rest(self, wait):
        """A pause: time that does not count."""
        paused = time.monotonic()
        wait()
        self.began += time.monotonic() - paused

    def finish(self):
        if self.step is None:
            return
        self(self.step, at_once=True)
        done = "done" if self.transfer.work_done == self.transfer.work else "stopped"
        self.studio._status.value = (
            f"{done} after {self.step.iteration} iterations, {time.monotonic() - self.began:.0f} s · "
            f"{self.step.size[1]} × {self.step.size[0]} · loss {self.history[-1][1]['total']:.4g}"
        )


class _Picker(widgets.VBox):
    """Chooses a picture: a sample, a path or URL, or an upload. Shows it small."""

    def __init__(self, title, names, make_sample, first, say):
        self._title, self._names, self._make_sample, self._say = title, names, make_sample, say
        self._tensor = None
        #: The expression that names the picture in Python.
        self.code = title.lower()
        #: Called without arguments when another picture was chosen.
        self.changed = lambda: None
        self._sample = widgets.Dropdown(
            options=[("choose a sample ...", ""), *((n, n) for n in names)], **_described("sample")
        )
        self._path = widgets.Text(placeholder="URL or path, then Enter", continuous_update=False, **_described("file"))
        self._small = widgets.Image(
            format="jpeg", value=_EMPTY, layout=widgets.Layout(width="auto", height="8.5em", margin="2px")
        )
        self._slot = widgets.VBox()
        fields = widgets.VBox([widgets.HTML(f"<b>{title}</b>"), self._sample, self._path, self._slot])
        super().__init__(
            [widgets.HBox([fields, self._small], layout=widgets.Layout(flex_flow="row wrap"))],
            layout=widgets.Layout(margin="0 1em 0.5em 0"),
        )
        self._sample.observe(lambda change: change["new"] and self._take(change["new"]), "value")
        self._path.observe(lambda change: change["new"].strip() and self._take(change["new"].strip()), "value")
        self._new_upload()
        self._take(first)

    @property
    def picture(self):
        """The picture chosen, a tensor."""
        if self._tensor is None:
            raise InputError("choose a content and a style picture first")
        return self._tensor

    def _take(self, source, name=None):
        """Load and show a picture; one that cannot be read leaves the old one in place."""
        sample = isinstance(source, str) and source in self._names
        try:
            tensor = load_image(self._make_sample(source) if sample else source)
        except (InputError, TypeError) as error:
            self._say(str(error).replace("the bytes given", str(name)))
            return
        self._tensor = tensor
        self._sample.value = source if sample else ""
        self._small.value = _jpeg(to_pil(tensor), 256)
        self._say("")
        if sample:
            self.code = f"nstlib.samples.{self._make_sample.__name__}({source!r})"
        else:
            self.code = repr(name or source) if isinstance(name or source, str) else self._title.lower()
        self.changed()

    def _new_upload(self):
        """A fresh button: the one used may store the uploaded bytes in the notebook."""
        old = self._slot.children
        upload = widgets.FileUpload(accept="image/*", multiple=False, description="Upload")
        upload.observe(self._uploaded, "value")
        self._slot.children = (upload,)
        for widget in old:
            widget.close()

    def _uploaded(self, change):
        value = change["new"]
        if not value:
            return
        # ipywidgets 7 has {name: {"content": bytes}}, 8 a tuple of {"name", "content": memoryview}.
        (name, file), *_ = value.items() if isinstance(value, dict) else [(item["name"], item) for item in value]
        self._take(bytes(file["content"]), name)
        self._new_upload()


def _controls(s):
    """The widgets of single settings, by the setting's name."""
    options = {
        "optimizer": OPTIMIZERS,
        "style_loss": STYLE_LOSSES,
        "backbone": BACKBONES,
        "init": INITS,
        "color": COLORS,
    }

    def log(value, low, high, name):
        return widgets.FloatLogSlider(
            value=value,
            base=10,
            min=low,
            max=high,
            step=STEP,
            readout_format=".3g",
            continuous_update=True,
            **_described(name),
        )

    def choice(name):
        return widgets.Dropdown(
            options=list(options[name]), value=getattr(s, name), **_described(name.replace("_", " "))
        )

    size = s.size or 512
    controls = {
        "content_weight": log(s.content_weight, -2, 2, "content α"),
        "style_weight": log(s.style_weight, -1, 4, "style β"),
        "tv_weight": log(s.tv_weight, -2, 3, "smooth γ"),
        "optimizer": choice("optimizer"),
        "learning_rate": log(s.learning_rate or _default_rate(s.optimizer), -5, 1, "learning rate"),
        "size": widgets.IntSlider(size, min=min(64, size), max=max(4096, size), step=64, **_described("size")),
        "iterations": widgets.IntSlider(s.iterations, min=1, max=max(1000, s.iterations), **_described("iterations")),
        "style_scale": widgets.FloatSlider(s.style_scale, min=0.25, max=3, step=0.05, **_described("style scale")),
        "style_loss": choice("style_loss"),
        "color": choice("color"),
        "color_strength": widgets.FloatSlider(s.color_strength, min=0, max=1, step=0.05, **_described("keep colour")),
        "backbone": choice("backbone"),
    }
    if isinstance(s.init, str) and s.init in INITS:  # a picture given in code stays what it is
        controls["init"] = choice("init")
    return controls


def _described(text):
    return {"description": text, "style": {"description_width": "6.5em"}, "layout": widgets.Layout(width=WIDTH)}


def _button(text, icon, action, style=""):
    button = widgets.Button(description=text, icon=icon, button_style=style, layout=widgets.Layout(width="6.5em"))
    button.on_click(lambda _: action())
    return button


def _default_rate(optimizer):
    return OPTIMIZERS[optimizer][1]


def _jpeg(picture, longest=PREVIEW):
    picture = picture.convert("RGB")
    picture.thumbnail((longest, longest))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


_EMPTY = _jpeg(Image.new("RGB", (4, 3), (235, 235, 235)))


def _plot(history):
    """Loss curves as PNG bytes. Without pyplot, whose global state is no place for a thread."""
    figure = Figure(figsize=(6.4, 2.4), dpi=100, layout="constrained")
    axes = figure.subplots()
    iterations = [iteration for iteration, _ in history]
    for name, label in (("total", "total"), ("style", "style"), ("content", "content"), ("image", "smooth")):
        axes.plot(iterations, [losses[name] for _, losses in history], label=label, lw=2 if name == "total" else 1.2)
    axes.set(xlabel="iteration", ylabel="loss", yscale="log" if history else "linear")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", fontsize="small", ncols=4, frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
