"""Checks of numbers that callers give, before any work begins."""

import math
import numbers

import numpy as np

from .errors import InputError


def number(what, value, least=-math.inf, most=math.inf):
    """``value`` as a float, finite and from ``least`` to ``most``; NumPy's numbers are accepted.

    Raises:
        InputError: anything else.
    """
    if not _is_number(value) or not least <= value <= most:
        raise InputError(f"{what} must be a number{limits(least, most)}, received {value!r}")
    return float(value)


def whole(what, value, least=1, most=math.inf):
    """``value`` as an int; whole floats such as 2.0 and NumPy's numbers are accepted.

    Raises:
        InputError: not a whole number from ``least`` to ``most``.

    Example:
        >>> whole("steps", 3.0)
        3
    """
    if not _is_number(value) or value != value // 1 or not least <= value <= most:
        raise InputError(f"{what} must be a whole number{limits(least, most)}, received {value!r}")
    return int(value)


def positive(what, value):
    """``value`` as a float above 0 and below infinity, else :class:`InputError`."""
    if not _is_number(value) or value <= 0:
        raise InputError(f"{what} must be a number above 0, received {value!r}")
    return float(value)


def share(what, value):
    """``value`` as a float from 0 to 1, else :class:`InputError`."""
    return number(what, value, 0, 1)


def _is_number(value):
    """Whether ``value`` is a finite real number that fits a float; booleans are not."""
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, np.bool_)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def limits(least, most=math.inf):
    """The range of a number in a message: ``" from 0 to 1"``, ``" of at least 1"``, or nothing."""
    if most < math.inf:
        return f" from {shortest(least)} to {shortest(most)}"
    return f" of at least {shortest(least)}" if least > -math.inf else ""


def shortest(value):
    """``"20"`` for 20.0, and otherwise as many digits as it takes."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
