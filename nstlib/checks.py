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
        raise InputError(f"{what} must be a number{_limits(least, most)}, received {value!r}")
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
        raise InputError(f"{what} must be a whole number{_limits(least, most)}, received {value!r}")
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


def _limits(least, most):
    if most < math.inf:
        return f" from {least:g} to {most:g}"
    return f" of at least {least:g}" if least > -math.inf else ""
