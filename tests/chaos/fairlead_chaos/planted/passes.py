"""Bugs in how the operator comes to a pass and through it: events, order, memory, patience.

Each function plants one in this process, as those of ``writes``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Final

from fairlead_api import conditions
from fairlead_api.base import Condition
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import StageStatus
from fairlead_chaos.planted.swap import swap
from fairlead_operator import act, kube
from fairlead_operator import plan as plans
from fairlead_operator import reconcile as reconciling
from fairlead_operator.finetune import children as jobs
from fairlead_operator.finetune import plan as finetune
from fairlead_operator.finetune import stages
from fairlead_operator.intake import Intake
from fairlead_operator.kube import Cluster, Kind
from fairlead_operator.plan import Act, CreateOnce, Manifest
from fairlead_operator.reconcile import Outcome, Reconciler
from fairlead_operator.serving import plan as serving
from fairlead_operator.serving import rollout
from fairlead_operator.serving.deployment import Health
from fairlead_operator.serving.rollout import Rollout
from fairlead_operator.store import Key, Store


def only_events() -> None:
    """A listing wakes only what has no status yet: the rest was handled when it happened."""
    real = Intake.event

    def event(self: Intake, kind: Kind, type_: str | None, manifest: Manifest) -> None:
        if type_ is None and (kind.child or manifest.get("status")):
            self._store.put(kind, manifest)
        else:
            real(self, kind, type_, manifest)

    swap(Intake, event=event, resync=lambda _: None)


def acts_before_status() -> None:
    """The acts are done before the status that licenses them is written."""

    real = Reconciler._write_status

    async def reconcile(self: Reconciler, key: Key) -> Outcome:
        manifest = self._store.get(key.kind, key.namespace, key.name)
        if manifest is None:
            return Outcome.GONE
        planner = self._planners[key.kind]
        resource = planner.read(manifest)
        now = self._now()
        plan = planner.plan(resource, await self._observer.observe(key, resource), now)
        for step in plan.acts:
            await act.carry_out(step, resource.metadata.uid, self._cluster, self._store)
        if plan.status is not None:
            await real(self, key.kind, manifest, reconciling._with_error(plan.status, []))
        if plan.requeue_at is not None:
            self._queue.add_after(key, (plan.requeue_at - now).total_seconds())
        return Outcome.DONE

    swap(Reconciler, reconcile=reconcile)


def status_as_input() -> None:
    """What the status says was begun is taken to have begun: only the licensing pass acts."""
    real = finetune._creations

    def creations(job: FineTuneJob, course: stages.Course, *rest: Any) -> Iterator[Act]:
        begun = {stage.name: stage.attempt for stage in job.status.stages}
        for step in real(job, course, *rest):
            stage = course.current
            is_job = isinstance(step, CreateOnce) and step.manifest["kind"] == "Job"
            if stage and is_job and begun.get(stage.name) == stage.attempt:
                continue
            yield step

    swap(finetune, _creations=creations)


def attempts_in_memory() -> None:
    """Attempts are counted by the process, which begins at one again when it is started anew."""
    counted: Counter[tuple[str, ...]] = Counter()
    planning: list[str] = []
    real_plan, real_license = finetune.plan, stages.license_next

    def plan(job: FineTuneJob, *rest: Any) -> plans.Plan:
        planning[:] = [job.metadata.uid]
        return real_plan(job, *rest)

    def license_next(stage: StageStatus, now: datetime) -> StageStatus:
        mine = (*planning, stage.name)
        counted[mine] += 1
        return real_license(stage, now).model_copy(update={"attempt": counted[mine]})

    swap(finetune, plan=plan)
    swap(stages, license_next=license_next)


def swallow_conflicts() -> None:
    """A conflict means that somebody else was faster, so all is well."""
    _give_up_on(kube.Conflict)


def give_up_when_unavailable() -> None:
    """An API server that asks for patience is not asked again."""
    _give_up_on(kube.Unavailable)


def _give_up_on(error: type[kube.ClusterError]) -> None:
    real = Reconciler.reconcile

    async def reconcile(self: Reconciler, key: Key) -> Outcome:
        try:
            return await real(self, key)
        except error:
            return Outcome.DONE

    swap(Reconciler, reconcile=reconcile)


def forget_own_writes() -> None:
    """The cache knows of own writes only once a watch has told of them."""
    real = act.carry_out

    class Blind:
        """A cache that takes in nothing."""

        def __init__(self, store: Store) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def put(self, *_: Any) -> bool:
            return False

        def drop(self, *_: Any) -> bool:
            return False

    async def carry_out(step: Act, owner_uid: str, cluster: Cluster, store: Store) -> None:
        blind: Any = Blind(store)
        await real(step, owner_uid, cluster, blind)

    swap(act, carry_out=carry_out)


def judge_early() -> None:
    """A Job that has ended is judged by what is known of its pods by then."""
    told = {name: getattr(jobs, name) for name in dir(jobs) if not name.startswith("__")}
    swap(stages, children=SimpleNamespace(**told | {"is_finished": lambda _: True}))


def restless_times() -> None:
    """A condition's transition time is that of the last look, changed or not."""

    def merge(
        old: Sequence[Condition], new: Iterable[Condition], drop: Iterable[str] = ()
    ) -> tuple[Condition, ...]:
        by_type = {one.type: one for one in (*old, *new) if one.type not in tuple(drop)}
        return tuple(by_type.values())

    swap(conditions, merge=merge)


def gate_on_stable() -> None:
    """A new spec waits until the revision that is on its way has arrived."""
    real = rollout.decide

    def decide(service: Any, wanted: Any, known: Any, health: Any) -> Rollout:
        known = list(known)
        ahead = next((one for one in known if one.name == service.status.candidate), None)
        if ahead is not None and not health.get(ahead.name, Health()).complete:
            wanted = ahead
        return real(service, wanted, known, health)

    swap(rollout, decide=decide)


def leak_services() -> None:
    """A revision's Deployment goes when nothing leads to it any more; its Service stays."""
    real = serving._Work.retired

    def retired(self: Any) -> tuple[plans.Delete, ...]:
        return tuple(one for one in real(self) if one.kind != "Service")

    swap(serving._Work, retired=retired)


Planting = Callable[[], None]
ALL: Final[tuple[Planting, ...]] = (
    only_events,
    acts_before_status,
    status_as_input,
    attempts_in_memory,
    swallow_conflicts,
    give_up_when_unavailable,
    forget_own_writes,
    judge_early,
    restless_times,
    gate_on_stable,
    leak_services,
)
