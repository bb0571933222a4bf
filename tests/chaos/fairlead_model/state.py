"""One state of the model: the cluster, what the operator believes, what it is about to do.

Data only. Everything is a tuple of references to kept objects, so states compare and hash fast.
"""

from typing import Any, Final, NamedTuple

from fairlead_api import names
from fairlead_model.objects import Obj, Objects, drop, put

KINDS: Final = (
    "FineTuneJob", "ModelService", "Job", "Pod", "ConfigMap", "Service", "Deployment",
    "ControllerRevision", "HTTPRoute",
)  # fmt: skip
BIT: Final = {kind: 1 << place for place, kind in enumerate(KINDS)}


class Write(NamedTuple):
    """One write that the operator is going to send."""

    verb: str
    """``status``, ``create``, ``apply`` or ``delete``; ``failure`` and ``recover`` are statuses
    too: the one that names a failed pass, and the one without that name."""
    body: Obj
    uid: str = ""
    """The precondition; empty where the write has none."""


class Planned(NamedTuple):
    """What ``plan()`` answered."""

    status: Obj | None
    writes: tuple[Write, ...]
    again: bool
    """Whether it asked to be called again at a moment."""


class Pass(NamedTuple):
    """A pass over the resource that is under way; gone when the operator dies."""

    seen: Obj
    """The resource as it was read when the pass began."""
    rest: tuple[Write, ...]
    again: bool
    blind: int
    """Bits of the kinds of which the watch had more to tell when the pass began."""


class State(NamedTuple):
    """A state; two with equal fields have equal futures."""

    live: Objects
    """What the API server holds."""
    cache: Objects
    """What the operator's informer holds."""
    untold: int
    """Bits of the kinds of which the watch has something to deliver."""
    doing: Pass | None
    dirty: bool
    """Whether the resource waits in the workqueue."""
    backoff: bool
    """Whether a pass failed, so that the resource comes into the workqueue a little later."""
    timer: bool
    """Whether the plan asked for the resource at a later moment."""
    facts: Any
    """What else is true: claims, gateways, and the memory of what must not happen twice."""
    left: int
    """Disturbances that may still happen."""


class Step(NamedTuple):
    """One event and the state after it."""

    label: tuple[str, ...]
    state: State
    harm: str = ""
    """The property that it breaks, in words; empty where all is well."""


def is_watched(obj: Obj) -> bool:
    """Whether the operator's selectors let a watch tell of the object."""
    if obj.kind in (names.FINETUNEJOB, names.MODELSERVICE):
        return True
    labels = obj.manifest["metadata"].get("labels") or {}
    return bool(labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY)


def store(state: State, obj: Obj) -> State:
    """The state after the API server has kept an object; a watch may have to tell of it."""
    told = BIT[obj.kind] if is_watched(obj) else 0
    return state._replace(live=put(state.live, obj), untold=state.untold | told)


def remove(state: State, obj: Obj) -> State:
    """The state after an object is gone; a watch may have to tell of it."""
    told = BIT[obj.kind] if is_watched(obj) else 0
    return state._replace(live=drop(state.live, obj), untold=state.untold | told)


def used_uids(state: State) -> set[str]:
    """Every uid that somebody still holds or refers to."""
    found = {obj.uid for obj in state.live} | {obj.uid for obj in state.cache}
    found |= {obj.owner for obj in state.live} | {obj.owner for obj in state.cache}
    if state.doing is not None:
        found |= {write.uid for write in state.doing.rest}
    return found
