"""Files that are written completely or not at all, to destinations checked before the work begins."""

import contextlib
import os
import uuid
from pathlib import Path

from .errors import InputError


def check_destination(path, write=True):
    """Check that a file can be written to ``path``; nothing is left behind.

    Args:
        path: of a file that need not exist.
        write: try it; not where another process does at the same time.

    Returns:
        :class:`pathlib.Path`: ``~`` expanded, links followed.

    Raises:
        InputError: it is a folder, its own folder is missing or read-only, or the file system refuses the name.
    """
    given = path
    try:
        path = Path(os.path.realpath(Path(path).expanduser()))
        if path.is_dir():
            raise InputError(f"cannot write {shortened(given)}: it is a folder; name a file in it")
        if not path.parent.is_dir():
            raise InputError(f"cannot write {shortened(given)}: the folder {shortened(path.parent)} does not exist")
        if not write:
            return path
        if path.exists():
            with open(path, "rb+"):
                pass
        else:  # only trying tells whether the name is too long or the folder read-only
            path.touch()
            path.unlink()
        part = _temporary(path)
        part.touch()
        part.unlink()
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # also null bytes, unknown home folder
        raise InputError(f"cannot write {shortened(given)}: {getattr(error, 'strerror', None) or error}") from None
    return path


@contextlib.contextmanager
def written_whole(path):
    """A temporary file to write to, which replaces ``path`` once it is complete and on the disk.

    Args:
        path: as :func:`check_destination` gives it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with written_whole(folder / "notes.txt") as part:
        ...     _ = part.write_text("done")
        >>> [file.name for file in folder.iterdir()]
        ['notes.txt']
    """
    part = _temporary(path)
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def make_folder(path):
    """Make a folder and those above it, unless it is there; raises :class:`InputError` where that cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror}") from None


def shortened(text, longest=100):
    """``text`` for an error message, without its middle if it is long."""
    text = str(text)
    return text if len(text) <= longest else f"{text[: longest - 40]} … {text[-37:]}"


def _temporary(path):
    """A short name in the folder of ``path``, as only a move within a file system is atomic."""
    return path.with_name(f".{uuid.uuid4().hex[:12]}{path.suffix}")
