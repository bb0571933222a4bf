"""One active replica at a time, by a Lease.

A holder renews often and counts itself out well before others count it out: ``check`` raises as
soon as the last renewal is too old by this machine's own clock, so a replica that slept writes
nothing when it wakes. The client asks it each time that a write is about to be sent. Losing the
lease ends the process. Times of other machines are never compared with ours.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Final

from fairlead_api import names
from fairlead_operator import kube
from fairlead_operator.kube import Cluster
from fairlead_operator.plan import Manifest
from fairlead_operator.reconcile import LeaseLost

logger: Final = logging.getLogger(__name__)

LEASE_SECONDS: Final = 15
RENEW_SECONDS: Final = 2.0
CALL_SECONDS: Final = 4.0
VALID_SECONDS: Final = 11.0
"""A holder whose last renewal began longer ago stops writing; less than LEASE_SECONDS."""


def boot_seconds() -> float:
    """Seconds since boot, time asleep included: a suspended machine must notice."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class _Seen:
    """Another holder's last sign of life, by our own clock."""

    record: tuple[str, str]
    free_at: float
    """When the lease runs out, unless another sign comes."""


class Leader:
    """This replica's share in the Lease."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        lease: str,
        identity: str,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self._cluster, self._clock = cluster, clock
        self._namespace, self._lease, self._identity = namespace, lease, identity
        self._seen: _Seen | None = None
        self._renewed_at: float | None = None
        self.elected = asyncio.Event()

    @property
    def leads(self) -> bool:
        """Whether this replica may write now."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < VALID_SECONDS

    def check(self) -> float:
        """Seconds until others may count this replica out; LeaseLost unless it may write now."""
        silent = inf if self._renewed_at is None else self._clock() - self._renewed_at
        if silent >= VALID_SECONDS:
            raise LeaseLost(
                f"lease {self._namespace}/{self._lease} was not renewed within"
                f" {VALID_SECONDS:.0f} s; another replica may be active"
            )
        return LEASE_SECONDS - silent

    async def hold(self) -> None:
        """Get the lease, set ``elected`` and renew it for ever; raises LeaseLost."""
        while True:
            begin = self._clock()
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    held = await self.try_once()
            except (kube.ClusterError, TimeoutError) as error:
                said = str(error) or f"no answer within {CALL_SECONDS:.0f} s"
                logger.warning("lease %s/%s: %s", self._namespace, self._lease, said)
                held = False
            if held:
                self._renewed_at = begin
                if not self.elected.is_set():
                    logger.info("%s leads now", self._identity)
                    self.elected.set()
            elif self.elected.is_set():
                self.check()
            await asyncio.sleep(self.pause_seconds())

    def pause_seconds(self) -> float:
        """Until the next try: for who waits, no later than the holder's lease may run out."""
        left = self._seen.free_at - self._clock() if self._seen else 0.0
        is_waiting = not self.elected.is_set() and left > 0
        return min(RENEW_SECONDS, left) if is_waiting else RENEW_SECONDS

    async def release(self) -> None:
        """Let another replica take over at once."""
        if not self.elected.is_set() or not self.leads:
            return
        self._renewed_at = None
        try:
            try:
                await self._give_up()
            except kube.Conflict:  # a renewal that was under way has arrived meanwhile: the last
                await self._give_up()
        except kube.ClusterError as error:
            logger.warning("lease could not be released, it will run out: %s", error)

    async def _give_up(self) -> None:
        lease = await self._cluster.get(kube.LEASE, self._namespace, self._lease)
        if lease["spec"].get("holderIdentity") == self._identity:
            lease["spec"]["holderIdentity"] = ""
            lease["spec"]["leaseDurationSeconds"] = 1
            await self._cluster.replace(lease)

    async def try_once(self) -> bool:
        """Renew or take the lease; False while somebody else holds it."""
        try:
            lease = await self._cluster.get(kube.LEASE, self._namespace, self._lease)
        except kube.NotFound:
            return await self._write(None)
        holder = lease["spec"].get("holderIdentity") or ""
        if holder == self._identity:
            if self.elected.is_set():
                self.check()
            return await self._write(lease)
        if self.elected.is_set():
            raise LeaseLost(f"{holder or 'nobody'} holds lease {self._namespace}/{self._lease}")
        return await self._write(lease) if self._is_free(lease, holder) else False

    def _is_free(self, lease: Manifest, holder: str) -> bool:
        """Whether the holder showed no sign of life for the lease's whole duration."""
        if not holder:
            return True
        now, spec = self._clock(), lease["spec"]
        record = (holder, spec.get("renewTime") or "")
        if self._seen is None or self._seen.record != record:
            seconds = spec.get("leaseDurationSeconds") or LEASE_SECONDS
            self._seen = _Seen(record, now + seconds)
        return now >= self._seen.free_at

    async def _write(self, lease: Manifest | None) -> bool:
        """Put our name on the lease; False if somebody was faster."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = lease["spec"] if lease else {}
        mine = old.get("holderIdentity") == self._identity
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": old.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": old.get("leaseTransitions", 0) + (0 if mine or not lease else 1),
        }
        try:
            if lease is None:
                await self._cluster.create(
                    {
                        "apiVersion": kube.LEASE.api_version,
                        "kind": kube.LEASE.kind,
                        "metadata": {
                            "name": self._lease,
                            "namespace": self._namespace,
                            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
                        },
                        "spec": spec,
                    }
                )
            else:
                await self._cluster.replace(lease | {"spec": spec})
        except kube.Conflict:
            return False
        return True
