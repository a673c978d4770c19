"""The terms and targets that a caller gives, found fit before the work begins."""

from collections.abc import Mapping
from types import MappingProxyType

from ..errors import InputError, check_choice


def terms_by_name(standard, added):
    """``{name: term}``, read only.

    Raises:
        TypeError: an object that is no term, or no list of terms.
        InputError: a name that is given twice or means the sum.
    """
    if not isinstance(added, (list, tuple)):
        raise TypeError(f"terms must be a list of terms, received {added!r}")
    terms = [*standard, *added]
    for term in terms:
        if isinstance(term, type):
            raise TypeError(f"{term.__name__} is a class: give an instance of it as a term")
        lacking = [name for name in ("name", "weight", "targets", "taps", "loss") if not hasattr(term, name)]
        if lacking:
            raise TypeError(f"{type(term).__name__} is no term of a loss: it has no {', '.join(lacking)}")
    names = [term.name for term in terms]
    for name in names:
        if names.count(name) > 1 or name == "total":
            raise InputError(f"the terms of a loss need different names, and none may be 'total'; received {names}")
    return MappingProxyType(dict(zip(names, terms, strict=True)))


def targets_of_terms(targets, terms):
    """``targets``; raises :class:`InputError` for those of an unknown term or of another form."""
    if not isinstance(targets, Mapping) or not all(isinstance(sizes, Mapping) for sizes in targets.values()):
        raise InputError("targets must be {name: {size: targets}}, such as {'style': other.targets['style']}")
    for name in targets:
        check_choice("term", name, terms)
    return targets
