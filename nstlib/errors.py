"""Errors that say what was expected and what was received."""

import difflib


class InputError(ValueError):
    """Raised for input that cannot be used; the message says what was expected and what was received."""


class Diverged(RuntimeError):
    """Raised when the loss becomes NaN or infinite; the transfer then holds the last finite picture."""

    agreed = True  # all ranks have the same loss


def check_choice(what, value, choices):
    """Raise :class:`InputError` with the valid ``choices``, and the closest one, unless ``value`` is one of them."""
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        near = difflib.get_close_matches(str(value), [c for c in choices if isinstance(c, str)], 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"unknown {what} {value!r}; choose from {', '.join(map(str, choices))}{hint}")
