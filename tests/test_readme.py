"""The README's snippets run."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import make_picture
from PIL import Image

from nstlib.arguments import make_parser

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_snippet(code, tmp_path, monkeypatch):
    for name in ("photo.jpg", "painting.jpg"):
        Image.fromarray(make_picture(64, 64)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nstlib.transfer.settings.PRESETS", {"default": {"iterations": 3, "backbone": "compact"}})
    exec(re.sub(r"size=\d+", "size=64", code), {})
    assert (tmp_path / "result.png").exists() or "Studio" in code


def test_command_lines_parse():
    lines = re.findall(r"python -m nstlib ([^\n#]*[^\n# ])", README)
    assert len(lines) >= 4
    for line in lines:
        if "--help" not in line:
            make_parser().parse_args(shlex.split(line))


def test_table_of_notebooks_is_complete():
    notebooks = {path.name for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb")}
    assert set(re.findall(r"\(notebooks/(.*?)\)", README)) == notebooks
