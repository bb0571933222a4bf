"""The connection to a cluster for triggers, on the cncf provider's asynchronous hook.

A triggerer runs for weeks: its credentials run out, its exec plugins fail for a while, and what
one connection suffers must not reach those who wait by another.
"""

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from airflow.sdk.exceptions import AirflowRuntimeError
from kubernetes_asyncio.config import ConfigException, incluster_config

from fairlead_airflow import execplugin, hooks, watch

FRESH_SECONDS: Final = 60.0
"""Age of a login up to which it is used again: thousands may ask at once."""
LOGIN_SECONDS: Final = 60.0
"""Longest that an exec plugin may take."""
REFUSED_SECONDS: Final = 600.0
"""How long credentials may be refused, though they are fetched anew each time."""
SERIES_SECONDS: Final = 120.0
"""Time between two refusals from which the credentials were good in between."""
_OF_PLUGIN: Final = "exec:"  # how kubernetes_asyncio names a plugin's failure


execplugin.install()


class Unauthorized(watch.Unavailable):
    """The API server doesn't know who asks: the next connection logs in anew."""


class AsyncFairleadHook(AsyncKubernetesHook):
    """The connection that FairleadHook takes, by the same rules."""

    default_conn_name = hooks.DEFAULT_CONNECTION

    def __init__(self, fairlead_conn_id: str, **kwargs: Any) -> None:
        super().__init__(conn_id=fairlead_conn_id, **kwargs)
        self._logging_in = asyncio.Lock()
        self._since = -FRESH_SECONDS

    @property
    def is_fresh(self) -> bool:
        """Whether it has just logged in."""
        return time.monotonic() - self._since < FRESH_SECONDS

    async def _load_config(self) -> None:
        async with self._logging_in:
            if self.is_fresh:
                return
            if not await self._names_a_cluster() and _runs_in_a_pod():
                self.in_cluster = True  # as the hook for workers does
            await super()._load_config()  # type: ignore[no-untyped-call]  # upstream
            self._since = time.monotonic()

    async def _names_a_cluster(self) -> bool:
        fields = ("in_cluster", "kube_config_path", "kube_config")
        values = [await self._get_field(field) for field in fields]  # type: ignore[no-untyped-call]
        return any(values)


class Login:
    """Opens clients of one connection, with credentials as they are now."""

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._hook: AsyncFairleadHook | None = None
        self._refused_since = self._refused_last = -math.inf

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:
        """An API client.

        Raises:
            watch.Unavailable: When nobody can log in now.
            hooks.Refused: When the connection is wrong, or what it tells is refused for long.
        """
        if self._hook is None:
            self._hook = AsyncFairleadHook(self._conn_id)
        hook = self._hook
        try:
            await self._log_in(hook)
            async with hook.get_conn() as api_client:
                yield api_client
        except Unauthorized as unauthorized:
            self._forget(hook)
            self._bear(unauthorized)
            raise
        except watch.Unavailable:
            if not hook.is_fresh:  # the cluster may have moved, and the connection with it
                self._forget(hook)
            raise

    async def _log_in(self, hook: AsyncFairleadHook) -> None:
        """Have the credentials there; what keeps them away is named after its connection."""
        of = f"connection {self._conn_id}"
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                await hook._load_config()
        except TimeoutError:
            raise watch.Unavailable(f"{of}: no login within {LOGIN_SECONDS:.0f} s") from None
        except ConfigException as failure:
            if str(failure).startswith(_OF_PLUGIN):
                raise watch.Unavailable(f"{of}: {failure}") from failure
            raise hooks.Refused(f"{of}: {failure}", 401) from failure
        except (OSError, AirflowRuntimeError) as failure:  # no such plugin; Airflow's API is away
            raise watch.Unavailable(f"{of}: {failure}") from failure

    def _forget(self, hook: AsyncFairleadHook) -> None:
        if self._hook is hook:
            self._hook = None

    def _bear(self, unauthorized: Unauthorized) -> None:
        """Give up what is refused for too long, though it is fetched anew each time."""
        now = time.monotonic()
        if now - self._refused_last > SERIES_SECONDS:
            self._refused_since = now
        self._refused_last = now
        if now - self._refused_since >= REFUSED_SECONDS:
            raise hooks.Unauthorized(f"connection {self._conn_id}: {unauthorized}", 401)


def _runs_in_a_pod() -> bool:
    return bool(os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME)) and os.path.isfile(
        incluster_config.SERVICE_TOKEN_FILENAME
    )
