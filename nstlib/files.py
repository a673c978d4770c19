"""Files that are written whole or not at all, to places that were looked at before the work began."""

import contextlib
import os
import uuid
from pathlib import Path

from .errors import InputError


def check_destination(path):
    """The file that ``path`` stands for, found fit to be written; nothing is left behind.

    ``~`` is expanded, and a link is followed, so that the file is written where the link points.

    Args:
        path: of a file that need not exist.

    Returns:
        :class:`pathlib.Path`.

    Raises:
        InputError: a folder, a missing or read-only folder around it, or a name the file system does not take.
    """
    given = path
    try:
        path = Path(os.path.realpath(Path(path).expanduser()))
        if path.is_dir():
            raise InputError(f"cannot write {shortened(given)}: it is a folder; name a file in it")
        if not path.parent.is_dir():
            raise InputError(f"cannot write {shortened(given)}: the folder {shortened(path.parent)} does not exist")
        if path.exists():
            with open(path, "rb+"):
                pass
        else:  # doing it is the only sure way to know about the name's length and the rights of the folder
            path.touch()
            path.unlink()
        part = _temporary(path)
        part.touch()
        part.unlink()
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # also null bytes, a home folder that is not known
        raise InputError(f"cannot write {shortened(given)}: {getattr(error, 'strerror', None) or error}") from None
    return path


@contextlib.contextmanager
def written_whole(path):
    """A temporary file to write, which takes the place of ``path`` once it is complete and on the disk.

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


def shortened(text, longest=100):
    """``text`` for an error message, without its middle where it is long."""
    text = str(text)
    return text if len(text) <= longest else f"{text[: longest - 40]} … {text[-37:]}"


def _temporary(path):
    """A name beside ``path``, as only a move within a file system is atomic; short, whatever the name of the file."""
    return path.with_name(f".{uuid.uuid4().hex[:12]}{path.suffix}")
