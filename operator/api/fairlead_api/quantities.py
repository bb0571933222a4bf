"""Amounts of compute as Kubernetes writes them, and the resources of a container."""

import math
import re
from decimal import Decimal
from typing import Annotated, ClassVar, Final

from pydantic import Field

from fairlead_api.base import SpecModel
from fairlead_api.rules import Part, Rule

QUANTITY_PATTERN: Final = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"

Quantity = (
    Annotated[str, Field(max_length=32, pattern=QUANTITY_PATTERN)] | Annotated[int, Field(ge=0)]
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


MAX_RESOURCE_LENGTH: Final = 253
_DEVICE: Final = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
RESOURCE_PATTERN: Final = rf"^(cpu|memory|ephemeral-storage|{_DEVICE})$"
COUNT_PATTERN: Final = "^[0-9]{1,18}$"  # no more than CEL's int holds


def _resource_rules(field: str) -> tuple[Rule, ...]:
    """What the API server would refuse in a pod, said where the user can still read it."""
    return (
        Rule(
            rule=f"self.{field}.all(k, size(k) <= {MAX_RESOURCE_LENGTH}"
            f" && k.matches('{RESOURCE_PATTERN}') && !k.startsWith('requests.'))",
            message=f"{field} may name cpu, memory, ephemeral-storage and devices with their"
            " domain, such as nvidia.com/gpu",
            field_path=f".{field}",
            holds=lambda part: all(map(_is_known_resource, part[field])),
        ),
        Rule(
            rule=f"self.{field}.all(k, !k.contains('/')"
            f" || string(self.{field}[k]).matches('{COUNT_PATTERN}'))",
            message=f"{field}: devices such as nvidia.com/gpu are counted in whole numbers",
            field_path=f".{field}",
            holds=lambda part: all("/" not in k or _is_count(v) for k, v in part[field].items()),
        ),
    )


def _is_known_resource(name: str) -> bool:
    is_named = re.fullmatch(RESOURCE_PATTERN.strip("^$"), name) is not None
    return is_named and len(name) <= MAX_RESOURCE_LENGTH and not name.startswith("requests.")


def _is_count(quantity: object) -> bool:
    return re.fullmatch(COUNT_PATTERN.strip("^$"), str(quantity)) is not None


def _are_within_limits(part: Part) -> bool:
    pairs = [(amount(v), amount(part["limits"].get(k))) for k, v in part["requests"].items()]
    return all(asked is None or most is None or asked <= most for asked, most in pairs)


def _are_devices_equal(part: Part) -> bool:
    limits = part["limits"]
    devices = {k: v for k, v in part["requests"].items() if "/" in k}
    return all(str(v) == str(limits.get(k, v)) for k, v in devices.items())


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
            holds=_are_within_limits,
        ),
        Rule(
            rule="self.requests.all(k, !k.contains('/') || !(k in self.limits)"
            " || string(self.requests[k]) == string(self.limits[k]))",
            message="requests and limits of a device such as nvidia.com/gpu must be equal;"
            " leave out requests",
            field_path=".requests",
            holds=_are_devices_equal,
        ),
    )

    def amount(self, resource: str) -> int:
        """Whole count of an extended resource such as GPUs; 0 where none is asked for."""
        return int(self.limits.get(resource, self.requests.get(resource, 0)))

    @property
    def cpus(self) -> Decimal:
        """CPUs that the container may use; what it asks for where it has no limit, else 0."""
        return amount(self.limits.get("cpu", self.requests.get("cpu", 0))) or Decimal(0)

    def threads(self, num_processes: int = 1) -> int:
        """Threads that each process may keep busy: its share of the CPUs, at least one."""
        return max(1, math.floor(self.cpus) // num_processes)
