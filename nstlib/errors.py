"""The one error that says: what you gave cannot be used, and how to mend it."""


class InputError(ValueError):
    """Input that cannot be used. The message names what was received and what is expected."""
