"""Plan a ModelService: from its spec and what is seen to its status and its children.

Pure; ``reconcile`` observes before and applies after. Read ``plan`` from top to bottom.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fairlead_api import names
from fairlead_api.conditions import Reason
from fairlead_api.modelservice import ModelService
from fairlead_operator.plan import (
    LOOK_AGAIN,
    Act,
    Apply,
    CreateOnce,
    Delete,
    Manifest,
    Observed,
    Plan,
    Seen,
    owned_by,
)
from fairlead_operator.serving import (
    arguments,
    children,
    deployment,
    model,
    route,
    standing,
    status,
)
from fairlead_operator.serving import revision as revisions
from fairlead_operator.serving import rollout as rollouts
from fairlead_operator.serving import service as services
from fairlead_operator.serving.options import Options
from fairlead_operator.serving.revision import Revision
from fairlead_operator.serving.rollout import Rollout


def plan(service: ModelService, observed: Observed, now: datetime, options: Options) -> Plan:
    """Decide what to do for one ModelService now."""
    if service.metadata.deletion_timestamp is not None:
        return Plan()  # garbage collection does the rest
    observed = _own(service, observed)
    known = {found.name: found for found in map(revisions.read, observed.revisions)}
    health = {
        children.revision_of(found): deployment.health(found, service.spec.replicas)
        for found in observed.deployments
    }
    newest_first = sorted(known.values(), key=lambda found: -found.number)
    resolution = model.resolve(service, observed, [found.model for found in newest_first])
    unproven = {name for name, found in health.items() if not found.proven}
    wanted, refusal = _wanted(service, resolution, known, unproven, options)
    rollout = rollouts.decide(service, wanted, known.values(), health)
    has_switched = _has_switched(service, observed, options, rollout.stable)
    if has_switched and rollout.stable_time is None:
        rollout = replace(rollout, stable_time=now)
    if wanted is not None:
        known.setdefault(wanted.name, wanted)
    situation = status.Situation(service, observed, options, resolution, refusal, rollout, health)
    work = _Work(service, observed, options, rollout, has_switched, known)
    return Plan(
        status=status.status(situation, now),
        acts=(*work.serve(), *work.route(), *work.retire(now), *work.forget()),
        requeue_at=_look_again(work, resolution, now),
    )


def _look_again(work: "_Work", resolution: model.Resolution, now: datetime) -> datetime | None:
    """When to plan again though nothing is seen to change."""
    waits = []
    retire_at = work.retire_at()
    if work.retired() and retire_at and now < retire_at:
        waits.append(retire_at)
    is_missed = None in work.observed.gateways.values()
    is_silent = work.observed.has_gateway_api and not all(
        route.is_taken_in(found, work.observed) for found in work.observed.routes
    )
    if is_missed or is_silent or resolution.reason == Reason.CLAIM_NOT_FOUND:
        waits.append(now + LOOK_AGAIN)  # neither claims nor Gateways are watched
    return min(waits, default=None)


def _own(service: ModelService, observed: Observed) -> Observed:
    """Leave out children that belong to somebody else, whatever their labels say."""

    def own(found: tuple[Manifest, ...]) -> tuple[Manifest, ...]:
        return tuple(each for each in found if owned_by(each, service.metadata.uid))

    return replace(
        observed,
        services=own(observed.services),
        deployments=own(observed.deployments),
        revisions=own(observed.revisions),
        routes=own(observed.routes),
    )


def _wanted(
    service: ModelService,
    resolution: model.Resolution,
    known: Mapping[str, Revision],
    unproven: Set[str],
    options: Options,
) -> tuple[Revision | None, str]:
    """The revision that the spec asks for, or why it can't be rendered."""
    try:
        # Also where the model isn't known yet: a refused key is told at once.
        arguments.engine_arguments(service.spec, options.allowed_arguments)
        if resolution.model is None:
            return None, ""
        found = revisions.wanted(service, resolution.model, known.values(), unproven, options)
        return found, ""
    except arguments.ArgumentRefused as refused:
        return None, str(refused)


def _has_switched(service: ModelService, observed: Observed, options: Options, stable: str) -> bool:
    """Whether Service and route were seen to lead to stable, by the gateways' own word."""
    name = service.metadata.name
    selected = services.selected_revision(children.by_name(observed.services, name))
    if not stable or selected != stable:
        return False
    routed = children.by_name(observed.routes, name)
    if routed is None:
        return not _is_routed(service, observed, options, stable)
    # A route that we can't or mustn't change still leads where it leads.
    leads = route.backend(routed) == names.revision_name(name, stable)
    return leads and route.is_taken_in(routed, observed)


def _is_routed(service: ModelService, observed: Observed, options: Options, stable: str) -> bool:
    """Whether there is to be a route."""
    wants = bool(route.gateway_refs(service, options))
    return wants and observed.has_gateway_api and bool(stable)


@dataclass(frozen=True)
class _Work:
    """The acts of one plan."""

    service: ModelService
    observed: Observed
    options: Options
    rollout: Rollout
    has_switched: bool
    """Whether traffic goes to stable only."""
    known: Mapping[str, Revision]

    def in_use(self) -> tuple[str, ...]:
        """Revisions that have pods to stay."""
        candidate = self.rollout.candidate
        found = (self.rollout.stable, candidate.name if candidate else "")
        return tuple(name for name in found if name)

    def serve(self) -> Iterator[Act]:
        """Revisions in use, each with its pods and its Service; then the stable Service."""
        for name in self.in_use():
            found = self.known.get(name)
            if found is None:
                continue  # its record is gone: its Deployment stays as it is
            if not found.uid:
                yield CreateOnce(revisions.controller_revision(self.service, found))
            yield from self._apply(
                deployment.deployment(self.service, found, self.options),
                self.observed.deployments,
            )
            yield from self._apply(
                services.revision_service(self.service, name), self.observed.services
            )
        if self.rollout.stable:
            yield from self._apply(
                services.stable_service(self.service, self.rollout.stable), self.observed.services
            )

    def route(self) -> Iterator[Act]:
        """The route, where there are gateways for it."""
        if not self.observed.has_gateway_api:
            return
        if _is_routed(self.service, self.observed, self.options, self.rollout.stable):
            manifest = route.route(self.service, self.rollout.stable, self.options)
            yield from self._apply(manifest, self.observed.routes)
        elif not route.gateway_refs(self.service, self.options):
            for found in self.observed.routes:
                yield _delete(found, route.API_VERSION, route.KIND)

    def retire(self, now: datetime) -> Iterator[Act]:
        """Revisions that nothing leads to any more, a little after the traffic left them."""
        retire_at = self.retire_at()
        if retire_at is not None and now >= retire_at:
            yield from self.retired()

    def retired(self) -> tuple[Delete, ...]:
        """Deployments and Services of revisions that are not in use."""
        in_use = self.in_use()
        stable_service = self.service.metadata.name
        return (
            *(
                _delete(found, "apps/v1", "Deployment")
                for found in self.observed.deployments
                if children.revision_of(found) not in in_use
            ),
            *(
                _delete(found, "v1", "Service")
                for found in self.observed.services
                if found["metadata"]["name"] != stable_service
                and children.revision_of(found) not in in_use
            ),
        )

    def retire_at(self) -> datetime | None:
        """When what served before stable may go; None while traffic may still go there."""
        since = self.rollout.stable_time
        if since is None or not self.has_switched:
            return None
        return since + timedelta(seconds=self.options.retire_seconds)

    def forget(self) -> Iterator[Act]:
        """ControllerRevisions beyond those kept for a rollback."""
        still = {*self.in_use(), *map(children.revision_of, self.observed.deployments)}
        unused = [
            found
            for found in sorted(self.observed.revisions, key=lambda each: -int(each["revision"]))
            if children.revision_of(found) not in still
        ]
        for found in unused[self.options.kept_revisions :]:
            yield _delete(found, "apps/v1", "ControllerRevision")

    def _apply(self, manifest: Manifest, seen: tuple[Manifest, ...]) -> Iterator[Apply]:
        """Apply a child unless it stands: a quiet service costs no call."""
        found = children.by_name(seen, manifest["metadata"]["name"])
        manifest = standing.stamped(manifest)
        if not standing.stands(manifest, found):
            yield Apply(manifest, None if found is None else Seen.of(found))


def _delete(manifest: Manifest, api_version: str, kind: str) -> Delete:
    metadata = manifest["metadata"]
    seen = Seen.of(manifest)
    return Delete(api_version, kind, metadata["namespace"], metadata["name"], seen)
