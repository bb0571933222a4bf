"""The HTTPRoute of a ModelService, and what its gateways say about it.

A route has one backend, the stable revision's Service, and never two. Envoy Gateway keeps such a
rule as one cluster whose endpoints change, so a switch takes nothing away that a request could
still need; a second backend whose pods end would make it rebuild the clusters under traffic.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from fairlead_api import names
from fairlead_api.conditions import Reason
from fairlead_api.modelservice import GatewayRef, ModelService
from fairlead_operator.plan import Manifest, Observed
from fairlead_operator.serving import children
from fairlead_operator.serving.options import Options

API_VERSION: Final = "gateway.networking.k8s.io/v1"
KIND: Final = "HTTPRoute"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_WANTED: Final = {"Accepted", "ResolvedRefs"}
"""Conditions of a route that its gateways must all say are true."""


@dataclass(frozen=True)
class RouteState:
    """Whether requests reach the service through its gateways."""

    ready: bool | None
    """None: no gateway has spoken yet."""
    reason: str
    message: str
    required: bool
    """Whether the ModelService is Ready only with it. Not while a gateway that took the route as it
    was has yet to speak of it as it is: each rollout changes it, and requests come through."""


def gateway_refs(service: ModelService, options: Options) -> tuple[GatewayRef, ...]:
    """Gateways that route to the service: its own choice, else the installation's."""
    if service.spec.gateway_refs is not None:
        return tuple(service.spec.gateway_refs)
    return () if options.gateway is None else (options.gateway,)


def route(service: ModelService, revision: str, options: Options) -> Manifest:
    """The HTTPRoute whose backend is a revision."""
    refs = gateway_refs(service, options)
    backend = names.revision_name(service.metadata.name, revision)
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": names.PATH_API}}],
        "backendRefs": [{"name": backend, "port": names.PORT_SERVICE, "weight": 1}],
        # Gateways cut requests off after seconds otherwise (Envoy: 15).
        "timeouts": {"request": f"{options.request_timeout_seconds}s"},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": children.metadata(service, service.metadata.name),
        "spec": {
            "parentRefs": [_parent_ref(service, ref) for ref in refs],
            "hostnames": hostnames(service, options),
            "rules": [rule],
        },
    }


def hostnames(service: ModelService, options: Options) -> list[str]:
    """Host names of all gateways together, each once: an HTTPRoute has one list of them."""
    metadata = service.metadata
    default = f"{metadata.name}.{metadata.namespace}.{options.domain}"
    found = (name for ref in gateway_refs(service, options) for name in ref.hostnames or [default])
    return list(dict.fromkeys(found))


def backend(manifest: Manifest | None) -> str:
    """Name of the Service that a route leads to; empty where it isn't there."""
    rules = (manifest or {}).get("spec", {}).get("rules", [])
    return str(rules[0]["backendRefs"][0]["name"]) if rules else ""


def url(service: ModelService, observed: Observed, options: Options) -> str:
    """Where clients find the service: by its first gateway, else by its Service."""
    metadata = service.metadata
    refs = gateway_refs(service, options)
    if not refs or not observed.has_gateway_api:
        return f"http://{metadata.name}.{metadata.namespace}.svc"
    gateway = observed.gateways.get(_key(_parent_ref(service, refs[0]))) or {}
    listeners = [
        listener
        for listener in gateway.get("spec", {}).get("listeners", [])
        if refs[0].section_name in (None, listener["name"])
    ]
    scheme = "https" if listeners and listeners[0]["protocol"] == "HTTPS" else "http"
    port = listeners[0]["port"] if listeners else _DEFAULT_PORTS[scheme]
    suffix = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    return f"{scheme}://{hostnames(service, options)[0]}{suffix}"


def state(service: ModelService, observed: Observed, options: Options) -> RouteState:
    """What the gateways say about the route."""
    refs = gateway_refs(service, options)
    if not refs:
        message = f"no gateway; reached inside the cluster at {url(service, observed, options)}"
        return RouteState(False, Reason.NO_GATEWAY, message, required=False)
    if not observed.has_gateway_api:
        message = "the cluster doesn't serve Gateway API (gateway.networking.k8s.io/v1 HTTPRoute)"
        required = service.spec.gateway_refs is not None
        return RouteState(False, Reason.GATEWAY_API_ABSENT, message, required)
    manifest = children.by_name(observed.routes, service.metadata.name)
    said = (_refusal(_parent_ref(service, ref), observed, manifest) for ref in refs)
    refusals = sorted(filter(None, said), key=lambda refusal: not refusal.required)
    if refusals:
        return refusals[0]
    return RouteState(True, Reason.ACCEPTED, url(service, observed, options), required=True)


def is_taken_in(manifest: Manifest, observed: Observed) -> bool:
    """Whether no gateway may still send requests where the route led before.

    A gateway that refuses the route as it now stands sends nothing by it, nor does one that
    isn't there; one that hasn't spoken of it yet goes on as before.
    """
    refusals = (_refusal(parent, observed, manifest) for parent in manifest["spec"]["parentRefs"])
    return all(refusal is None or refusal.ready is not None for refusal in refusals)


def _refusal(parent: Manifest, observed: Observed, manifest: Manifest | None) -> RouteState | None:
    key = _key(parent)
    generation = manifest["metadata"].get("generation", 0) if manifest else 0
    said = list(_said(parent, manifest, generation))
    refused = next((condition for condition in said if condition["status"] == "False"), None)
    if refused is not None:
        message = f"Gateway {key}: {refused['reason']}: {refused.get('message', '')}"
        return RouteState(False, Reason.NOT_ACCEPTED, message, required=True)
    if {condition["type"] for condition in said} == _WANTED:
        return None
    if key in observed.gateways and observed.gateways[key] is None:
        message = f"there is no Gateway {key}; create it, or name another in spec.gatewayRefs"
        return RouteState(False, Reason.NOT_ACCEPTED, message, required=True)
    message = f"Gateway {key} has not answered yet"
    before = _said(parent, manifest, 0)
    took = {condition["type"] for condition in before if condition["status"] == "True"}
    return RouteState(None, Reason.PENDING, message, required=took != _WANTED)


def _said(parent: Manifest, manifest: Manifest | None, generation: int) -> Iterator[dict[str, Any]]:
    """The conditions wanted that a gateway gave the route as it is since a generation."""
    if manifest is None:
        return
    own = manifest["metadata"]["namespace"]
    for answer in manifest.get("status", {}).get("parents", []):
        named = {"namespace": own} | answer["parentRef"]
        if any(
            named.get(part) != parent.get(part) for part in ("namespace", "name", "sectionName")
        ):
            continue
        for condition in answer.get("conditions", []):
            fresh = condition.get("observedGeneration", 0) >= generation
            spoken = fresh and condition["status"] != "Unknown"
            if spoken and condition["type"] in _WANTED:
                yield condition


def _parent_ref(service: ModelService, ref: GatewayRef) -> Manifest:
    found = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": ref.namespace or service.metadata.namespace,
        "name": ref.name,
    }
    return found | ({"sectionName": ref.section_name} if ref.section_name else {})


def _key(parent: Manifest) -> str:
    return f"{parent['namespace']}/{parent['name']}"
