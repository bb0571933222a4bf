"""Bugs to plant into an operator's process: the oracle has to find each of them.

Every bug takes one protection of the product away, as an operator of the field went without it.
"""

from collections.abc import Callable
from typing import Final

from fairlead_chaos.planted import passes, writes

BUGS: Final[dict[str, Callable[[], None]]] = {
    planting.__name__: planting for planting in (*writes.ALL, *passes.ALL)
}
"""By name; the docstring of each says what is wrong."""


def plant(name: str) -> None:
    """Put a bug into this process; before the operator's ``main``."""
    BUGS[name]()
