"""What may never happen to a FineTuneJob, and how it stands at rest.

Properties, each judged in the state in which it would break:

- an attempt begins only with the number that the live status licensed, once, and only when no
  Job and no pod of the resource's name may still run;
- a Job that is wanted is never deleted;
- an attempt is counted as what it was: deleted only when it is, a success where it told one;
- the facts in a status only grow: attempts, counts, what succeeded or failed, the artifact;
- at rest the job is Complete, Failed or, where the user asked for it, Suspended, nothing runs
  that shouldn't, and a job that is gone has left nothing behind.

Two things can't be asked for, since Jobs, pods and status are told by watches of their own. Pods
that a lagging watch hadn't told of may still run when the next attempt begins: its number fences
them off. And a Job that somebody deletes before the operator looked at it again is made again
under its number.
"""

from fairlead_api import names
from fairlead_model import training_objects as objects
from fairlead_model.objects import Obj, find, of_kind, with_uid
from fairlead_model.state import BIT, State, Step, Write
from fairlead_model.training_objects import NAME
from fairlead_operator.plan import Manifest


def of_write(before: State, write: Write, after: State, made: Obj | None) -> Step:
    """Judge a write that the API server took, and remember what began."""
    if write.verb == "create" and write.body.kind == "Job":
        assert made is not None
        return _begun(before, after, made)
    if write.verb == "delete":
        return Step((), after, _deleted(before, write))
    if write.verb in ("status", "recover", "failure"):
        return Step((), after, _status_written(before, after))
    return Step((), after)


def of_rest(state: State) -> str:
    """What is wrong with a state of rest: no end, or something that runs or is left over."""
    job = find(state.live, names.FINETUNEJOB, NAME)
    if job is None:
        left = [obj for obj in state.live if not objects.is_foreign(obj)]
        return f"left behind by a job that is gone: {left}" if left else ""
    running = [obj for obj in of_kind(state.live, "Pod") if not objects.pod_ended(obj)]
    if running:
        return f"at rest, but {running} run"
    ends = [end for end in ("Complete", "Failed") if objects.has(job, end)]
    wanted = bool(ends) or (job.manifest["spec"]["suspend"] and objects.has(job, "Suspended"))
    if len(ends) > 1 or not wanted:
        return f"at rest as {job.manifest.get('status', {}).get('phase')}, ends: {ends}"
    return ""


def _begun(before: State, after: State, made: Obj) -> Step:
    """An attempt begins: its number was licensed, is new, and nothing of before runs."""
    stage, number = objects.attempt_of(made)
    place = objects.STAGES.index(stage)
    begun = list(after.facts.begun)
    job = find(before.live, names.FINETUNEJOB, NAME)
    if job is None or job.uid != made.owner:
        return Step((), after)  # made for one that is gone: garbage, which starts nothing
    harm = ""
    licensed = objects.stage_of(job, stage).get("attempt", 0)
    if number != licensed:
        harm = f"{made.name} begins, but the live status licenses attempt {licensed}"
    elif number <= begun[place]:
        harm = f"{made.name} begins, but attempt {begun[place]} of {stage} began before"
    else:
        harm = _still_running(before, made)
    begun[place] = max(begun[place], number)
    return Step((), after._replace(facts=after.facts._replace(begun=tuple(begun))), harm)


def _still_running(before: State, made: Obj) -> str:
    """What may run beside an attempt that begins.

    Pods that a lagging watch hadn't told of can't be waited for: the number must fence them off.
    It doesn't where somebody deleted their Job before the operator had looked at it.
    """
    assert before.doing is not None
    alive = [obj for obj in of_kind(before.live, "Job") if not objects.job_ended(obj)]
    pods = [obj for obj in of_kind(before.live, "Pod") if not objects.pod_ended(obj)]
    if before.doing.blind & BIT["Pod"]:
        pods = [pod for pod in pods if not _is_fenced(before, pod, made)]
    return f"{made.name} begins while {alive + pods} may run" if alive or pods else ""


def _is_fenced(state: State, pod: Obj, made: Obj) -> bool:
    labels = pod.manifest["metadata"]["labels"]
    stage, number = objects.attempt_of(made)
    if labels[names.LABEL_STAGE] != stage:
        return False
    older = int(labels[names.LABEL_ATTEMPT])
    return older < number or (older == number and with_uid(state.live, pod.owner) is None)


def _deleted(before: State, write: Write) -> str:
    """Only what the status gave up, or what ended long ago, may go; and only as it was seen."""
    gone = find(before.live, write.body.kind, write.body.name)
    assert gone is not None
    if gone.uid != write.uid:
        return f"{gone} is deleted, but {write.uid or 'no uid'} was seen"
    job = find(before.live, names.FINETUNEJOB, NAME)
    if job is None or job.uid != gone.owner:
        return ""
    stage, number = objects.attempt_of(gone)
    stands = objects.stage_of(job, stage)
    is_newest = number == stands.get("attempt", 0)
    if is_newest and stands["state"] != "Failed" and stands.get("countedAttempt", 0) < number:
        return f"{gone} is deleted, but its attempt is live"
    return ""


def _status_written(before: State, after: State) -> str:
    """Facts only grow while the resource is the same."""
    old = find(before.live, names.FINETUNEJOB, NAME)
    new = find(after.live, names.FINETUNEJOB, NAME)
    assert old is not None and new is not None
    for stage in objects.STAGES:
        was, stands = objects.stage_of(old, stage), objects.stage_of(new, stage)
        for count in ("attempt", "failures", "disruptions", "countedAttempt"):
            if stands.get(count, 0) < was.get(count, 0):
                return f"{count} of {stage} goes back from {was[count]} to {stands.get(count, 0)}"
        if was.get("state") in ("Succeeded", "Failed") and was != stands:
            return f"{stage} was {was['state']} and now is {stands}"
        if was.get("countedAttempt", 0) < stands.get("countedAttempt", 0):
            harm = _miscounted(before, stage, stands)
            if harm:
                return harm
    for fact in ("artifact", "preparedDigest"):
        was, stands = (obj.manifest.get("status", {}).get(fact) for obj in (old, new))
        if was and was != stands:
            return f"{fact} changes from {was} to {stands}"
    ended = [
        end for end in ("Complete", "Failed") if objects.has(old, end) and not objects.has(new, end)
    ]
    return f"the job was {ended[0]} and is no more" if ended else ""


def _miscounted(before: State, stage: str, stands: Manifest) -> str:
    """An attempt is counted as what it was: gone only when it is, a success where it told one."""
    assert before.doing is not None
    name = names.stage_job_name(NAME, stage, stands["countedAttempt"])
    job = find(before.live, "Job", name)
    is_ours = job is not None and job.owner == before.doing.seen.uid
    if job is None or not is_ours or before.doing.seen.manifest["spec"]["suspend"]:
        return ""
    if stands.get("cause") == "JobDeleted":
        return f"{name} is counted as deleted, but is there"
    told = [
        pod
        for pod in of_kind(before.live, "Pod")
        if pod.owner == job.uid and objects.tells_result(pod)
    ]
    if told and objects.has(job, "Complete") and stands["state"] != "Succeeded":
        return f"{name} is counted as {stands.get('cause')}, but told its success"
    return ""
