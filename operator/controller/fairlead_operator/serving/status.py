"""The status of a ModelService: conditions first, the phase from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fairlead_api import conditions, names
from fairlead_api.base import Condition
from fairlead_api.conditions import ModelServiceCondition, Reason
from fairlead_api.modelservice import ModelService, ModelServiceStatus
from fairlead_operator.plan import Manifest, Observed
from fairlead_operator.serving import diagnosis, route
from fairlead_operator.serving.deployment import Health
from fairlead_operator.serving.model import Resolution
from fairlead_operator.serving.options import Options
from fairlead_operator.serving.rollout import Rollout

Verdict = tuple[bool | None, str, str]
"""Status, reason and message of a condition."""


@dataclass(frozen=True)
class Situation:
    """Everything that a status speaks of."""

    service: ModelService
    observed: Observed
    options: Options
    resolution: Resolution
    refusal: str
    """Why the spec can't be rendered; empty where it can."""
    rollout: Rollout
    health: Mapping[str, Health]

    @property
    def stable(self) -> Health:
        """How stable's pods do."""
        return self.health.get(self.rollout.stable, Health())

    def trouble(self, revision: str) -> diagnosis.Trouble | None:
        """What is wrong with a revision's pods."""
        return diagnosis.trouble(self.observed.pods, revision)


def status(situation: Situation, now: datetime) -> Manifest:
    """The whole status that should stand."""
    service, rollout = situation.service, situation.rollout
    found = _conditions(situation, now)
    candidate = rollout.candidate
    return ModelServiceStatus(
        observed_generation=service.metadata.generation,
        conditions=list(found),
        replicas=situation.stable.replicas,
        ready_replicas=situation.stable.ready,
        selector=f"{names.LABEL_MODELSERVICE}={service.metadata.name}",
        url=route.url(service, situation.observed, situation.options) if rollout.stable else "",
        stable=rollout.stable,
        stable_time=rollout.stable_time,
        candidate=candidate.name if candidate else "",
        model=situation.resolution.model or service.status.model,
        phase=_phase(situation, found),
    ).as_object()


def _conditions(situation: Situation, now: datetime) -> tuple[Condition, ...]:
    routed = route.state(situation.service, situation.observed, situation.options)
    verdicts: dict[str, Verdict] = {
        ModelServiceCondition.MODEL_LOADED: _model_loaded(situation),
        ModelServiceCondition.AVAILABLE: _available(situation),
        ModelServiceCondition.PROGRESSING: _progressing(situation),
        ModelServiceCondition.ROUTE_READY: (routed.ready, routed.reason, routed.message),
    }
    ready = _ready(situation, verdicts, routed)
    new = [
        conditions.condition(
            type_,
            verdict[0],
            verdict[1],
            verdict[2],
            now=now,
            generation=situation.service.metadata.generation,
        )
        for type_, verdict in ({ModelServiceCondition.READY: ready} | verdicts).items()
    ]
    # A plan that could be made is the end of the error before it.
    return conditions.merge(
        situation.service.status.conditions, new, drop=(conditions.RECONCILE_ERROR,)
    )


def _ready(
    situation: Situation, verdicts: Mapping[str, Verdict], routed: route.RouteState
) -> Verdict:
    """ModelLoaded, Available and, where asked for, RouteReady; the first that isn't, says why.

    A model that is still being loaded is no fault: what serves until then is ready.
    """
    if situation.refusal:
        return False, Reason.ARGUMENT_REFUSED, situation.refusal
    needed = [verdicts[ModelServiceCondition.AVAILABLE]]
    if verdicts[ModelServiceCondition.MODEL_LOADED][0] is False:
        needed.insert(0, verdicts[ModelServiceCondition.MODEL_LOADED])
    if routed.required:
        needed.append(verdicts[ModelServiceCondition.ROUTE_READY])
    missing = next((verdict for verdict in needed if not verdict[0]), None)
    return missing if missing else verdicts[ModelServiceCondition.AVAILABLE]


def _model_loaded(situation: Situation) -> Verdict:
    resolution = situation.resolution
    if resolution.model is None:
        return False, resolution.reason, resolution.message
    candidate = situation.rollout.candidate
    is_served = candidate is None and bool(situation.stable.ready)
    trouble = situation.trouble(candidate.name if candidate else situation.rollout.stable)
    if trouble is not None and trouble.of_model and not is_served:
        return False, trouble.reason, trouble.message
    if situation.stable.ready:
        return True, Reason.RESOLVED, resolution.message
    if situation.service.spec.replicas == 0:
        return None, Reason.SCALED_TO_ZERO, resolution.message
    return None, Reason.PENDING, f"{resolution.message}: no pod has loaded it yet"


def _available(situation: Situation) -> Verdict:
    wanted, ready = situation.service.spec.replicas, situation.stable.ready
    stable = situation.rollout.stable
    if wanted == 0:
        return False, Reason.SCALED_TO_ZERO, "spec.replicas is 0"
    counted = f"{ready} of {wanted} replicas ready"
    if ready:
        return True, Reason.REPLICAS_READY, f"revision {stable}: {counted}"
    trouble = situation.trouble(stable)
    if trouble is not None:
        return False, trouble.reason, f"revision {stable}: {counted}: {trouble.message}"
    return False, Reason.NO_REPLICAS_READY, f"revision {stable}: {counted}" if stable else counted


def _progressing(situation: Situation) -> Verdict:
    if situation.refusal:
        return False, Reason.ARGUMENT_REFUSED, situation.refusal
    rollout = situation.rollout
    name = rollout.candidate.name if rollout.candidate else rollout.stable
    if not name:
        return False, situation.resolution.reason, situation.resolution.message
    health = situation.health.get(name, Health())
    if rollout.candidate is None and (health.complete or health.proven):
        return False, Reason.ROLLED_OUT, f"revision {name} takes the traffic"
    counted = f"{health.ready} of {situation.service.spec.replicas} replicas ready"
    message = f"revision {name}: {counted}"
    trouble = situation.trouble(name)
    if trouble is not None:
        message = f"{message}: {trouble.message}"
    if rollout.candidate is not None:
        message = f"{message}; revision {rollout.stable} keeps the traffic"
    if trouble is not None and trouble.final:
        return False, trouble.reason, message
    if health.overdue:
        return False, Reason.PROGRESS_DEADLINE_EXCEEDED, message
    return True, Reason.ROLLING_OUT, message


def _phase(situation: Situation, found: tuple[Condition, ...]) -> str:
    """One word for people."""
    is_true = {condition.type for condition in found if condition.status == "True"}
    progressing = ModelServiceCondition.PROGRESSING in is_true
    if ModelServiceCondition.READY in is_true:
        return "RollingOut" if progressing else "Ready"
    if ModelServiceCondition.AVAILABLE in is_true:
        return "Degraded"
    if situation.resolution.reason in (Reason.JOB_NOT_COMPLETE, Reason.JOB_NOT_FOUND):
        return "Waiting"
    if situation.resolution.model is not None and situation.service.spec.replicas == 0:
        return "ScaledToZero"
    return "Loading" if progressing else "Failed"
