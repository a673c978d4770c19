"""Where pictures come from: paths, addresses, samples, folders."""

import contextlib
import http.client
import io
import os
import re
import urllib.parse
import urllib.request
from pathlib import Path

from .. import samples
from ..errors import InputError
from ..files import shortened
from .encoding import SUFFIXES

MAX_DOWNLOAD = 512 << 20  # bytes


def open_source(source):
    """Open what a path or an address refers to.

    Args:
        source: path (``~`` is expanded; surrounding blanks and quotes, as file managers copy them, are removed), or
            address: ``http:``, ``https:``, ``file:``, ``data:``, or ``sample:`` and the name of a sample.
            A :class:`pathlib.Path` is always a path, and taken literally.

    Returns:
        A seekable binary file, or the PIL image of a sample, for the caller to close.

    Raises:
        InputError: nothing is there, or it cannot be opened.
    """
    path = local_path(source)
    if path is not None:
        return _open_path(path)
    text = _bare(source)
    scheme = text.partition(":")[0].lower()
    if scheme == "sample":
        return samples.open(text)
    if scheme in ("http", "https", "data"):
        return _download(text)
    raise InputError(f"cannot read {shortened(text)}: {scheme} addresses are not supported; download the file first")


def local_path(source):
    """The path, as text, that a path or a ``file:`` address refers to; None for any other address.

    Raises:
        InputError: an empty text, or a malformed address.
    """
    if not isinstance(source, str):
        return os.fsdecode(source)
    text = _bare(source)
    if not text:
        raise InputError("expected a path or an address as picture, received an empty text")
    scheme = text.partition(":")[0].lower()
    if scheme == "file":
        try:
            return urllib.request.url2pathname(urllib.parse.urlsplit(text).path)
        except ValueError as error:
            raise InputError(f"{shortened(text)} is not a valid file address: {error}") from None
    is_address = scheme in ("sample", "http", "https", "data") and ":" in text
    return None if is_address or re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE) else text


def _bare(text):
    """``text`` without the blanks and quotes around it that may be copied along."""
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def _open_path(path):
    name = shortened(path)
    try:
        found = Path(path).expanduser()
        if found.is_file():
            return open(found, "rb")
        if found.is_dir():
            raise InputError(f"{name} is a folder, not a picture")
        if found.exists():
            raise InputError(f"{name} is a device or pipe, not a picture: pass an open file instead")
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # name too long, no permission, null bytes, no home folder
        raise InputError(f"cannot open {name}: {getattr(error, 'strerror', None) or error}") from None
    if re.match(r"(https?|file|data|sample):", path, re.IGNORECASE):
        raise InputError(f"no such file: {name}; an address must be a plain string, not a Path")
    raise InputError(f"no such file: {name}")


def _download(address):
    # As browsers do: blanks and letters beyond ASCII are percent-encoded.
    quoted = urllib.parse.quote(address, safe="%/:=&?~#+!$,;'@()*[]")
    name = shortened(address)
    try:
        request = urllib.request.Request(quoted, headers={"User-Agent": "nstlib"})
        with contextlib.closing(urllib.request.urlopen(request, timeout=30)) as response:
            content = response.read(MAX_DOWNLOAD + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise InputError(f"could not download {name}: {error or type(error).__name__}") from None
    if len(content) > MAX_DOWNLOAD:
        raise InputError(f"{name} is larger than {MAX_DOWNLOAD >> 20} MB; download and shrink it first")
    return io.BytesIO(content)


def find_pictures(folders):
    """Paths of the pictures in these folders, recognised by their suffix and sorted within each folder.

    Raises:
        InputError: there are none, or no such folder.
    """
    folders = [Path(folder).expanduser() for folder in folders]
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"no such folder: {folder}")
    paths = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
    paths = [path for path in paths if not path.name.startswith(".")]  # macOS puts "._" files beside pictures
    if not paths:
        raise InputError(f"no pictures ({', '.join(SUFFIXES)}) in {', '.join(map(str, folders))}")
    return paths
