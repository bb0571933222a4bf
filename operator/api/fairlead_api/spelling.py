"""Which member of a resource a name that is none was probably meant to be."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from fairlead_api.base import Resource

_ALIKE: Final = 0.75
"""Least share of letters in common, as difflib counts them."""


def meant(model: type[Resource], way: Sequence[int | str]) -> str | None:
    """The member that was probably meant at a place: a name beside it, else a path elsewhere.

    Args:
        model: The resource.
        way: Keys and indices from the document's root to the name that is none.
    """
    *parent, key = [str(part) for part in way if not isinstance(part, int)]
    members = _members(model)
    beside = {_plain(member[-1]): member[-1] for member in members if [*member[:-1]] == parent}
    for plain in get_close_matches(_plain(key), beside, n=1, cutoff=_ALIKE):
        return beside[plain]
    elsewhere = [member for member in members if _plain(member[-1]) == _plain(key)]
    return ".".join(elsewhere[0]) if len(elsewhere) == 1 else None


def _plain(name: str) -> str:
    """A name without what spellings differ in: learning_rate is learningRate."""
    return name.replace("_", "").replace("-", "").lower()


@cache
def _members(model: type[Resource]) -> tuple[tuple[str, ...], ...]:
    """The way to each member that a user may write, without the indices of lists."""
    schema = model.model_json_schema(by_alias=True)
    found = _walk(schema, schema.get("$defs", {}), ())
    return tuple(dict.fromkeys(way for way in found if way[0] != "status"))


def _walk(
    node: Mapping[str, Any], definitions: Mapping[str, Any], way: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]]
    items = [node["items"]] if "items" in node else []
    for each in (*node.get("anyOf", ()), *items):
        yield from _walk(each, definitions, way)
    for name, member in node.get("properties", {}).items():
        yield (*way, name)
        yield from _walk(member, definitions, (*way, name))
