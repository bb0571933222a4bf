"""What every resource is built from: model base classes, bounded types and CEL rules.

Bounds are not decoration: the API server estimates the cost of each CEL rule from them, and
refuses a CRD whose lists or strings have none.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
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

from fairlead_api import uris

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_LABEL_PATTERN: Final = rf"^{_LABEL}$"
DNS_SUBDOMAIN_PATTERN: Final = rf"^{_LABEL}(\.{_LABEL})*$"
DURATION_PATTERN: Final = r"^([0-9]{1,5}(h|m|s)){1,3}$"
QUANTITY_PATTERN: Final = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
_RFC3339: Final = "%Y-%m-%dT%H:%M:%SZ"  # metav1.Time: UTC, whole seconds


@dataclass(frozen=True)
class Rule:
    """One CEL rule: an entry of ``x-kubernetes-validations``."""

    rule: str
    """CEL over ``self``; a rule that reads ``oldSelf`` holds on updates only."""
    message: str
    """What the user reads in kubectl: names the field and the way out."""
    field_path: str | None = None
    """Where kubectl points, relative to the ruled object, e.g. ``.tuning.r``."""

    def as_schema(self) -> dict[str, str]:
        """Spell the rule as the CRD does."""
        entry = {"rule": self.rule, "message": self.message}
        return entry | ({"fieldPath": self.field_path} if self.field_path else {})


def immutable(field: str) -> Rule:
    """Refuse setting, removing or changing an object's ``field`` after creation."""
    return Rule(
        rule=f"has(self.{field}) == has(oldSelf.{field})"
        f" && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        message=f"{field} is immutable after creation; delete and create the resource instead",
        field_path=f".{field}",
    )


def exactly_one_of(*fields: str) -> Rule:
    """Demand that exactly one member of a union is set."""
    present = ", ".join(f"has(self.{field})" for field in fields)
    return Rule(
        rule=f"[{present}].filter(x, x).size() == 1",
        message=f"exactly one of {', '.join(fields)} must be set",
    )


class Model(BaseModel):
    """A part of a resource: camelCase outside, never changed in place.

    ``rules`` become ``x-kubernetes-validations`` of the part's schema; field docstrings become
    its ``kubectl explain`` texts.
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

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        if cls.rules:
            schema["x-kubernetes-validations"] = [rule.as_schema() for rule in cls.rules]
        return schema

    def as_object(self) -> dict[str, Any]:
        """The part as JSON-ready data, without what is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class SpecModel(Model):
    """A part that users write: an unknown field is an error, named."""

    model_config = ConfigDict(extra="forbid")


class StatusModel(Model):
    """A part that we write: a field of a newer version is passed over when reading."""

    model_config = ConfigDict(extra="ignore")


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

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN_PATTERN)]
"""Name of a Kubernetes object in the same namespace."""
LabelName = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL_PATTERN)]
"""A DNS label: names of claims, datasets, listeners."""
Uri = Annotated[str, Field(min_length=8, max_length=uris.MAX_URI_LENGTH, pattern=uris.URI_PATTERN)]
"""pvc://CLAIM/PATH."""
DurationText = Annotated[str, Field(min_length=2, max_length=18, pattern=DURATION_PATTERN)]
"""A length of time such as 90s, 30m or 1h30m."""
ExtraArgs = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=256)]],
    Field(max_length=64),
]
"""Upstream's own arguments by upstream's names, all values as strings."""


class Reference(SpecModel):
    """A reference to an object in the same namespace."""

    name: ObjectName
    """Name of the object."""


Quantity = (
    Annotated[str, Field(min_length=1, max_length=32, pattern=QUANTITY_PATTERN)]
    | Annotated[int, Field(ge=0)]
)
"""An amount as Kubernetes writes it: 2, 500m, 16Gi."""


_SCALES: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(1000),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("MGTPE", 2)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}


def amount(quantity: object) -> Decimal | None:
    """What a Quantity amounts to, however it is written; None where it is no Quantity."""
    match = (
        re.fullmatch(QUANTITY_PATTERN, str(quantity)) if isinstance(quantity, str | int) else None
    )
    if match is None:
        return None
    number, suffix = match[1], match[3] or ""
    try:
        if suffix in _SCALES:
            return Decimal(number) * _SCALES[suffix]
        return Decimal(number + suffix)  # 1e3
    except ArithmeticError:
        return None  # an exponent that no number has


def _resource_rules(field: str) -> tuple[Rule, ...]:
    """What the API server would refuse in a pod, said where the user can still read it."""
    return (
        Rule(
            rule=f"self.{field}.all(k, k in ['cpu', 'memory', 'ephemeral-storage']"
            " || k.startsWith('hugepages-') || k.contains('/'))",
            message=f"{field} may name cpu, memory, ephemeral-storage, hugepages-SIZE and devices"
            " with their domain, such as nvidia.com/gpu",
            field_path=f".{field}",
        ),
        Rule(
            rule=f"self.{field}.all(k, !k.contains('/')"
            f" || string(self.{field}[k]).matches('^[0-9]+$'))",
            message=f"{field}: devices such as nvidia.com/gpu are counted in whole numbers",
            field_path=f".{field}",
        ),
    )


class ResourceRequirements(SpecModel):
    """Compute resources of one container, as in a pod."""

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """What the scheduler sets aside, e.g. cpu and memory."""
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """What the container may not pass; GPUs (nvidia.com/gpu) go here."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *_resource_rules("requests"),
        *_resource_rules("limits"),
        Rule(
            rule="self.requests.all(k, !(k in self.limits)"
            " || quantity(string(self.requests[k]))"
            ".compareTo(quantity(string(self.limits[k]))) <= 0)",
            message="requests must not be above limits",
            field_path=".requests",
        ),
        Rule(
            rule="self.requests.all(k, !k.contains('/') || !(k in self.limits)"
            " || string(self.requests[k]) == string(self.limits[k]))",
            message="requests and limits of a device such as nvidia.com/gpu must be equal;"
            " leave out requests",
            field_path=".requests",
        ),
    )

    def amount(self, resource: str) -> int:
        """Whole count of an extended resource such as GPUs; 0 where none is asked for."""
        return int(self.limits.get(resource, self.requests.get(resource, 0)))


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


class Resource(Model):
    """A whole custom resource; subclasses give kind, spec and status."""

    api_version: str
    kind: str
    metadata: ObjectMeta

    @classmethod
    def read(cls, body: object) -> Self:
        """Type an object as the API server returned it; raises pydantic.ValidationError."""
        return cls.model_validate(body)
