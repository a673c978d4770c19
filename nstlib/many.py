"""Many pictures at one command: which they are, what they are called once painted, and which of them are done."""

import glob
import hashlib
import os
from pathlib import Path

from .errors import InputError
from .files import shortened
from .pictures.decoding import opened
from .pictures.encoding import SUFFIXES, read_recipe
from .pictures.sources import find_pictures, local_path, open_source
from .transfer.presets import make_settings
from .transfer.settings import FIELDS


def find_contents(content):
    """Paths of the pictures that a folder, or a pattern such as ``photos/*.jpg``, stands for; None for one picture.

    Raises:
        InputError: a folder without pictures, or a pattern that nothing matches.
    """
    path = local_path(content)
    if path is None:
        return None
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        return find_pictures([path])
    if os.path.lexists(path) or not glob.has_magic(path):
        return None
    found = [Path(name) for name in sorted(glob.glob(path, recursive=True)) if os.path.isfile(name)]
    if not found:
        raise InputError(f"no picture matches {shortened(content)}")
    return found


def name_outputs(contents, folder):
    """``{path: path of its painting}``, names kept. ``.png`` is added to formats that can only be read.

    Raises:
        InputError: the paintings would replace the pictures, or two pictures have one name.
    """
    outputs = {path: Path(folder, _writable(path.name)) for path in contents}
    taken = {}
    for path, output in outputs.items():
        if os.path.realpath(output) in map(os.path.realpath, contents):
            raise InputError(f"writing {output} would destroy a photograph: choose another folder with --output")
        other = taken.setdefault(str(output).lower(), path)  # many file systems do not tell A from a
        if other != path:
            raise InputError(f"{other} and {path} would both become {output}: rename one of them")
    return outputs


def share_of_process(items):
    """Of a sequence, every n-th item: those of this process among the n that torchrun started; else all."""
    return items[int(os.environ.get("RANK", 0)) :: int(os.environ.get("WORLD_SIZE", 1))]


def recipe_of(inputs, preset="default", upscale=1, **options):
    """Text that tells paintings made from other pictures, or with other settings, apart.

    Where and how fast they are made (device, memory) is no part of it.

    Args:
        inputs: pictures and other files, or None, in an order that matters.
        preset, **options: as for :class:`~nstlib.StyleTransfer`.
    """
    settings = make_settings(preset, **options).as_dict()
    painted = {name: value for name, value in settings.items() if not _is_machine(name)}
    digest = hashlib.sha256(repr((sorted(painted.items()), upscale)).encode())
    for source in inputs:
        path = local_path(source) if isinstance(source, (str, os.PathLike)) else None
        path = None if path is None else os.path.expanduser(path)
        known = path is not None and os.path.isfile(path)
        digest.update(hashlib.sha256(Path(path).read_bytes() if known else str(source).encode()).digest())
    return digest.hexdigest()[:32]


def is_done(output, recipe):
    """Whether ``output`` is a painting made by this recipe."""
    try:
        with open_source(output) as file, opened(file, shortened(output)) as picture:
            return read_recipe(picture) == recipe
    except InputError:  # no such file, or something else
        return False


def _is_machine(name):
    metadata = FIELDS[name].metadata
    return metadata["group"] == "machine" and name != "precision"


def _writable(name):
    return name if Path(name).suffix.lower() in SUFFIXES else f"{name}.png"
