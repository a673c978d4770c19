"""The finished picture that the studio opens with, so that nobody has to wait for the first."""

from importlib import resources

from ..images import load_image, read_settings
from .worker import Snapshot

FILE = "first.jpg"
PICTURES = ("sample:chelsea", "sample:starry_night")  # what it was painted from


def opening():
    """The :class:`~nstlib.widgets.worker.Snapshot` of a painting that comes with nstlib."""
    with resources.as_file(resources.files(__package__) / FILE) as path:
        image, settings = load_image(path), read_settings(path)
    iterations = settings["iterations"]
    return Snapshot(image, None, settings, "done", iterations, iterations, 1.0, {}, 0.0)


def is_opening(*sources):
    """Whether these are the pictures that it was painted from."""
    names = [source.removeprefix("sample:") if isinstance(source, str) else None for source in sources]
    return tuple(f"sample:{name}" for name in names) == PICTURES
