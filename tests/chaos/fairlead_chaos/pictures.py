"""A picture of a ModelService at rest, in which only what a user or a client could tell counts.

Pure. Names, hashes, uids, times and generations are left out or made alike, so that the pictures
of two services of different pasts compare; ControllerRevisions are the past and stay out.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fairlead_api import names
from fairlead_api.conditions import Reason
from fairlead_chaos import transitions
from fairlead_chaos.subject import Picture, Subject
from fairlead_chaos.transitions import Good, Manifest, State, Way, scratch
from fairlead_operator import kube

_CLUSTER_IPS: Final = ("clusterIP", "clusterIPs")
_STATUS: Final = ("phase", "replicas", "readyReplicas", "url", "stable", "candidate", "model")
_ALIKE: Final = "UID"


def picture(service: Manifest, children: Iterable[Manifest]) -> Picture:
    """The service's spec and status and its children, by kind and name, with all names alike."""
    status = service.get("status") or {}
    found = {
        "spec": service["spec"],
        "status": {field: status.get(field) for field in _STATUS}
        | {"conditions": conditions(status)},
        "children": {f"{one['kind']} {one['metadata']['name']}": _child(one) for one in children},
    }
    words = {status.get(role) or "": role.upper() for role in ("stable", "candidate")}
    if job := (status.get("model") or {}).get("fineTuneJobUid"):
        words[job] = _ALIKE  # each namespace has a job of its own
    return alike(found, words | names_of(service))


def conditions(status: Manifest) -> dict[str, list[str]]:
    """Status, reason and message of each condition."""
    return {
        one["type"]: [one["status"], one["reason"], one["message"]]
        for one in status.get("conditions") or []
    }


def names_of(resource: Manifest) -> dict[str, str]:
    """What of a resource's head tells it from another's, and the words for it."""
    head = resource["metadata"]
    return {head["uid"]: _ALIKE, head["name"]: "NAME", head["namespace"]: "NAMESPACE"}


def alike(found: Manifest, words: Mapping[str, str]) -> Picture:
    """Say it with the same words for what differs from resource to resource, in their order."""
    text = json.dumps(found, sort_keys=True)
    for word, instead in words.items():
        text = text.replace(word, instead) if word else text
    said: Picture = json.loads(text)
    return said


def _child(child: Manifest) -> Manifest:
    spec = {key: value for key, value in child["spec"].items() if key not in _CLUSTER_IPS}
    return {"labels": child["metadata"].get("labels", {}), "spec": spec}


def rests(way: Way, found: Picture) -> bool:
    """Whether a service is all that it can be at the end of a way."""
    if way.end.good is not Good.ALWAYS:
        return is_told(found)
    status = found["status"]
    is_rolled_out = status["conditions"]["Progressing"][1] == Reason.ROLLED_OUT
    return is_rolled_out and status["phase"] in ("Ready", "ScaledToZero")


def is_told(found: Picture) -> bool:
    """Whether a user can tell that what is asked for can't be served, and why."""
    said = found["status"]["conditions"]
    ready, reason, _ = said["Ready"]
    if ready == "False" and reason != Reason.NO_REPLICAS_READY:
        return True
    return bool(found["status"]["candidate"]) and ": pod " in said["Progressing"][2]


def faults(way: Way, pictures: Mapping[str, Picture]) -> list[str]:
    """What is wrong with where a way led; ``pictures`` by the names of ways, scratch among them.

    An end with pods of its own is as if made so. An error leaves what serves alone, and can be
    told.
    """
    found = pictures[way.name]
    served = _last_served(way)
    if way.end.good is not Good.NEVER or served is None:
        return differences(pictures[scratch(way).name], found)
    before = Way((served,), way.context)
    kept = _stable(pictures[before.name])
    wrong = differences(kept, _stable(found))
    said = found["status"]["conditions"]
    if said["Available"][0] != "True":
        wrong.append(f"Available: {said['Available']}")
    if not is_told(found):
        wrong.append(f"an error that can't be told: {said['Ready']}")
    return wrong


def needed(way: Way) -> Iterable[Way]:
    """The services made from scratch with which a way's end is compared."""
    yield scratch(way)
    served = _last_served(way)
    if way.end.good is Good.NEVER and served is not None:
        yield Way((served,), way.context)


def _last_served(way: Way) -> State | None:
    """The last state of the way in which pods can serve."""
    good = [state for state in way.states if state.good is Good.ALWAYS]
    return good[-1] if good else None


def _stable(found: Picture) -> Manifest:
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


SERVICES: Final = Subject(
    kind=kube.MODELSERVICE,
    children=(kube.DEPLOYMENT, kube.SERVICE, kube.HTTP_ROUTE),
    label=names.LABEL_MODELSERVICE,
    spec=transitions.spec,
    picture=picture,
    rests=rests,
    needed=needed,
    faults=faults,
)
