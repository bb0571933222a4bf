"""What stands in a run's namespace at its end, as data that compares with another run's.

Reads, never writes. What only tells one run from another is written alike here, where it is
known what it stands for: the namespace, uids, names that Kubernetes completed, nodes and how many
there are, and times of the run's own span. What else differs between undisturbed runs ``oracle``
learns by itself.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fairlead_api import names
from fairlead_operator import kube
from fairlead_operator.kube import Kind
from fairlead_operator.plan import Manifest, controller

Snapshot = dict[str, Manifest]
"""Objects by ``Kind/name``, JSON data throughout."""
Items = Callable[[Kind, str], Awaitable[list[Manifest]]]
"""Every object of a kind in a namespace, whole; none where the kind isn't served."""

REPLICA_SET: Final = Kind("apps/v1", "ReplicaSet", "replicasets")
WHOLE: Final = (*kube.WATCHED, REPLICA_SET)
"""Kinds whose objects are compared."""
APART: Final = (kube.SECRET, kube.LEASE)
"""Kinds of the operator's own: what they hold is nobody's to see, or tells the time."""
_APART: Final = frozenset(kind.kind for kind in APART)
NAMESPACE: Final = "<namespace>"
NODE: Final = "<node>"
NODES: Final = "<nodes>"
"""Any number of them: other labs have some as well."""
TIME: Final = "<time>"
ADDRESS: Final = "<address>"
HASH: Final = "<hash>"
AHEAD: Final = timedelta(days=1)
"""How far ahead of a run its own times may lie: graces and retries."""

_ROOT_CA: Final = "kube-root-ca.crt"
_TEMPLATE_HASH: Final = "pod-template-hash"
_BY_CHANCE: Final = frozenset({"kube-scheduler"})
"""Who writes only where a pod found no node at the first try, as on a machine that is late."""
_CHANCE: Final = {
    # Whether the collector has the ReplicaSet of an earlier Deployment of that name by then.
    kube.DEPLOYMENT.kind: (("status", "collisionCount"),),
    # How many of the Deployment's changes were seen apart: nobody else writes to it.
    REPLICA_SET.kind: (("metadata", "generation"), ("status", "observedGeneration")),
}
"""Fields that count how the controllers' moments fell, by kind."""
_TIMES: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_SCHEDULER: Final = re.compile(r"0/\d+ nodes are available: (.*?)(?=\.(?: |$)|$)")
"""How many nodes there are, and by each reason how many of them it rules out."""
_ADDRESSES: Final = re.compile(r"(?!127\.|0\.)\d{1,3}(?:\.\d{1,3}){3}")


@dataclass(frozen=True)
class Span:
    """The time of a run."""

    began: datetime
    ended: datetime

    def has(self, text: str) -> bool:
        """Whether a moment may have been told by the run's own clocks."""
        moment = datetime.fromisoformat(text)
        return self.began - timedelta(seconds=1) <= moment <= self.ended + AHEAD


async def objects(items: Items, namespace: str) -> list[Manifest]:
    """Everything of the run that may be compared, as it stands now."""
    kinds = (*WHOLE, *APART)
    listed = await asyncio.gather(*(items(kind, namespace) for kind in kinds))
    # Lists leave out what each of their items is.
    return [
        {"apiVersion": kind.api_version, "kind": kind.kind} | manifest
        for kind, manifests in zip(kinds, listed, strict=True)
        for manifest in manifests
        if kube.metadata(manifest)["name"] != _ROOT_CA
    ]


def is_moving(found: Iterable[Manifest]) -> bool:
    """Whether something is on its way out, or waits for the garbage collector."""
    found = list(found)
    uids = {kube.metadata(one)["uid"] for one in found}
    return any(
        kube.metadata(one).get("deletionTimestamp") or controller(one).get("uid", "") not in uids
        for one in found
        if controller(one) or kube.metadata(one).get("deletionTimestamp")
    )


def of(found: Iterable[Manifest], namespace: str, nodes: Iterable[str], span: Span) -> Snapshot:
    """Write a run's objects down so that they compare with another run's."""
    found = list(found)
    stable = _stable_names(found)
    words = {namespace: NAMESPACE, **dict.fromkeys(nodes, NODE)}
    for one in found:
        head = kube.metadata(one)
        name = stable[head["uid"]]
        words[head["uid"]] = f"<uid {one['kind']}/{name}>"
        if name != head["name"]:
            words[head["name"]] = name
        if hash_ := (head.get("labels") or {}).get(_TEMPLATE_HASH):
            words[hash_] = HASH
    said = _Words(words, span)
    return {
        f"{one['kind']}/{stable[kube.metadata(one)['uid']]}": said.again(_kept(one))
        for one in sorted(found, key=lambda one: (one["kind"], stable[kube.metadata(one)["uid"]]))
    }


class _Words:
    """Says things again in the words that all runs share."""

    def __init__(self, words: dict[str, str], span: Span) -> None:
        longest_first = sorted(words, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        self._words, self._span = words, span

    def again(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._text(key): self.again(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.again(one) for one in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        if _ADDRESSES.fullmatch(text):
            return ADDRESS
        text = _TIMES.sub(lambda t: TIME if self._span.has(t[0]) else t[0], text)
        text = _SCHEDULER.sub(lambda found: _without_numbers(found[1]), text)
        return self._pattern.sub(lambda word: self._words[word[0]], text)


def _without_numbers(reasons: str) -> str:
    """The scheduler's words, which it sorts by the numbers too."""
    named = sorted(re.sub(r"^\d+", NODES, one) for one in re.split(r", (?=\d+ )", reasons))
    return f"0/{NODES} nodes are available: {', '.join(named)}"


def _kept(manifest: Manifest) -> Manifest:
    """What of an object is compared."""
    head = dict(kube.metadata(manifest))
    # Who wrote to it; what they wrote is compared anyway.
    managers = {one["manager"] for one in head.pop("managedFields", ())} - _BY_CHANCE
    head["managers"] = dict.fromkeys(managers, True)
    if manifest["kind"] in _APART:
        return {"metadata": head}
    kept = {key: value for key, value in manifest.items() if key != "kind"} | {"metadata": head}
    status = kept.get("status")
    if isinstance(status, dict):
        kept["status"] = dict(status)
        if status.get("conditions"):
            # Their order says nothing, and several writers add to them.
            kept["status"]["conditions"] = {one["type"]: one for one in status["conditions"]}
    for part, key in _CHANCE.get(manifest["kind"], ()):
        (kept.get(part) or {}).pop(key, None)
    return kept


def _stable_names(found: list[Manifest]) -> dict[str, str]:
    """By uid, a name that an object of another run has as well."""
    given: dict[str, str] = {}
    alike: Counter[tuple[str, str]] = Counter()
    # Pods last: their names begin with those of what made them.
    for one in sorted(found, key=lambda one: (one["kind"] == kube.POD.kind, *_age(one))):
        head = kube.metadata(one)
        stem = _stem(one, given)
        if stem is None:
            given[head["uid"]] = head["name"]
            continue
        alike[one["kind"], stem] += 1
        given[head["uid"]] = f"{stem}~{alike[one['kind'], stem]}"
    return given


def _stem(manifest: Manifest, given: dict[str, str]) -> str | None:
    """The part that every run gives of a completed name; None of one that was asked for."""
    head, owner = kube.metadata(manifest), controller(manifest)
    if manifest["kind"] == REPLICA_SET.kind:
        return str(owner.get("name") or head["name"].rpartition("-")[0])
    if not head.get("generateName"):
        return None
    asked = str(head["generateName"]).rstrip("-")
    above = str(owner.get("name", ""))
    if owner.get("uid") in given and asked.startswith(above):
        return given[owner["uid"]] + asked.removeprefix(above)
    return asked


def _age(manifest: Manifest) -> tuple[str, ...]:
    """Order of objects that only differ by the end of their names."""
    head, status = kube.metadata(manifest), manifest.get("status") or {}
    conditions = sorted(f"{one['type']}={one['status']}" for one in status.get("conditions") or [])
    created = head.get("creationTimestamp") or ""
    return created, status.get("phase") or "", " ".join(conditions), head["name"]


def owners_missing(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Objects without the owner they should have, with what is wrong."""
    for key, body in snapshot.items():
        if key.partition("/")[0] in _APART:  # an operator outlives all that it makes
            continue
        head = kube.metadata(body)
        owner = controller(body)
        if owner and not owner["uid"].startswith("<uid "):
            yield key, f"its owner {owner['kind']}/{owner['name']} is gone"
        labels = head.get("labels") or {}
        is_ours = labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY
        if is_ours and not owner:
            yield key, "it carries our label and no owner claims it"
