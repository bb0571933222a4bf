"""What every resource is built from: model base classes and bounded types.

Bounds are not decoration: the API server estimates the cost of each CEL rule from them, and
refuses a CRD whose lists or strings have none.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from fairlead_api import names, uris
from fairlead_api.rules import RULES, Rule

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_LABEL_PATTERN: Final = rf"^{_LABEL}$"
DNS_SUBDOMAIN_PATTERN: Final = rf"^{_LABEL}(\.{_LABEL})*$"
DURATION_PATTERN: Final = r"^([0-9]{1,5}(h|m|s)){1,3}$"
_RFC3339: Final = "%Y-%m-%dT%H:%M:%SZ"  # metav1.Time: UTC, whole seconds


class Model(BaseModel):
    """A part of a resource: camelCase outside, never changed in place.

    ``rules`` become ``x-kubernetes-validations`` of the part's schema; field docstrings become
    its ``kubectl explain`` texts. An ``atomic`` part is applied as a whole: server-side apply
    leaves no field of another manager's beside the new ones.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        frozen=True,
        use_attribute_docstrings=True,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()
    atomic: ClassVar[bool] = False

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        for rule in cls.rules:
            ruled = schema["properties"][rule.field] if rule.field else schema
            ruled.setdefault(RULES, []).append(rule.as_schema())
        if cls.atomic:
            schema["x-kubernetes-map-type"] = "atomic"
        return schema

    def as_object(self) -> dict[str, Any]:
        """The part as JSON-ready data, without what is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def broken_rules(self) -> Iterator[tuple[tuple[int | str, ...], Rule]]:
        """Each rule that this part or one below it breaks, with the way to that part."""
        plain = self.as_object()
        yield from (((), rule) for rule in self.rules if not rule.holds(plain))
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            many = enumerate(value) if isinstance(value, list) else [(None, value)]
            for index, part in many:
                if isinstance(part, Model):
                    head = (field.alias or name,) if index is None else (field.alias or name, index)
                    yield from (((*head, *way), rule) for way, rule in part.broken_rules())


class SpecModel(Model):
    """A part that users write: an unknown field is an error, named."""

    model_config = ConfigDict(extra="forbid")


class StatusModel(Model):
    """A part that we write: a field of a newer version is passed over when reading.

    It has one writer, who writes it whole: whose it is needs to be known, not whose each of its
    fields is, which the API server would keep in the object and work out at each write.
    """

    model_config = ConfigDict(extra="ignore")
    atomic: ClassVar[bool] = True


class ObjectMeta(StatusModel):
    """What we read of ``metadata``."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


def utc_seconds(moment: datetime) -> str:
    """Write a moment as metav1.Time does: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime(_RFC3339)


Timestamp = Annotated[datetime, PlainSerializer(utc_seconds, when_used="json")]

ObjectName = Annotated[str, Field(max_length=253, pattern=DNS_SUBDOMAIN_PATTERN)]
"""Name of a Kubernetes object in the same namespace."""
LabelName = Annotated[str, Field(max_length=63, pattern=DNS_LABEL_PATTERN)]
"""A DNS label: names of claims, datasets, listeners."""
Uri = Annotated[str, Field(max_length=uris.MAX_URI_LENGTH, pattern=uris.URI_PATTERN)]
"""pvc://CLAIM/PATH."""
DurationText = Annotated[str, Field(max_length=18, pattern=DURATION_PATTERN)]
"""A length of time such as 90s, 30m or 1h30m."""
ExtraArgs = Annotated[dict[str, Annotated[str, Field(max_length=256)]], Field(max_length=64)]
"""Upstream's own arguments by upstream's names, all values as strings."""
_MAX_ARGUMENT_LENGTH: Final = 64
EXTRA_ARGS_RULE: Final = Rule(  # a schema bounds no names
    rule=f"self.extraArgs.all(k, size(k) <= {_MAX_ARGUMENT_LENGTH})",
    message=f"names in extraArgs have at most {_MAX_ARGUMENT_LENGTH} characters",
    field_path=".extraArgs",
    holds=lambda part: all(len(key) <= _MAX_ARGUMENT_LENGTH for key in part["extraArgs"]),
)


class Reference(SpecModel):
    """A reference to an object in the same namespace."""

    name: ObjectName
    """Name of the object."""


class Condition(StatusModel):
    """A metav1.Condition: one aspect of a resource's state and why it is so."""

    type: Annotated[str, Field(max_length=64)]
    """Aspect in CamelCase."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=64)]
    """One CamelCase word for programs."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """A sentence for people: what happened, where, and the way out."""
    last_transition_time: Timestamp
    """When status last changed."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The metadata.generation that this speaks of."""


def parse_duration(text: str) -> int:
    """Seconds in a DurationText such as ``1h30m``."""
    seconds, digits = 0, ""
    for char in text:
        if char.isdigit():
            digits += char
            continue
        seconds += int(digits) * {"h": 3600, "m": 60, "s": 1}[char]
        digits = ""
    return seconds


def faults(error: ValidationError) -> str:
    """Why a resource couldn't be read, in one line, each fault with its field."""
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in found)


_NAME_PATTERN: Final = "^[a-z]([-a-z0-9]*[a-z0-9])?$"


class Resource(Model):
    """A whole custom resource; subclasses give kind, spec and status."""

    api_version: str
    kind: str
    metadata: ObjectMeta

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            rule=f"size(self.metadata.name) <= {names.MAX_NAME_LENGTH}"
            f" && self.metadata.name.matches('{_NAME_PATTERN}')",
            message=f"metadata.name must be a DNS label of at most {names.MAX_NAME_LENGTH}"
            " characters that begins with a letter",
            field_path=".metadata.name",
            holds=lambda part: (
                len(part["metadata"]["name"]) <= names.MAX_NAME_LENGTH
                and re.fullmatch(_NAME_PATTERN, part["metadata"]["name"]) is not None
            ),
        ),
    )

    @classmethod
    def read(cls, body: object) -> Self:
        """Type an object as the API server returned it; raises pydantic.ValidationError."""
        return cls.model_validate(body)
