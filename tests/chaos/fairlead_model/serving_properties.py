"""What may never happen to a ModelService, and how it stands at rest.

Of a plan, where no watch lags and so the operator could know: what takes traffic, by the Service,
the route or the gateway's own doing, is not deleted; traffic leaves a revision that answers only
for one whose replicas all do; a spec that can be rendered is always taken up, so its revision is
stable or the candidate. Of each write: a child is deleted only as it was seen, traffic moves only
to what the live status licensed, a pinned model stays until the user or a new job of that name
replaces it. At rest one revision serves, the one that the spec asks for, and nothing of any other
is left.
"""

import json
from typing import Final

from fairlead_api import names
from fairlead_model import serving_objects as objects
from fairlead_model.objects import Obj, Objects, find, of_kind
from fairlead_model.serving_objects import NAME
from fairlead_model.state import BIT, Planned, State, Write
from fairlead_operator.plan import Manifest
from fairlead_operator.serving import route as routes

_TRAFFIC: Final = BIT["Service"] | BIT["HTTPRoute"] | BIT["Deployment"]


def of_plan(state: State, seen: Obj, answer: Planned) -> str:
    """What is wrong with a plan, where the operator could know."""
    if answer.status is None:
        return ""
    status = answer.status.manifest["status"]
    harm = _moves_the_pin(state, seen, status)
    if harm or state.untold & _TRAFFIC:
        return harm
    return (
        _deletes_traffic(state, seen, answer)
        or _moves_too_early(state, seen, status)
        or _waits_for_nothing(state, seen, status, answer)
    )


def of_write(before: State, write: Write, after: State) -> str:
    """What is wrong with a write that the API server took."""
    if write.verb == "delete":
        gone = find(before.live, write.body.kind, write.body.name)
        if gone is not None and gone.uid != write.uid:
            return f"{gone} is deleted, but {write.uid or 'no uid'} was seen"
        return ""
    if write.verb in ("status", "recover", "failure"):
        return _status_written(before, after)
    if write.body.kind in ("Service", "HTTPRoute") and write.body.name == NAME:
        return _traffic_moved(after, write.body)
    return ""


def of_rest(state: State) -> str:
    """What is wrong with a state of rest: not the revision that the spec asks for, or not alone."""
    service = find(state.live, names.MODELSERVICE, NAME)
    if service is None:
        left = [obj for obj in state.live if obj.kind != names.FINETUNEJOB]
        return f"left behind by a service that is gone: {left}" if left else ""
    status, spec = service.manifest.get("status", {}), service.manifest["spec"]
    if "extraArgs" in spec["engine"]:
        return "" if _reason(service, "Progressing") == "ArgumentRefused" else "not refused"
    if _reason(service, "ModelLoaded") in ("FineTuneJobNotFound", "FineTuneJobFailed"):
        return ""
    stable = status.get("stable", "")
    harm = _not_alone(state, stable, has_route=spec.get("gatewayRefs") != [])
    if harm or status.get("candidate"):
        return harm or f"at rest with a candidate: {status}"
    record = find(state.live, "ControllerRevision", names.revision_name(NAME, stable))
    if record is None or not _renders(record.manifest, spec):
        return f"at rest with {stable}, which is not what the spec asks for: {record}"
    ready = "ScaledToZero" if spec["replicas"] == 0 else "ReplicasReady"
    if _reason(service, "Ready") != ready:
        return f"at rest, but Ready is {_reason(service, 'Ready')}"
    return ""


# --- of plans --------------------------------------------------------------------------------
def _deletes_traffic(state: State, seen: Obj, answer: Planned) -> str:
    own = tuple(obj for obj in state.live if obj.owner == seen.uid)
    taken, route = {_selected(own)}, find(state.live, "HTTPRoute", NAME)
    if state.facts.gateway and (route is None or route.owner == seen.uid):
        taken.add(state.facts.led)
        if route is not None and state.facts.accepts:
            taken.add(routes.backend(route.manifest))
    for write in answer.writes:
        is_server = write.verb == "delete" and write.body.kind in ("Deployment", "Service")
        if is_server and write.body.name in taken:
            return f"the plan deletes {write.body}, to which traffic goes"
    return ""


def _moves_the_pin(state: State, seen: Obj, status: Manifest) -> str:
    """A pinned model stays unless the user names another or its job was made and ended anew."""
    pinned, pin = seen.manifest.get("status", {}).get("model"), status.get("model")
    if not pinned or not pinned.get("fineTuneJob") or pinned == pin:
        return ""
    if "fineTuneJobRef" not in seen.manifest["spec"]["model"]:
        return ""
    job = find(state.cache, names.FINETUNEJOB, objects.JOB)
    if pin is None or job is None or job.uid != pin["fineTuneJobUid"]:
        return f"the pin moves from {pinned} to {pin}, and no new job was seen"
    return ""


def _moves_too_early(state: State, seen: Obj, status: Manifest) -> str:
    before, after = seen.manifest.get("status", {}).get("stable", ""), status.get("stable", "")
    old = find(state.live, "Deployment", names.revision_name(NAME, before))
    if before == after or old is None or old.owner != seen.uid:
        return ""  # what an earlier service of this name has left answers for nobody
    if not objects.status_of(old).get("readyReplicas"):
        return ""
    new = find(state.live, "Deployment", names.revision_name(NAME, after))
    wanted = seen.manifest["spec"]["replicas"]
    num_there = objects.status_of(new).get("availableReplicas", 0) if new is not None else 0
    if num_there < wanted:
        return f"traffic goes from {before}, which answers, to {after} with {num_there}/{wanted}"
    return ""


def _waits_for_nothing(state: State, seen: Obj, status: Manifest, answer: Planned) -> str:
    """Whether a spec that can be rendered is not taken up: its revision must be under way."""
    spec = seen.manifest["spec"]
    if "extraArgs" in spec["engine"] or not state.facts.believed:
        return ""
    pin = status.get("model") or {}
    if "uri" not in spec["model"] and pin.get("fineTuneJob") != objects.JOB:
        return ""  # the job has nothing to serve yet
    name = names.revision_name(NAME, status.get("candidate") or status.get("stable", ""))
    written = [w.body for w in answer.writes if w.body.kind == "ControllerRevision"]
    record = find((*written, *state.cache), "ControllerRevision", name)
    if record is None:
        return "" if status.get("stable") else "no revision is under way"
    if not _renders(record.manifest, spec):
        return f"{name} is under way, which is not what the spec asks for"
    return ""


# --- of writes -------------------------------------------------------------------------------
def _traffic_moved(after: State, body: Obj) -> str:
    """The live status licenses where traffic goes before it goes there."""
    service = find(after.live, names.MODELSERVICE, NAME)
    if service is None or service.uid != body.owner:
        return ""  # written for one that is gone: garbage
    licensed = names.revision_name(NAME, service.manifest.get("status", {}).get("stable", ""))
    leads = _selected((body,)) if body.kind == "Service" else routes.backend(body.manifest)
    return "" if leads == licensed else f"{body} leads to {leads}, licensed is {licensed}"


def _status_written(before: State, after: State) -> str:
    old = find(before.live, names.MODELSERVICE, NAME)
    new = find(after.live, names.MODELSERVICE, NAME)
    assert old is not None and new is not None
    was, now = old.manifest.get("status", {}), new.manifest.get("status", {})
    if was.get("stable") and not now.get("stable"):
        return f"stable was {was['stable']} and is forgotten"
    if was.get("stableTime") and not now.get("stableTime") and was["stable"] == now["stable"]:
        return "stableTime is forgotten"
    pinned, pin = was.get("model"), now.get("model")
    if pinned and not pin:
        return f"the pinned {pinned} is forgotten"
    return ""


# --- at rest ---------------------------------------------------------------------------------
def _not_alone(state: State, stable: str, has_route: bool) -> str:
    """What is there beside stable's own objects, or missing."""
    name = names.revision_name(NAME, stable)
    expected = {("Deployment", name), ("Service", name), ("Service", NAME)}
    expected |= {("HTTPRoute", NAME)} if has_route else set()
    found = {obj.key for obj in of_kind(state.live, "Deployment", "Service", "HTTPRoute")}
    if found != expected:
        return f"at rest with {sorted(found ^ expected)} missing or left over; stable: {stable}"
    leads = {_selected(state.live), state.facts.led} if has_route else {_selected(state.live)}
    if leads != {name}:
        return f"at rest, traffic leads to {leads} instead of {name}"
    records = of_kind(state.live, "ControllerRevision")
    return f"{len(records)} ControllerRevisions are kept" if len(records) > 4 else ""


def _selected(live: Objects) -> str:
    """The revision's Service whose pods Service ``<name>`` selects."""
    service = find(live, "Service", NAME)
    selector = service.manifest["spec"].get("selector", {}) if service else {}
    return names.revision_name(NAME, selector.get(names.LABEL_REVISION, ""))


def _renders(record: Manifest, spec: Manifest) -> bool:
    """Whether a ControllerRevision serves the engine and the model of a spec."""
    environment = record["data"]["template"]["spec"]["containers"][0]["env"]
    value = next(each["value"] for each in environment if each["name"] == names.ENV_SERVE_FILE)
    told = json.loads(value)
    length = spec["engine"].get("maxModelLen")
    wanted = {"max-model-len": str(length)} if length else {}
    engine = told["engineArgs"]
    same = {key: engine[key] for key in ("max-model-len",) if key in engine} == wanted
    uri = spec["model"].get("uri")
    return same and (told["modelUri"] == uri if uri else objects.JOB in told["modelUri"])


def _reason(service: Obj, type_: str) -> str:
    found = service.manifest.get("status", {}).get("conditions") or []
    return next((str(each["reason"]) for each in found if each["type"] == type_), "")
