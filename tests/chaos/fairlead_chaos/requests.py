"""What an HTTP request asks of an API server: verb, resource, name.

Pure: reads the method, the path and, of a create, the body. Knows no fault.
"""

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

MUTATING: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
EVERY: Final = "*"
"""The name in a request that means all objects of a collection."""
_APPLY: Final = "application/apply-patch"
_HEADS: Final = "as=PartialObjectMetadataList"
_OF_NAMESPACES: Final = {"status", "finalize"}


@dataclass(frozen=True)
class Asked:
    """One request."""

    verb: str
    """create, patch, update, delete, get, list, watch; of other paths the HTTP method."""
    plural: str = ""
    """Empty where the path is of no resource: discovery, health, version."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    """Empty in the path of a create or of a collection."""
    is_apply: bool = False
    """Server-side apply."""
    is_audit: bool = False
    """A listing of the metadata of all objects; not what is asked about those of one owner."""
    is_next_page: bool = False
    """A listing that goes on from an earlier page."""

    @property
    def resource(self) -> str:
        """Plural, with the subresource."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural

    @property
    def is_mutating(self) -> bool:
        """Whether the request is to be numbered."""
        return self.verb in MUTATING.values()


def ask(method: str, target: str, accept: str = "", content_type: str = "") -> Asked:
    """Read the request line and two headers; ``target`` is the raw path with its query."""
    split = urlsplit(target)
    parts = [unquote(part) for part in split.path.strip("/").split("/")]
    if parts[0] == "api":
        parts = parts[2:]
    elif parts[0] == "apis":
        parts = parts[3:]
    else:
        parts = []
    if not parts:
        return Asked(method)
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in _OF_NAMESPACES:
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource = parts[0], *_two(parts[1:])
    query = parse_qs(split.query)
    return Asked(
        verb=MUTATING.get(method) or _reading(name, query),
        plural=plural,
        subresource=subresource,
        namespace=namespace,
        name=name if name or method != "DELETE" else EVERY,
        is_apply=method == "PATCH" and content_type.startswith(_APPLY),
        is_audit=_HEADS in accept and "," not in query.get("labelSelector", [""])[0],
        is_next_page="continue" in query,
    )


def _two(parts: list[str]) -> tuple[str, str]:
    """Name and subresource; a path behind a proxying subresource belongs to it."""
    return (parts[0] if parts else "", "/".join(parts[1:]))


def _reading(name: str, query: dict[str, list[str]]) -> str:
    if query.get("watch", [""])[0] in ("true", "1"):
        return "watch"
    return "get" if name else "list"


def metadata(body: Any) -> dict[str, Any]:
    """The metadata of what was sent or answered; empty where there is none."""
    found = body.get("metadata") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def decoded(content: bytes, content_type: str = "application/json") -> Any:
    """A JSON body; None of anything else."""
    if not content or "json" not in content_type:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return None


def told_name(head: dict[str, Any]) -> str:
    """The name that a plan uses for an object: runs must agree on it, so no random part."""
    generated = head.get("generateName")
    return f"{generated}{EVERY}" if generated else str(head.get("name", ""))
