"""What is installed from a wheel, far from the clone, is the whole library."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


def files(package):
    return {
        path.relative_to(package).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package as pip installs it. Built from a copy, as building leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    copytree(ROOT / "nstlib", folder / "clone" / "nstlib", ignore=ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        (folder / "clone" / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--no-compile", "--target", str(folder / "site"), str(folder / "clone")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "site"


def outside(installed, folder, *command):
    """Run a command of Python far from the clone."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_is_in_it(installed):
    assert files(installed / "nstlib") == files(ROOT / "nstlib")


def test_every_module_can_be_imported(installed, tmp_path):
    code = """
import importlib, pkgutil, nstlib
names = ["nstlib", *(m.name for m in pkgutil.walk_packages(nstlib.__path__, "nstlib."))]
print(*sorted({importlib.import_module(name).__file__ for name in names}), sep="\\n")
"""
    found = {Path(line) for line in outside(installed, tmp_path, "-c", code).split("\n") if line}
    assert found == set(installed.glob("nstlib/**/*.py"))


def test_the_console_command_paints(installed, tmp_path):
    script = next(path for path in installed.glob("*/nstlib*") if path.stem == "nstlib" and path.is_file())
    options = ["--size", "48", "--iterations", "2", "--backbone", "compact", "--upscale", "2", "--quiet"]
    assert outside(installed, tmp_path, str(script), "sample:chelsea", "sample:swirls", *options) == "stylized.png\n"
    with Image.open(tmp_path / "stylized.png") as picture:
        assert picture.size == (96, 64)
