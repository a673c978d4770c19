"""The studio as its users meet it: the quickstart notebook in JupyterLab and Notebook 7, in a real browser.

Needs Debian's chromium (or any other, named in CHROMIUM). Screenshots are kept in the folder NSTLIB_SCREENSHOTS,
or in pytest's temporary folder.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from test_notebooks import SHORT, replaced

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = os.environ.get("NSTLIB_SCREENSHOTS") and Path(os.environ["NSTLIB_SCREENSHOTS"])
#: Where an application opens a notebook, by its module.
PLACES = {"jupyterlab": "lab/tree", "notebook": "notebooks"}
#: A cell that says how many panels are open, and which was made last.
OPEN = """\
import gc

panels = [one for one in gc.get_objects() if type(one) is Studio and one.comm is not None]
print(len(panels), "open,", studio.model_id)"""
#: Of elements of a page, the text of those whose colour is less than three times as light, or as dark, as their ground.
ILLEGIBLE = """elements => elements.filter(element => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map(value => (value / 255) ** 2.2)
        .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0.05);
    let ground = element;
    const isClear = one => (numbers(getComputedStyle(one).backgroundColor)[3] ?? 1) < 0.5;
    while (isClear(ground) && ground.parentElement) ground = ground.parentElement;
    const back = numbers(getComputedStyle(ground).backgroundColor);
    const [r, g, b, alpha = 1] = numbers(getComputedStyle(element).color);
    const pair = [[r, g, b].map((value, i) => alpha * value + (1 - alpha) * back[i]), back].map(luminance);
    return element.innerText.trim() && Math.max(...pair) / Math.min(...pair) < 3;
}).map(element => element.innerText)"""
WAIT = 120_000  # milliseconds: beside other tests, kernel and browser together may get less than a core

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine"),
    pytest.mark.filterwarnings("ignore"),  # of the browser's driver
]


@pytest.fixture
def address(request, tmp_path):
    """Where an application shows the quickstart notebook; the parameter is its module."""
    notebook = nbformat.read(ROOT / "notebooks" / "00_quickstart.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(OPEN))
    nbformat.write(replaced(notebook, SHORT["00_quickstart"]), tmp_path / "00_quickstart.ipynb")
    for name, text in {
        "notebook-extension/tracker": '{"windowingMode": "none"}',  # cells out of sight are rendered too
        "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    }.items():
        file = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    command = [sys.executable, "-m", request.param, "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    command += ["--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={tmp_path}"]
    log = tmp_path / "server.log"
    with (
        open(log, "w") as writer,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server,
    ):
        try:
            root = None
            for line in server.stderr:
                writer.write(line)
                found = re.search(r"http://127\.0\.0\.1:\d+/", line)
                if found:
                    root = found[0]
                    break
            assert root, log.read_text()
            # Nobody reads on: the pipe must not fill up.
            drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)
            yield f"{root}{PLACES[request.param]}/00_quickstart.ipynb"
        finally:
            server.terminate()
            server.wait(30)
            drain.wait(30)


@pytest.fixture
def page(address):
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page(viewport={"width": 1500, "height": 1400})
        page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        page.goto(address)
        try:
            yield page
        finally:
            page.screenshot(path=PICTURES / "last.png") if PICTURES else None
            browser.close()


class Panel:
    """The studio of the quickstart notebook on a page, all of whose cells are run."""

    def __init__(self, page):
        self.page = page
        expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
        expect(page.get_by_text("Python 3 (ipykernel)").first).to_be_visible()  # idle is said before, too
        expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        self.start, self.painting = self.button("Start"), page.locator("img.nstlib-picture")
        self.start.scroll_into_view_if_needed()

    def button(self, name):
        return self.page.locator("button.jupyter-button").filter(has_text=name)

    def control(self, name):
        label = self.page.locator(".widget-label, .widget-label-basic")
        label = label.filter(has_text=re.compile(rf"^\s*(● )?{re.escape(name)}\s*$"))
        return self.page.locator(".widget-inline-hbox").filter(has=label)

    def number(self, name, value):
        readout = self.control(name).locator(".widget-readout")
        readout.click()
        readout.fill(str(value))
        readout.press("Enter")

    def slide(self, name, key, until):
        handle = self.control(name).locator(".noUi-handle")
        handle.focus()
        for _ in range(100):
            if self.control(name).locator(".widget-readout").inner_text() == until:
                return
            handle.press(key)
        raise AssertionError(f"{name} cannot be moved to {until}")

    def enter(self, path):
        field = self.page.get_by_placeholder("path, folder or address").first
        field.fill(str(path))
        field.press("Enter")

    def status(self, pattern):
        line = self.page.locator(".jupyter-widgets.widget-html").filter(has_text=re.compile(pattern)).first
        expect(line).to_be_visible()
        return line

    def loss(self):
        return float(re.search(r"loss ([\d.e+-]+)", self.status(r"loss [\d.]+").inner_text())[1])

    def run_again(self, code):
        """Run the cell with this code once more."""
        self.page.locator(".jp-CodeCell").filter(has_text=code).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")

    def changes(self, before):
        """Wait for another picture than that of the address ``before``."""
        self.page.wait_for_function("old => document.querySelector('img.nstlib-picture').src != old", arg=before)

    def paint(self):
        """Start a long painting, and see the picture change."""
        self.page.get_by_text("Optimization", exact=True).click()
        self.number("iterations", 1000)
        self.start.click()
        self.status(r"iteration \d+ of 1000")
        self.changes(self.painting.get_attribute("src"))
        self.status(r"iteration \d\d+ of")

    def choose_theme(self, name):
        self.page.get_by_role("menuitem", name="Settings", exact=True).click()
        self.page.locator(".lm-Menu").get_by_text("Theme", exact=True).hover()
        self.page.locator(".lm-Menu").get_by_text(name, exact=True).click()
        expect(self.page.locator(f"body[data-jp-theme-name='{name}']")).to_be_attached()

    def is_legible(self):
        kinds = ".widget-label, .widget-html-content, .jupyter-widget-Collapse-header, .jupyter-button, select, input"
        texts = self.page.locator(f".nstlib-panel :is({kinds}):not(.nstlib-thumbnail)")
        assert texts.count() > 40
        assert texts.evaluate_all(ILLEGIBLE) == []

    def fits(self):
        """Nothing is wider than the window, nothing is stretched or clipped."""
        box = self.painting.bounding_box()
        natural = self.painting.evaluate("image => image.naturalWidth / image.naturalHeight")
        assert box["width"] / box["height"] == pytest.approx(natural, rel=0.02)
        clipped = self.page.locator(".jupyter-widgets .widget-label").evaluate_all(
            "labels => labels.filter(l => l.scrollWidth > l.clientWidth + 1).map(l => l.innerText)"
        )
        assert clipped == []
        fields = self.page.locator(".nstlib-panel").last.locator("input:visible, select:visible, button:visible")
        unnamed = fields.evaluate_all(
            "fields => fields.filter(f => !f.innerText.trim() && ![...f.labels].some(l => l.innerText.trim()))"
            ".map(f => f.outerHTML)"
        )
        assert fields.count() > 20
        assert unnamed == []
        output = self.page.locator(".jp-OutputArea-output").filter(has=self.start).first
        assert output.evaluate("e => e.scrollWidth - e.clientWidth") <= 1


@pytest.mark.parametrize("address", ["jupyterlab"], indirect=True)
def test_studio(page, tmp_path):
    pictures, panel = PICTURES or tmp_path, Panel(page)
    page.get_by_text("Size and network", exact=True).click()
    panel.slide("size", "Home", "original")
    panel.slide("size", "ArrowRight", "128")
    panel.paint()

    # Beta moves while it runs, and the loss follows.
    before = panel.loss()
    handle = panel.control("style β").locator(".noUi-handle")
    handle.focus()
    handle.press("End")
    page.wait_for_function(
        "goal => [...document.querySelectorAll('.widget-html')].some("
        "e => { const m = e.innerText.match(/of 1000 .* loss ([\\d.e+-]+)/); return m && Number(m[1]) > goal; })",
        arg=3 * before,
    )
    page.screenshot(path=pictures / "studio_painting.png")

    # A control moved is undone, a group is reset.
    panel.button("Undo").click()
    expect(panel.control("style β").locator(".widget-readout")).to_have_text("20")
    handle.press("End")
    panel.button("Reset").first.click()
    expect(panel.control("style β").locator(".widget-readout")).to_have_text("20")

    panel.button("Pause").click()
    held = panel.status("^paused").inner_text()
    panel.control("optimizer").locator("select").select_option("Adam")
    expect(page.locator("pre").filter(has_text="optimizer='Adam'")).to_be_visible()
    assert panel.status("^paused").inner_text() == held
    panel.button("Resume").click()
    panel.status(r"^iteration \d+ of 1000")
    panel.button("Stop").click()
    panel.status("stopped after")

    # What was stopped is kept; the photograph is wiped over it.
    expect(page.locator(".nstlib-thumbnail").filter(has_text=re.compile("^1$"))).to_be_visible()
    shown = panel.painting.get_attribute("src")
    panel.button("wipe").click()
    panel.changes(shown)
    page.screenshot(path=pictures / "studio_wipe.png")
    panel.button("100 %").click()
    picture = "document.querySelector('img.nstlib-picture')"
    page.wait_for_function(f"() => {picture}.width == {picture}.naturalWidth")
    panel.button("painting").click()

    panel.button("Save").click()
    panel.status("saved as")
    saved = tmp_path / "results" / "stylized.png"
    assert saved.stat().st_size > 1000
    with page.expect_download() as download:
        page.get_by_role("link", name="download").click()
    assert download.value.suggested_filename == "stylized.png"

    broken = tmp_path / "broken.png"
    broken.write_bytes(b"<html>not found</html>")
    with page.expect_file_chooser() as chooser:
        panel.button("Upload").first.click()
    chooser.value.set_files(broken)
    panel.status("broken.png.*not a picture")

    # A path acts each time it is entered; the field is free for the next.
    late = tmp_path / "late.png"
    panel.enter(late)
    panel.status("no such file.*late.png")
    expect(page.get_by_placeholder("path, folder or address").first).to_have_value("")
    shutil.copy(saved, late)
    panel.enter(late)
    expect(page.locator("pre").filter(has_text="late.png")).to_be_visible()
    expect(page.locator(".jupyter-widgets.widget-html").filter(has_text="no such file")).to_have_count(0)
    panel.slide("smooth γ", "ArrowLeft", "0")
    expect(page.locator("pre").filter(has_text="tv_weight=0.0,")).to_be_visible()
    panel.slide("size", "Home", "original")
    expect(page.locator("pre").filter(has_text="size=None")).to_be_visible()
    panel.slide("size", "ArrowRight", "64")

    # The other settings are read as text; one that cannot be read is an error in the panel.
    page.get_by_text("Everything else").click()
    seed = panel.control("seed").locator("input")
    seed.fill("many")
    seed.press("Enter")
    panel.status("seed: expected a whole number")
    seed.fill("7")
    seed.press("Enter")
    expect(page.locator("pre").filter(has_text="seed=7")).to_be_visible()

    # Regions are found, and nothing of their rows, nor of what chooses pictures, is cut off.
    regions = page.locator(".nstlib-panel .widget-accordion").filter(has_text="Regions: a style for each part").first
    regions.get_by_text("Regions: a style for each part").click()
    panel.number("number", 2)
    panel.button("Find").click()
    panel.status("2 regions, painted from the next start")
    expect(panel.control("brush")).to_have_count(2)
    for width in (1500, 800):
        page.set_viewport_size({"width": width, "height": 1400})
        pickers = page.locator(".nstlib-panel > .widget-hbox").first
        overflowing = (
            pickers.or_(regions)
            .locator(".widget-box, .widget-inline-hbox")
            .evaluate_all("boxes => boxes.filter(b => b.scrollWidth > b.clientWidth).map(b => b.innerText)")
        )
        assert overflowing == []
        page.screenshot(path=pictures / f"studio_regions_{width}.png")
    panel.choose_theme("JupyterLab Dark")
    panel.is_legible()
    page.screenshot(path=pictures / "studio_dark.png")

    for width in (1500, 800):
        page.set_viewport_size({"width": width, "height": 1400})
        panel.control("compile").scroll_into_view_if_needed()
        page.screenshot(path=pictures / f"studio_more_{width}.png")
        panel.start.scroll_into_view_if_needed()
        panel.painting.scroll_into_view_if_needed()
        page.screenshot(path=pictures / f"studio_{width}.png")
        panel.fits()


@pytest.mark.parametrize("address", ["notebook"], indirect=True)
def test_studio_in_notebook_7(page, tmp_path):
    panel = Panel(page)
    panel.paint()
    for width in (1500, 800):
        page.set_viewport_size({"width": width, "height": 1400})
        panel.painting.scroll_into_view_if_needed()
        page.screenshot(path=(PICTURES or tmp_path) / f"notebook_{width}.png")
        panel.fits()
    panel.button("Stop").click()
    panel.status("stopped after")

    # Made again by the same cell, the studio takes the place of the one before.
    said = page.locator(".jp-OutputArea-output").filter(has_text=re.compile(r"^\d+ open, \w+"))
    before = said.inner_text()
    panel.run_again("studio = Studio(")
    panel.run_again("gc.get_objects()")
    expect(said).not_to_have_text(before)
    assert said.inner_text().startswith("1 open")
