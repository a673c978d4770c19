"""What the command line says, whoever listens."""

import contextlib
import os
import sys
import warnings

from tqdm.auto import tqdm

from .distributed import first_to_ask


@contextlib.contextmanager
def terminal():
    """Print warnings in one line, and escape what the streams cannot encode; everything is restored at the end."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(_Forgiving(sys.stderr)):
            warnings.showwarning = lambda message, *_: complain(message)
            yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            try:
                stream.flush()
            except OSError:  # what is still buffered would raise once more when the interpreter exits
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            stream.reconfigure(errors=errors)


class _Forgiving:
    """A stream, or None, whose failures are ignored: a closed terminal or a full disk must not end the run."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text):
        with contextlib.suppress(OSError, AttributeError):
            self._stream.write(text)

    def flush(self):
        with contextlib.suppress(OSError, AttributeError):
            self._stream.flush()

    def __getattr__(self, name):
        return getattr(self._stream, name)


def say(text):
    """Print a line; if nobody listens, that is no failure."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def complain(text):
    """Print a line about what went wrong, once for all ranks, and above a progress bar instead of through it."""
    if not first_to_ask(f"nstlib: {text}"):
        return
    tqdm.write(f"nstlib: {text}", file=sys.stderr)
