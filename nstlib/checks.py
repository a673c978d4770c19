"""Numbers that a caller gives, looked at before any work begins."""

import math
import numbers

from .errors import InputError


def whole(what, value, least=1):
    """``value`` as an int; whole floats such as 2.0 and NumPy's numbers count.

    Raises:
        InputError: not a whole number, or below ``least``.

    Example:
        >>> whole("steps", 3.0)
        3
    """
    if not _is_number(value) or not float(value).is_integer() or value < least:
        raise InputError(f"{what} must be a whole number of at least {least}, received {value!r}")
    return int(value)


def positive(what, value):
    """``value`` as a float above 0 and below infinity, else :class:`InputError`."""
    if not _is_number(value) or not math.isfinite(value) or value <= 0:
        raise InputError(f"{what} must be a number above 0, received {value!r}")
    return float(value)


def share(what, value):
    """``value`` as a float from 0 to 1, else :class:`InputError`."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise InputError(f"{what} must be a number from 0 to 1, received {value!r}")
    return float(value)


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
