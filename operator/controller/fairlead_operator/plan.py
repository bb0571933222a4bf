"""What a pure planner may ask for: the vocabulary between planning and applying.

A planner sees an ``Observed`` and the time and returns a ``Plan``; ``reconcile`` carries it out
in this order: status facts first (they license the acts), then acts in the order given, then
the wait. Every act is harmless when the observation was stale: names are deterministic, and
deletes and applies carry the uid and the version of what was seen.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from fairlead_api import names

Manifest = dict[str, Any]
"""A Kubernetes object as JSON data."""

LOOK_AGAIN: Final = timedelta(seconds=30)
"""For what is waited for and not watched: claims and other people's ConfigMaps."""


class Seen(NamedTuple):
    """Which object a decision is about, as it was then; written since, a write to it is refused."""

    uid: str
    version: str
    """Its resourceVersion; empty in worlds that have none."""

    @classmethod
    def of(cls, manifest: Manifest) -> "Seen":
        """What was seen of this object."""
        head = manifest["metadata"]
        return cls(head["uid"], head.get("resourceVersion", ""))


@dataclass(frozen=True)
class CreateOnce:
    """Create a child whose template can't change (Job, ControllerRevision, ConfigMap).

    AlreadyExists is success when the existing object's controller is our resource (same uid),
    ``Leftover`` when it was an earlier one of the same name, else ``ForeignChild``.
    """

    manifest: Manifest


@dataclass(frozen=True)
class Apply:
    """Server-side apply of a child under our field manager, forced.

    ``seen`` is the observed child, absent when none was: with it, an apply to an object that is
    gone is refused with 409 instead of bringing it back.
    """

    manifest: Manifest
    seen: Seen | None = None


@dataclass(frozen=True)
class Delete:
    """Delete a child, background propagation, with uid and version as preconditions."""

    api_version: str
    kind: str
    namespace: str
    name: str
    seen: Seen


Act = CreateOnce | Apply | Delete


@dataclass(frozen=True)
class Plan:
    """What to do for one resource now."""

    status: Manifest | None = None
    """The whole status that should stand (without ``progress``); written on difference only."""
    acts: tuple[Act, ...] = ()
    requeue_at: datetime | None = None
    """Look again at this moment though nothing changes (a retry, a timeout)."""


@dataclass(frozen=True)
class Observed:
    """The children and neighbours of one resource, as last seen."""

    jobs: tuple[Manifest, ...] = ()
    pods: tuple[Manifest, ...] = ()
    config_maps: tuple[Manifest, ...] = ()
    services: tuple[Manifest, ...] = ()
    leftovers: tuple[Manifest, ...] = ()
    """FineTuneJob: what an earlier one of its name has left, until it is garbage collected."""
    deployments: tuple[Manifest, ...] = ()
    revisions: tuple[Manifest, ...] = ()
    routes: tuple[Manifest, ...] = ()
    claims: dict[str, Manifest | None] = field(default_factory=dict)
    """PersistentVolumeClaims named by the spec; None where one doesn't exist."""
    foreign_config_maps: dict[str, bool] = field(default_factory=dict)
    """ConfigMaps named by the spec (datasets), and whether they exist."""
    fine_tune_job: Manifest | None = None
    """ModelService: the FineTuneJob that it names."""
    has_gateway_api: bool = False
    """Whether HTTPRoute of gateway.networking.k8s.io/v1 is served."""
    gateways: dict[str, Manifest | None] = field(default_factory=dict)
    """Gateways (``namespace/name``) that the spec or the settings name; None where absent."""


def controller(manifest: Manifest) -> dict[str, Any]:
    """The owner reference of the object's controller; empty where it has none."""
    references = manifest.get("metadata", {}).get("ownerReferences", [])
    return next((reference for reference in references if reference.get("controller")), {})


def owned_by(manifest: Manifest, uid: str) -> bool:
    """Whether the object's controller is the resource of that uid."""
    return bool(controller(manifest).get("uid") == uid)


def is_leftover(manifest: Manifest, kind: str, name: str, uid: str) -> bool:
    """Whether its controller was an earlier resource of that name: the garbage collector's prey."""
    owner = controller(manifest)
    of_us = str(owner.get("apiVersion", "")).startswith(f"{names.GROUP}/")
    return of_us and (owner["kind"], owner["name"]) == (kind, name) and owner["uid"] != uid
