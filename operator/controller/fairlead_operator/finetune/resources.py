"""Arithmetic on a container's compute resources."""

from decimal import Decimal
from typing import Final

from fairlead_api import quantities
from fairlead_api.quantities import ResourceRequirements

_BUILT_IN: Final = "kubernetes.io/"


def amount(quantity: str) -> Decimal:
    """What a quantity amounts to; 0 for what no container could ask for."""
    return quantities.amount(quantity) or Decimal(0)


def memory(resources: ResourceRequirements) -> str:
    """Memory that the scheduler sets aside for the container: its limit where it requests none."""
    return str(resources.requests.get("memory", resources.limits.get("memory", 0)))


def extended(resources: ResourceRequirements) -> list[str]:
    """Device resources that are asked for, such as nvidia.com/gpu."""
    asked = set(resources.limits) | set(resources.requests)
    return sorted(name for name in asked if "/" in name and _BUILT_IN not in name)


def as_container(resources: ResourceRequirements) -> dict[str, dict[str, str]]:
    """The container's ``resources``; devices stand in limits, as Kubernetes demands."""
    devices = {
        name: resources.requests[name] for name in extended(resources) if name in resources.requests
    }
    limits = {key: str(value) for key, value in (devices | resources.limits).items()}
    requests = {key: str(value) for key, value in resources.requests.items()}
    named = {"requests": requests, "limits": limits}
    return {key: values for key, values in named.items() if values}
