"""Rules over several fields: in CEL for the API server, in Python for judging without one.

Python follows CEL where that is simple; ``tests/cluster`` asks both about the same manifests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

RULES: Final = "x-kubernetes-validations"
"""Where a schema holds its rules."""

Part = dict[str, Any]
"""A part of a resource as CEL's ``self`` has it: JSON, its defaults filled in."""


def _only_the_api_server_knows(_: Part) -> bool:
    return True


@dataclass(frozen=True)
class Rule:
    """One CEL rule: an entry of ``RULES``."""

    rule: str
    """CEL over ``self``; a rule that reads ``oldSelf`` holds on updates only."""
    message: str
    """What the user reads in kubectl: names the field and the way out."""
    field_path: str | None = None
    """Where kubectl points, relative to the ruled object, e.g. ``.tuning.r``."""
    field: str | None = None
    """The member that is ruled, where it isn't the object itself: ``self`` is its value then."""
    holds: Callable[[Part], bool] = _only_the_api_server_knows
    """The rule in Python, of the whole object also where ``field`` is set; true where it is the
    API server's alone."""

    def as_schema(self) -> dict[str, str]:
        """Spell the rule as the CRD does."""
        entry = {"rule": self.rule, "message": self.message}
        return entry | ({"fieldPath": self.field_path} if self.field_path else {})


def immutable(field: str) -> Rule:
    """Refuse changing an object's ``field``, which is required or has a default, once it is set.

    At the field, since the API server builds anew all that an object may hold each time a rule
    reads a member of it, and asks every rule at every write, also of the status.
    """
    return Rule(rule="self == oldSelf", message=_immutable_text(field), field=field)


def immutable_option(field: str) -> Rule:
    """Refuse setting, removing or changing an object's ``field``, which may be absent."""
    return Rule(
        rule=f"has(self.{field}) == has(oldSelf.{field})"
        f" && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        message=_immutable_text(field),
        field_path=f".{field}",
    )


def _immutable_text(field: str) -> str:
    return f"{field} is immutable after creation; delete and create the resource instead"


def exactly_one_of(*fields: str) -> Rule:
    """Demand that exactly one member of a union is set."""
    present = ", ".join(f"has(self.{field})" for field in fields)
    return Rule(
        rule=f"[{present}].filter(x, x).size() == 1",
        message=f"exactly one of {', '.join(fields)} must be set",
        holds=lambda part: sum(field in part for field in fields) == 1,
    )
