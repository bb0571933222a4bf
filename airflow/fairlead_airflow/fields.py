"""Fields of tasks that a template may have turned into text; pure."""

from pathlib import Path
from typing import Final

_NO: Final = ("", "None", "none", "null")


class InvalidField(ValueError):
    """A field that can't be meant; the message names it."""


def whole(name: str, given: int | str, least: int = 1) -> int:
    """A whole number.

    Raises:
        InvalidField: Where it is none, or less than the least.
    """
    try:
        number = int(given)
    except (TypeError, ValueError):
        raise InvalidField(f"{name}: must be a whole number, it is {given!r}") from None
    if number < least or isinstance(given, float) and number != given:
        raise InvalidField(f"{name}: must be a whole number from {least}, it is {given!r}")
    return number


def optional_whole(name: str, given: int | str | None, least: int = 1) -> int | None:
    """A whole number or none, as templates write it too."""
    return None if given is None or given in _NO else whole(name, given, least)


def share(name: str, given: float | str) -> float:
    """A number from 0 to 1.

    Raises:
        InvalidField: Where it is none.
    """
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 1:
        raise InvalidField(f"{name}: must be a number from 0 to 1, it is {given!r}")
    return number


def path(name: str, given: str) -> Path:
    """A file or folder of a volume.

    Raises:
        InvalidField: Where it is a relative path or an address.
    """
    found = Path(given)
    if not found.is_absolute():
        raise InvalidField(
            f"{name}: must be the whole path of a file or folder that all workers share, it is"
            f" {given!r}"
        )
    return found
