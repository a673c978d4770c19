"""Errors that say what was expected, what was received and how to mend it."""

import difflib


class InputError(ValueError):
    """Input that cannot be used. The message names what was received and what is expected."""


class Diverged(RuntimeError):
    """The loss became NaN or infinite. The picture is the last good one."""


def check_choice(what, value, choices):
    """Raise :class:`InputError` that names the valid ``choices``, and the nearest, unless ``value`` is one of them."""
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        near = difflib.get_close_matches(str(value), [c for c in choices if isinstance(c, str)], 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"unknown {what} {value!r}; choose from {', '.join(map(str, choices))}{hint}")
