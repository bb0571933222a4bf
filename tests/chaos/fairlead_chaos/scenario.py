"""What a scenario is: resources, what befalls them, and where they come to rest.

Types only. A scenario knows no fault and no proxy; the same story is told undisturbed, to learn
its reference trace, and under every plan. It waits on what the API server shows, never on time,
since under a plan the operator may be dead for a while. Its resources always have the same names,
so that the end of one run compares with the end of another.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fairlead_operator.kube import Kind

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Fate:
    """How the simulated kubelet ends the pods of one stage's attempt, or of a revision.

    A kwok Stage each: the file is rendered once from every scenario's fates. ``selector`` are
    labels that the operator puts on the pods (fairlead_api.names). Where a pod has the labels of
    two fates of its scenario, the one that has the other's labels and more befalls it.
    """

    scenario: str
    selector: dict[str, str]
    exit_code: int | None = 0
    """None: the container runs on."""
    message: str = ""
    """The container's termination message."""
    is_ready: bool = True
    """Whether its readiness comes while it runs."""
    milliseconds: int = 20
    """From Running to its end."""


class Hands(Protocol):
    """What a story may do: as a user, a tenant or an administrator, past the proxy."""

    namespace: str

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object in the run's namespace."""
        ...

    async def patch(
        self, kind: Kind, name: str, change: Manifest, subresource: str = ""
    ) -> Manifest:
        """JSON merge patch."""
        ...

    async def delete(self, kind: Kind, name: str) -> None:
        """Delete in the background, as kubectl does; absent is well."""
        ...

    async def until(
        self, kind: Kind, name: str, holds: Callable[[Manifest | None], object], what: str
    ) -> Manifest | None:
        """Wait until it holds of the object (None while absent), and return that object.

        A watch, so each state is seen that lasts. Raises TimeoutError that says ``what``.
        """
        ...

    async def until_pods(
        self, selector: dict[str, str], holds: Callable[[list[Manifest]], object], what: str
    ) -> list[Manifest]:
        """Wait until it holds of the pods with these labels."""
        ...

    async def evict(self, pod: str) -> None:
        """Evict a pod by the API, as a drain does."""
        ...

    async def lose_node(self, pod: str) -> None:
        """Take away the node of a pod, and with it all pods of the run, and give it back.

        The taint eviction controller ends the pods, without the minutes that it takes to notice.
        """
        ...

    async def restart_operator(self, **settings: str) -> None:
        """End the operator by SIGTERM and start one with these FAIRLEAD_ variables changed."""
        ...


@dataclass(frozen=True)
class Scenario:
    """One story and the fates of its pods."""

    name: str
    """Also the name of its main resource: fates are told by the label that carries it."""
    kind: str
    """FineTuneJob or ModelService: whose planner it exercises most."""
    story: Callable[[Hands], Awaitable[None]]
    """Returns when what it waited for stands; the run then settles and is compared."""
    fates: tuple[Fate, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    """Further FAIRLEAD_ variables of the operator."""
