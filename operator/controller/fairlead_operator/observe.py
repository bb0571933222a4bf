"""Gathers what a planner may see of one resource.

Children come from the cache; pods whose Job has told of their end before they did are read live,
since their words are its result. What we don't watch (claims, datasets' ConfigMaps, Gateways) is
read live, briefly remembered, and only while the resource still waits for something. May read
the API server, never write.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fairlead_api import conditions, names, uris
from fairlead_api.base import Resource
from fairlead_api.conditions import FineTuneJobCondition
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService
from fairlead_operator import kube, plan
from fairlead_operator.kube import Cluster, Kind
from fairlead_operator.plan import Manifest, Observed
from fairlead_operator.store import Key, Store

REMEMBER_SECONDS: Final = 20.0
REMEMBER_API_SECONDS: Final = 10.0
_LABEL_JOB_UID: Final = "batch.kubernetes.io/controller-uid"  # put on pods by Kubernetes
_MOST_REMEMBERED: Final = 10_000

AnswerT = TypeVar("AnswerT")


@dataclass
class _Remembered:
    answer: Any
    until: float


class Observer:
    """Looks at one resource's children and neighbours."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        clock: Callable[[], float],
        default_gateway: tuple[str, str] | None = None,
    ) -> None:
        self._cluster, self._store, self._clock = cluster, store, clock
        self._default_gateway = default_gateway
        self._remembered: dict[tuple[object, ...], _Remembered] = {}

    async def observe(self, key: Key, resource: Resource) -> Observed:
        """Everything that the planner of this resource's kind may read."""
        if isinstance(resource, FineTuneJob):
            return await self._of_job(key, resource)
        if isinstance(resource, ModelService):
            return await self._of_service(key, resource)
        raise TypeError(f"no observation is defined for {type(resource).__name__}")

    async def serves_gateway_api(self) -> bool:
        """Whether HTTPRoutes can be made; asked anew every ten seconds."""

        async def ask() -> bool:
            return await self._cluster.serves(kube.HTTP_ROUTE)

        return await self._recall(("serves",), ask, REMEMBER_API_SECONDS)

    async def notice_gateway_api(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` each time the Gateway API comes or goes, for ever."""
        known: bool | None = None
        served: bool | None
        while True:
            try:
                served = await self.serves_gateway_api()
            except kube.ClusterError:
                served = known  # the next look may tell
            if known is not None and served != known:
                changed()
            known = served
            await asyncio.sleep(REMEMBER_API_SECONDS)

    async def _of_job(self, key: Key, job: FineTuneJob) -> Observed:
        ended = any(
            conditions.is_true(job.status.conditions, end)
            for end in (FineTuneJobCondition.COMPLETE, FineTuneJobCondition.FAILED)
        )
        claims = {} if ended else await self._claims(key.namespace, set(_claims_of_job(job)))
        maps = set() if ended else set(_config_maps_of(job))
        await self._catch_up(key, job)
        jobs = self._store.children(key, kube.JOB)
        config_maps = self._store.children(key, kube.CONFIG_MAP)
        services = self._store.children(key, kube.SERVICE)
        needed = jobs + config_maps + (services if job.spec.spans_nodes else ())
        return Observed(
            jobs=_owned(jobs, job),
            pods=self._store.children(key, kube.POD),
            config_maps=_owned(config_maps, job),
            services=_owned(services, job),
            leftovers=() if ended else tuple(_leftovers(needed, job)),
            claims=claims,
            foreign_config_maps={name: await self._has_map(key.namespace, name) for name in maps},
        )

    async def _of_service(self, key: Key, service: ModelService) -> Observed:
        reference = service.spec.model.fine_tune_job_ref
        job = None
        if reference is not None:
            job = self._store.get(kube.FINETUNEJOB, key.namespace, reference.name)
        has_gateway_api = await self.serves_gateway_api()
        revisions = await self._revisions(key, service)
        return Observed(
            pods=self._store.children(key, kube.POD),
            config_maps=self._owned(key, kube.CONFIG_MAP, service),
            services=self._owned(key, kube.SERVICE, service),
            deployments=self._owned(key, kube.DEPLOYMENT, service),
            revisions=revisions,
            # Also while their API isn't served: gateways go on with what they know.
            routes=self._owned(key, kube.HTTP_ROUTE, service),
            claims=await self._claims(key.namespace, set(_claims_of_service(service, job))),
            fine_tune_job=job,
            has_gateway_api=has_gateway_api,
            gateways=await self._gateways(service) if has_gateway_api else {},
        )

    async def _catch_up(self, key: Key, job: FineTuneJob) -> None:
        """Read what an attempt is about to be counted by, where the watches lag."""
        uncounted = {
            names.stage_job_name(job.metadata.name, stage.name, stage.attempt): stage
            for stage in job.status.stages
            if stage.attempt > stage.counted_attempt
        }
        if not uncounted:
            return
        for name, stage in uncounted.items():
            child = self._attempt(key, name, job)
            if child is None and stage.state == "Running":
                with suppress(kube.NotFound):  # so it was deleted
                    self._store.put(
                        kube.JOB, await self._cluster.get(kube.JOB, key.namespace, name)
                    )
                # Not the answer: the watch may have told of a later one meanwhile.
                child = self._attempt(key, name, job)
            if child is not None:
                await self._catch_up_pods(key, child)

    def _attempt(self, key: Key, name: str, job: FineTuneJob) -> Manifest | None:
        """A Job as last seen, where this very resource made it."""
        child = self._store.get(kube.JOB, key.namespace, name)
        return child if child is not None and plan.owned_by(child, job.metadata.uid) else None

    async def _catch_up_pods(self, key: Key, child: Manifest) -> None:
        """Read the pods of a Job of which fewer were seen than it says have ended."""
        uid, status = kube.metadata(child)["uid"], child.get("status") or {}
        num_ended = status.get("succeeded", 0) + status.get("failed", 0)
        if num_ended:
            pods = self._store.children(key, kube.POD)
            if sum(plan.owned_by(pod, uid) for pod in pods) < num_ended:
                await self._read_owned(kube.POD, key.namespace, {_LABEL_JOB_UID: uid}, uid)

    async def _revisions(self, key: Key, service: ModelService) -> tuple[Manifest, ...]:
        """The revisions; read where the watches lag behind the status, which names one unseen.

        Without it what is asked for would be rendered anew, which restarts pods where the operator
        or its images have changed. All of them: the next one is numbered after the newest.
        """
        head, status = service.metadata, service.status
        used = (revision for revision in (status.stable, status.candidate) if revision)
        found = self._owned(key, kube.REVISION, service)
        seen = {kube.metadata(revision)["name"] for revision in found}
        if {names.revision_name(head.name, revision) for revision in used} <= seen:
            return found
        of_service = {names.LABEL_MODELSERVICE: head.name}
        await self._read_owned(kube.REVISION, key.namespace, of_service, head.uid)
        return self._owned(key, kube.REVISION, service)

    async def _read_owned(
        self, kind: Kind, namespace: str, labels: dict[str, str], owner_uid: str
    ) -> None:
        """Read an owner's children: those alone, for many owners may fall behind at once."""
        for found in await self._cluster.list_heads(kind, namespace, labels):
            name = kube.metadata(found)["name"]
            is_held = self._store.version(kind, namespace, name) >= kube.version(found) > 0
            if plan.owned_by(found, owner_uid) and not is_held:
                with suppress(kube.NotFound):  # gone meanwhile
                    self._store.put(kind, await self._cluster.get(kind, namespace, name))

    def _owned(self, key: Key, kind: Kind, resource: Resource) -> tuple[Manifest, ...]:
        """Children whose controller is this very resource, not one before it of the same name."""
        return _owned(self._store.children(key, kind), resource)

    async def _claims(self, namespace: str, named: set[str]) -> dict[str, Manifest | None]:
        return {name: await self._read(kube.CLAIM, namespace, name) for name in sorted(named)}

    async def _gateways(self, service: ModelService) -> dict[str, Manifest | None]:
        references = service.spec.gateway_refs
        own = service.metadata.namespace
        if references is None:
            places = [self._default_gateway] if self._default_gateway else []
        else:
            places = [(reference.namespace or own, reference.name) for reference in references]
        return {
            f"{namespace}/{name}": await self._read(kube.GATEWAY, namespace, name)
            for namespace, name in places
        }

    async def _has_map(self, namespace: str, name: str) -> bool:
        async def ask() -> bool:
            return await self._cluster.exists(kube.CONFIG_MAP, namespace, name)

        return await self._recall((kube.CONFIG_MAP, namespace, name), ask)

    async def _read(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        async def ask() -> Manifest | None:
            try:
                return await self._cluster.get(kind, namespace, name)
            except kube.NotFound:
                return None

        return await self._recall((kind, namespace, name), ask)

    async def _recall(
        self,
        question: tuple[object, ...],
        ask: Callable[[], Awaitable[AnswerT]],
        seconds: float = REMEMBER_SECONDS,
    ) -> AnswerT:
        now = self._clock()
        held = self._remembered.get(question)
        if held is None or held.until <= now:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            held = _Remembered(await ask(), now + seconds)
            self._remembered[question] = held
        answer: AnswerT = held.answer
        return answer


def _owned(children: tuple[Manifest, ...], resource: Resource) -> tuple[Manifest, ...]:
    return tuple(child for child in children if plan.owned_by(child, resource.metadata.uid))


def _leftovers(children: tuple[Manifest, ...], job: FineTuneJob) -> Iterator[Manifest]:
    """What bears a name that this job may need, made by the one before it of its name."""
    head = job.metadata
    for child in children:
        if plan.is_leftover(child, kube.FINETUNEJOB.kind, head.name, head.uid):
            yield child


def _claims_of_job(job: FineTuneJob) -> Iterator[str]:
    spec = job.spec
    yield spec.storage.claim_name
    yield uris.parse(spec.model.uri).claim
    for dataset in spec.datasets:
        if dataset.uri is not None:
            yield uris.parse(dataset.uri).claim


def _config_maps_of(job: FineTuneJob) -> Iterator[str]:
    for dataset in job.spec.datasets:
        if dataset.config_map_ref is not None:
            yield dataset.config_map_ref.name


def _claims_of_service(service: ModelService, job: Manifest | None) -> Iterator[str]:
    """Claims of the model asked for, of the one that is pinned and of the one to pin next."""
    pinned = service.status.model
    artifact = ((job or {}).get("status") or {}).get("artifact") or {}
    for uri in (service.spec.model.uri, pinned.uri if pinned else None, artifact.get("uri")):
        with suppress(uris.UriError):  # of a job that another version wrote: the planner says so
            yield uris.parse(uri or "").claim
