"""Tells which pod a report comes from, and turns away all that are not of the job named.

A projected token made for our audience names its pod; TokenReview vouches for it, and the pod's
own labels say whose it is. May read pods and ask for TokenReviews, nothing else.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from fairlead_api import names
from fairlead_operator import kube
from fairlead_operator.kube import Cluster
from fairlead_operator.plan import Manifest
from fairlead_operator.store import Store

REMEMBER_SECONDS: Final = 60.0
POD_NAME: Final = "authentication.kubernetes.io/pod-name"
POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_MOST_REMEMBERED: Final = 10_000
_MOST_REVIEWS: Final = 8
"""TokenReviews at a time, so that made-up tokens can't flood the API server."""


@dataclass
class _Caller:
    namespace: str
    pod: str
    uid: str
    until: float


class Doorkeeper:
    """Tells which pod a token belongs to, by TokenReview; remembers the answer for a minute."""

    def __init__(
        self, cluster: Cluster, store: Store, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster, self._store, self._clock = cluster, store, clock
        self._callers: OrderedDict[bytes, _Caller] = OrderedDict()
        self._reviews = asyncio.Semaphore(_MOST_REVIEWS)

    async def admit(self, request: web.Request, namespace: str, job: str) -> None:
        """Raise 401 or 403 unless the caller is a pod of that job."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise web.HTTPUnauthorized(text="send the pod's projected token as Bearer")
        caller = await self._caller(token)
        if not caller.namespace:
            text = f"the token is not valid for audience {names.PROGRESS_AUDIENCE}"
            raise web.HTTPUnauthorized(text=text)
        if caller.namespace != namespace or not caller.pod:
            raise web.HTTPForbidden(text=f"the token is not of a pod in namespace {namespace}")
        pod = self._store.get(kube.POD, namespace, caller.pod)
        if not _is_pod_of(pod, caller, job) and not _is_pod_of(
            await self._live_pod(caller), caller, job
        ):
            raise web.HTTPForbidden(text=f"pod {caller.pod} is no pod of FineTuneJob {job}")

    async def _live_pod(self, caller: _Caller) -> Manifest | None:
        try:
            return await self._cluster.get(kube.POD, caller.namespace, caller.pod)
        except kube.NotFound:
            return None

    async def _caller(self, token: str) -> _Caller:
        digest, now = hashlib.sha256(token.encode()).digest(), self._clock()
        held = self._callers.get(digest)
        if held is not None and held.until > now:
            return held
        async with self._reviews:
            review = await self._cluster.create(
                {
                    "apiVersion": kube.TOKEN_REVIEW.api_version,
                    "kind": kube.TOKEN_REVIEW.kind,
                    "metadata": {},
                    "spec": {"token": token, "audiences": [names.PROGRESS_AUDIENCE]},
                }
            )
        caller = _read_review(review.get("status") or {}, now + REMEMBER_SECONDS)
        self._callers[digest] = caller
        if len(self._callers) > _MOST_REMEMBERED:
            self._callers.popitem(last=False)
        return caller


def _is_pod_of(pod: Manifest | None, caller: _Caller, job: str) -> bool:
    """Whether the caller is this very pod and the pod works for the job."""
    if pod is None:
        return False
    head = kube.metadata(pod)
    labels = head.get("labels") or {}
    return bool(head.get("uid") == caller.uid and labels.get(names.LABEL_FINETUNEJOB) == job)


def _read_review(status: Mapping[str, Any], until: float) -> _Caller:
    """Who a TokenReview speaks of; nobody's namespace is empty."""
    nobody = _Caller("", "", "", until)
    audiences = status.get("audiences") or []
    if not status.get("authenticated") or names.PROGRESS_AUDIENCE not in audiences:
        return nobody
    user = status.get("user") or {}
    parts = user.get("username", "").split(":")
    if parts[:2] != ["system", "serviceaccount"] or len(parts) != 4:
        return nobody
    extra = user.get("extra") or {}
    pod, uid = (extra.get(key) or [""] for key in (POD_NAME, POD_UID))
    return _Caller(namespace=parts[2], pod=pod[0], uid=uid[0], until=until)
