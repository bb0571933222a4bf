"""Copies of CRDs under a scratch group, so that nobody else's are disturbed, and questions to them.

Everything asked here is a dry run, but for ``make``.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from fairlead_admission.tables import Row
from fairlead_admission.wire import PATIENCE_SECONDS, Answer, Json, Wire

SUFFIX: Final = "admission.fairlead.test"
_CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_STALE: Final = timedelta(hours=2)
"""Older than any run may be: what a killed one left behind."""


def in_group(crd: Mapping[str, Any], group: str) -> Json:
    """A CRD under another group."""
    before = crd["spec"]["group"]
    moved: Json = json.loads(json.dumps(crd).replace(before, group))
    assert moved["spec"]["group"] == group
    return moved


@contextmanager
def installed(kubeconfig: Path, crds: Sequence[Json]) -> Iterator[str]:
    """Install CRDs under a group of this run's own, and remove them; yields the group."""
    group = f"x{uuid.uuid4().hex[:8]}.{SUFFIX}"
    moved = [in_group(crd, group) for crd in crds]
    with Wire(kubeconfig) as wire:
        _sweep(wire)
        try:
            for crd in moved:
                _apply(wire, f"{_CRDS}/{crd['metadata']['name']}", crd)
            for crd in moved:
                _await_served(wire, crd)
            yield group
        finally:
            for crd in moved:
                wire.ask("DELETE", f"{_CRDS}/{crd['metadata']['name']}")


def _apply(wire: Wire, path: str, body: Mapping[str, Any]) -> Json:
    """Write an object in a way that may be said twice, should an answer be lost."""
    kind = "application/apply-patch+yaml"
    options = {"fieldManager": "admission", "force": "true", "fieldValidation": "Strict"}
    answer = wire.ask("PATCH", path, body, content_type=kind, **options)
    assert answer.accepted, answer.message
    return answer.body


def _await_served(wire: Wire, crd: Json) -> None:
    """Established says that it will be served soon; wait until every version is."""
    spec = crd["spec"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    for version in spec["versions"]:
        path = f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}"
        while not (answer := wire.ask("GET", path)).accepted:
            assert time.monotonic() < deadline, f"{path} is not served: {answer.message}"


def _sweep(wire: Wire) -> None:
    oldest = datetime.now(UTC) - _STALE
    for crd in wire.ask("GET", _CRDS).body["items"]:
        made = datetime.fromisoformat(crd["metadata"]["creationTimestamp"])
        if crd["spec"]["group"].endswith(f".{SUFFIX}") and made < oldest:
            wire.ask("DELETE", f"{_CRDS}/{crd['metadata']['name']}")


def moved(manifest: Mapping[str, Any], api_version: str, number: int | None = None) -> Json:
    """A manifest of another group or version; with a number, of that copy of its kind."""
    kind = manifest["kind"] if number is None else f"{manifest['kind']}{number}"
    return {**manifest, "apiVersion": api_version, "kind": kind}


def path_of(manifest: Mapping[str, Any], name: str = "") -> str:
    """Where the API server keeps a manifest's kind, or the object of a name."""
    head, kind = manifest["apiVersion"], manifest["kind"].lower()
    stem = kind.rstrip("0123456789")
    plural = f"{stem}s{kind.removeprefix(stem)}"
    return f"/apis/{head}/namespaces/default/{plural}" + (f"/{name}" if name else "")


def offer(wire: Wire, manifest: Mapping[str, Any]) -> Answer:
    """Would the API server create it? Strictly, as every client of ours asks."""
    return wire.ask("POST", path_of(manifest), manifest, dryRun="All", fieldValidation="Strict")


def make(wire: Wire, manifest: Mapping[str, Any]) -> Json:
    """Create it; returns it as it is stored."""
    return _apply(wire, path_of(manifest, manifest["metadata"]["name"]), manifest)


def offer_change(wire: Wire, stored: Json, manifest: Json, subresource: str = "") -> Answer:
    """Would the API server put a manifest, or its status, in the place of a stored object?"""
    head = {key: stored["metadata"][key] for key in ("name", "resourceVersion")}
    path = path_of(manifest, head["name"]) + subresource
    body = manifest | {"metadata": manifest["metadata"] | head}
    return wire.ask("PUT", path, body, dryRun="All", fieldValidation="Strict")


def answer(
    wire: Wire, row: Row, place: Callable[[Json], Json], stored: Mapping[str, Json]
) -> Answer:
    """What the API server says to a row; ``place`` moves its manifest to where it is asked."""
    manifest = place(row.manifest)
    if not row.before:
        return offer(wire, manifest)
    return offer_change(wire, stored[row.before], manifest, row.subresource)
