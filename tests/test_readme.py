"""The snippets of the documentation run, and its links lead somewhere."""

import re
import shlex

import pytest
from conftest import ROOT, make_picture
from PIL import Image

import nstlib
from nstlib.arguments import make_parser

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_snippet(code, tmp_path, monkeypatch):
    for name in ("photo.jpg", "painting.jpg"):
        Image.fromarray(make_picture(64, 64)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nstlib.transfer.presets.PRESETS", {"default": {"iterations": 3, "backbone": "compact"}})
    exec(re.sub(r"size=\d+", "size=64", code), {})
    assert (tmp_path / "result.png").exists() or "Studio" in code


def test_page_for_code_of_ones_own():
    page = (ROOT / "docs" / "library.md").read_text()
    snippets, names = re.findall(r"```python\n(.*?)```", page, re.DOTALL), {}
    for snippet in snippets:  # each goes on from the one before
        exec(snippet, names)
    assert len(snippets) == 5
    assert {"content", "style", "tv", "darker", "total"} == set(names["step"].losses)
    assert names["painted"].mean() < 0.8 * names["photograph"].mean()


def test_command_lines_parse():
    lines = re.findall(r"python -m nstlib ([^\n#]*[^\n# ])", README)
    assert len(lines) >= 4
    for line in lines:
        if "--help" not in line:
            make_parser().parse_args(shlex.split(line))


def test_table_of_notebooks_is_complete():
    assert set(re.findall(r"\(notebooks/(.*?)\)", README)) == NOTEBOOKS
    assert set(re.findall(rf"\]: https://colab.*/blob/v{nstlib.__version__}/notebooks/(.*)", README)) == NOTEBOOKS
    assert len(README.splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert not {link for link in links if not (page.parent / link).exists()}
