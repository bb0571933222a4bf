"""A picture of a ModelService at rest, in which only what a user or a client could tell counts.

Pure. Names, hashes, uids, times and generations are left out or made alike, so that the pictures
of two services of different pasts compare; ControllerRevisions are the past and stay out.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fairlead_chaos.transitions import Good, State, Way, scratch

Manifest = dict[str, Any]
_CLUSTER_IPS: Final = ("clusterIP", "clusterIPs")
_STATUS: Final = ("phase", "replicas", "readyReplicas", "url", "stable", "candidate", "model")


def picture(service: Manifest, children: Iterable[Manifest]) -> Manifest:
    """The service's spec and status and its children, by kind and name, with all names alike."""
    status = service.get("status") or {}
    conditions = {
        one["type"]: [one["status"], one["reason"], one["message"]]
        for one in status.get("conditions") or []
    }
    found = {
        "spec": service["spec"],
        "status": {field: status.get(field) for field in _STATUS} | {"conditions": conditions},
        "children": {f"{one['kind']} {one['metadata']['name']}": _child(one) for one in children},
    }
    text = json.dumps(found, sort_keys=True)
    for role in ("stable", "candidate"):
        if status.get(role):
            text = text.replace(status[role], role.upper())
    head = service["metadata"]
    text = text.replace(head["name"], "NAME").replace(head["namespace"], "NAMESPACE")
    alike: Manifest = json.loads(text)
    return alike


def _child(child: Manifest) -> Manifest:
    spec = {key: value for key, value in child["spec"].items() if key not in _CLUSTER_IPS}
    return {"labels": child["metadata"].get("labels", {}), "spec": spec}


def faults(way: Way, pictures: Mapping[str, Manifest]) -> list[str]:
    """What is wrong with where a way led; ``pictures`` by the names of ways, scratch among them.

    A served end is as if made so. An error leaves what serves alone, and can be told.
    """
    found = pictures[way.name]
    served = _last_served(way)
    if way.end.good is Good.ALWAYS or served is None:
        return differences(pictures[scratch(way).name], found)
    before = Way((served,), way.context)
    kept = _stable(pictures[before.name])
    wrong = differences(kept, _stable(found))
    conditions = found["status"]["conditions"]
    if conditions["Available"][0] != "True":
        wrong.append(f"Available: {conditions['Available']}")
    if conditions["Ready"][0] == "True" and not found["status"]["candidate"]:
        wrong.append(f"an error that can't be told: {conditions['Ready']}")
    return wrong


def _last_served(way: Way) -> State | None:
    """The last state of the way in which pods can serve."""
    good = [state for state in way.states if state.good is Good.ALWAYS]
    return good[-1] if good else None


def _stable(found: Manifest) -> Manifest:
    """What traffic goes to: stable's children and the Service that selects them."""
    children: Manifest = found["children"]
    return {key: child for key, child in children.items() if "CANDIDATE" not in key}


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """Paths at which two pictures differ, with both values."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for key in sorted(expected.keys() | found.keys())
            for line in differences(expected.get(key), found.get(key), f"{path}/{key}")
        ]
    return [] if expected == found else [f"{path}: expected {expected!r}, found {found!r}"]
