"""A picture of a FineTuneJob at rest, in which only what a user could tell counts.

Pure. As ``pictures`` is of a ModelService: what only tells one job from another is left out or
made alike. Of pods only those count that hold something: what has ended is the past.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fairlead_api import names
from fairlead_api.conditions import FineTuneJobCondition
from fairlead_chaos import jobways, pictures
from fairlead_chaos.jobways import BASIS, OFF, ON, QUEUED, End
from fairlead_chaos.subject import Picture, Subject
from fairlead_chaos.transitions import Manifest, Way, scratch
from fairlead_operator import kube
from fairlead_operator.finetune import children as workloads

_STATUS: Final = (
    "phase", "reason", "message", "workers", "checkpoint", "preparedDigest", "artifact",
)  # fmt: skip
_OF_STAGE: Final = ("state", "attempt", "failures", "disruptions", "fruitless", "cause", "message")
_COUNTERS: Final = frozenset({"attempt", "failures", "disruptions", "fruitless"})
_POD: Final = re.compile(r"(?<=NAME-)(\w+-a\d+(?:-\d+)?)-[a-z0-9]{5}\b")


def picture(job: Manifest, children: Iterable[Manifest]) -> Picture:
    """The job's spec and status and what it has made, with all names alike."""
    status = job.get("status") or {}
    children = list(children)
    found = {
        "spec": job["spec"],
        "status": {field: status.get(field) for field in _STATUS},
        "conditions": pictures.conditions(status),
        "stages": {
            one["name"]: {field: one.get(field) for field in _OF_STAGE}
            for one in status.get("stages") or []
        },
        "children": {
            f"{one['kind']} {one['metadata']['name']}": _child(one)
            for one in children
            if one["kind"] != kube.POD.kind
        },
        "running": sorted(f"{one['kind']} {_stem(one)}" for one in children if _may_run(one)),
    }
    said = pictures.alike(found, pictures.names_of(job))
    for part in ("status", "conditions", "stages"):
        said[part] = _without_suffixes(said[part])
    return said


def _stem(child: Manifest) -> str:
    """A name without what Kubernetes has completed it by."""
    head = child["metadata"]
    return str(head.get("generateName") or head["name"])


def _may_run(child: Manifest) -> bool:
    if child["kind"] == kube.POD.kind:
        return not workloads.is_finished(child)
    return child["kind"] == kube.JOB.kind and workloads.outcome(child) is None


def _child(child: Manifest) -> Any:
    if child["kind"] == kube.CONFIG_MAP.kind:
        return child["data"][names.RUN_FILE_KEY]  # the trust anchor is the operator's own
    if child["kind"] == kube.JOB.kind:
        spec = child["spec"]
        head = {"suspend": spec.get("suspend", False), "outcome": workloads.outcome(child)}
        return head | {"template": spec["template"]["spec"]}
    return {"selector": child["spec"].get("selector"), "ports": child["spec"].get("ports")}


def _without_suffixes(said: Any) -> Any:
    if isinstance(said, dict):
        return {key: _without_suffixes(one) for key, one in said.items()}
    if isinstance(said, list):
        return [_without_suffixes(one) for one in said]
    return _POD.sub(r"\1-POD", said) if isinstance(said, str) else said


def rests(way: Way, found: Picture) -> bool:
    """Whether a job stands where a way has brought it so far, so that it may be changed."""
    stop = jobways.STOPS[way.context]
    if jobways.possible_ends(way) == {End.SUSPENDED}:
        return _suspended(found)[0] == "True" and not found["running"]
    status = found["status"]
    is_there = (status["phase"], status["reason"]) == (stop.phase, stop.reason)
    return is_there and (way.context != QUEUED or _is_queued(found))


def _is_queued(found: Picture) -> bool:
    children: Manifest = found["children"]
    has_queued = any(key.startswith("Job ") and one["suspend"] for key, one in children.items())
    return has_queued and not any(one.startswith("Pod ") for one in found["running"])


def _suspended(found: Picture) -> list[str]:
    said: Mapping[str, list[str]] = found["conditions"]
    return said.get(FineTuneJobCondition.SUSPENDED, ["absent", "", ""])


def needed(way: Way) -> Iterable[Way]:
    """The jobs with which a way's end is compared."""
    yield scratch(way)
    yield from (_like(end, way) for end in sorted(jobways.possible_ends(way)))


def _like(end: End, way: Way) -> Way:
    """The job that has such an end by itself."""
    if end is End.COMPLETE:
        return BASIS
    return jobways.made(ON if end is End.SUSPENDED else OFF, way.context)


def faults(way: Way, found: Mapping[str, Picture]) -> list[str]:
    """What is wrong with where a way led, by the end that it comes nearest to."""
    made = found[scratch(way).name]
    asked = pictures.differences(made["spec"], found[way.name]["spec"], "/spec")
    ways = (_differences(end, way, found) for end in sorted(jobways.possible_ends(way)))
    return asked + min(ways, key=len)


def _differences(end: End, way: Way, found: Mapping[str, Picture]) -> list[str]:
    """What differs from one kind of end."""
    look = {End.AS_MADE: _whole, End.SUSPENDED: _told, End.COMPLETE: _result}[end]
    wrong = pictures.differences(look(found[_like(end, way).name]), look(found[way.name]))
    suspended = _suspended(found[way.name])
    if end is not End.SUSPENDED and suspended[0] == "True":
        wrong.append(f"it says that it is suspended: {suspended}")
    return wrong


def _whole(end: Picture) -> Manifest:
    """All but the spec, and that it was suspended once."""
    return {key: one for key, one in end.items() if key != "spec"} | {
        "conditions": _but_suspended(end)
    }


def _told(end: Picture) -> Manifest:
    """What a suspended job says of itself, and that nothing of it runs."""
    said = {key: end["status"][key] for key in ("phase", "reason", "message")}
    return said | {"suspended": _suspended(end), "running": end["running"]}


def _result(end: Picture) -> Manifest:
    """What a complete job has done, however often it was begun."""
    stages = {
        name: {key: one for key, one in stage.items() if key not in _COUNTERS}
        for name, stage in end["stages"].items()
    }
    run_file = [one for key, one in end["children"].items() if key.startswith("ConfigMap ")]
    kept = {"status": end["status"], "conditions": _but_suspended(end)}
    return kept | {"stages": stages, "run file": run_file, "running": end["running"]}


def _but_suspended(end: Picture) -> Manifest:
    said: Manifest = end["conditions"]
    return {key: one for key, one in said.items() if key != FineTuneJobCondition.SUSPENDED}


JOBS: Final = Subject(
    kind=kube.FINETUNEJOB,
    children=(kube.JOB, kube.POD, kube.CONFIG_MAP, kube.SERVICE),
    label=names.LABEL_FINETUNEJOB,
    spec=jobways.spec,
    picture=picture,
    rests=rests,
    needed=needed,
    faults=faults,
    stands_first=True,
)
