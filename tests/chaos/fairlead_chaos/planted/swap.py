"""Puts something of ours in the place of the product's: what every planted bug is made of."""

from typing import Any


def swap(owner: object, **attributes: Any) -> None:
    """Replace attributes of a module, class or object; each must be there already."""
    for name, value in attributes.items():
        if not hasattr(owner, name):
            raise AttributeError(f"{owner} has no {name}: the bug is planted in what is no more")
        setattr(owner, name, value)
