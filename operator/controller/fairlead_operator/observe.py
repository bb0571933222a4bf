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
        return Observed(
            jobs=self._owned(key, kube.JOB, job),
            pods=self._store.children(key, kube.POD),
            config_maps=self._owned(key, kube.CONFIG_MAP, job),
            services=self._owned(key, kube.SERVICE, job),
            leftovers=() if ended else tuple(self._leftovers(key, job)),
            claims=claims,
            foreign_config_maps={name: await self._has_map(key.namespace, name) for name in maps},
        )

    async def _of_service(self, key: Key, service: ModelService) -> Observed:
        reference = service.spec.model.fine_tune_job_ref
        job = None
        if reference is not None:
            job = self._store.get(kube.FINETUNEJOB, key.namespace, reference.name)
        has_gateway_api = await self.serves_gateway_api()
        await self._catch_up_revisions(key, service)
        return Observed(
            pods=self._store.children(key, kube.POD),
            config_maps=self._owned(key, kube.CONFIG_MAP, service),
            services=self._owned(key, kube.SERVICE, service),
            deployments=self._owned(key, kube.DEPLOYMENT, service),
            revisions=self._owned(key, kube.REVISION, service),
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
        place = key.namespace
        seen = {kube.metadata(child)["name"] for child in self._owned(key, kube.JOB, job)}
        for name, stage in uncounted.items():
            if stage.state == "Running" and name not in seen:
                with suppress(kube.NotFound):  # so it was deleted
                    self._store.put(kube.JOB, await self._cluster.get(kube.JOB, place, name))
        for child in self._owned(key, kube.JOB, job):
            head, status = kube.metadata(child), child.get("status") or {}
            num_ended = status.get("succeeded", 0) + status.get("failed", 0)
            if not num_ended or head["name"] not in uncounted:
                continue
            pods = self._store.children(key, kube.POD)
            if sum(plan.owned_by(pod, head["uid"]) for pod in pods) < num_ended:
                await self._read_pods(key.namespace, head["uid"])

    async def _catch_up_revisions(self, key: Key, service: ModelService) -> None:
        """Read the revisions that the status names, where the watches lag.

        Without them what is asked for would be rendered anew, which restarts pods where the
        operator or its images have changed, and be numbered before them.
        """
        head, status = service.metadata, service.status
        used = (revision for revision in (status.stable, status.candidate) if revision)
        seen = {kube.metadata(c)["name"] for c in self._owned(key, kube.REVISION, service)}
        for name in {names.revision_name(head.name, revision) for revision in used} - seen:
            with suppress(kube.NotFound):
                live = await self._cluster.get(kube.REVISION, key.namespace, name)
                self._store.put(kube.REVISION, live)

    async def _read_pods(self, namespace: str, owner_uid: str) -> None:
        """Read a Job's pods: those alone, for many jobs may fall behind at once."""
        of_job = {_LABEL_JOB_UID: owner_uid}
        for found in await self._cluster.list_heads(kube.POD, namespace, of_job):
            if plan.owned_by(found, owner_uid):
                with suppress(kube.NotFound):  # gone meanwhile
                    name = kube.metadata(found)["name"]
                    self._store.put(kube.POD, await self._cluster.get(kube.POD, namespace, name))

    def _owned(self, key: Key, kind: Kind, resource: Resource) -> tuple[Manifest, ...]:
        """Children whose controller is this very resource, not one before it of the same name."""
        uid = resource.metadata.uid
        return tuple(c for c in self._store.children(key, kind) if plan.owned_by(c, uid))

    def _leftovers(self, key: Key, job: FineTuneJob) -> Iterator[Manifest]:
        """What bears a name that this job may need, made by the one before it of its name."""
        head = job.metadata
        for kind in (kube.JOB, kube.CONFIG_MAP, kube.SERVICE):
            for child in self._store.children(key, kind):
                if plan.is_leftover(child, key.kind.kind, head.name, head.uid):
                    yield child

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
