"""Everything that many runs share: a control plane, nodes, a kwok, a nursery of operators.

``async with lab.open(...) as found`` makes it and takes all of it away again; what an earlier lab
left whose process died goes first. Used by the tests' fixtures and by the command line alike.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fairlead_chaos import chart, crds, ground, kwok, lifeline, places, routing, tenant
from fairlead_chaos.admin import (
    CLUSTER_ROLE,
    NAMESPACE,
    NODE,
    POLICY,
    POLICY_BINDING,
    Admin,
)
from fairlead_chaos.cell import Cell, Gate
from fairlead_chaos.faults import Plan
from fairlead_chaos.nursery import Nursery
from fairlead_chaos.proxy import Proxy
from fairlead_chaos.scenario import Manifest, Scenario
from fairlead_chaos.upstream import Upstream
from fairlead_cluster import control_plane, gateway, settings, up
from fairlead_operator import kube

CLUSTER: Final = "fairlead-test"
NUM_NODES: Final = 40
PATIENCE_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.5
_LEFT: Final = (NAMESPACE, POLICY_BINDING, POLICY, NODE, CLUSTER_ROLE)
_numbers: Final = itertools.count(1)  # a process may have several labs


@dataclass(frozen=True)
class ControlPlane:
    """A running cluster and the programs that a lab needs."""

    kubeconfig: Path
    audit_log: Path
    gateway_api: Path
    """Folder of the Gateway API's CRDs."""
    kwok: kwok.Program


def bring_up() -> ControlPlane:
    """Bring up the cluster FAIRLEAD_TEST_CLUSTER, or reuse it; takes seconds to minutes."""
    name = settings.check_name(os.environ.get("FAIRLEAD_TEST_CLUSTER", CLUSTER))
    chosen = dataclasses.replace(settings.load(), name=name)
    opened = up.up(chosen, up.Wanted(control_plane_only=True, num_simulated_gpu_nodes=4))
    return ControlPlane(
        kubeconfig=opened.where.kubeconfig,
        audit_log=opened.where.audit_log,
        gateway_api=opened.cache.module_folder(gateway.API_MODULE, gateway.API_CRDS),
        kwok=kwok.Program(
            path=opened.cache.path("kwok"),
            kubeconfig=opened.where.component_kubeconfig("kwok"),
            stages=opened.cache.module_folder(control_plane.KWOK_MODULE, "kustomize/stage"),
            node_ip=str(opened.addresses.node),
        ),
    )


@dataclass
class Lab:
    """What a cell finds there."""

    name: str
    folder: Path
    admin: Admin
    upstream: Upstream
    nursery: Nursery
    rbac: list[Manifest]
    audit_log: Path
    nodes: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)
    namespaces: list[str] = field(default_factory=list)
    """Of every run so far."""

    def cell(self, scenario: Scenario, plan: Plan | None = None, bug: str | None = None) -> Cell:
        """A run of a scenario, undisturbed where there is no plan."""
        made = Cell(self, scenario, plan or Plan(scenario.name), bug)
        self.namespaces.append(made.namespace)
        return made

    def gate(self, plan: Plan, kill: Callable[[], Awaitable[None]]) -> Gate:
        """A new proxy."""
        return Proxy(self.upstream, plan, kill)

    @contextlib.asynccontextmanager
    async def node(self) -> AsyncIterator[str]:
        """A node of one run's own, as soon as one is free."""
        name = await self.nodes.get()
        try:
            yield name
        finally:
            self.nodes.put_nowait(name)


@contextlib.asynccontextmanager
async def open_lab(
    plane: ControlPlane, scenarios: Iterable[Scenario], folder: Path, num_nodes: int = NUM_NODES
) -> AsyncIterator[Lab]:
    """Make a lab for these scenarios.

    Args:
        plane: Where it works.
        scenarios: Those whose fates kwok is to know, beside those of walks; it reads them once.
        folder: Logs and configuration of its runs, one folder a run.
        num_nodes: One a run at the same time.
    """
    name = f"{lifeline.name_of(os.getpid())}-{next(_numbers)}"
    upstream = Upstream.of(plane.kubeconfig)
    rbac = chart.rbac(chart.helm(), tenant.PLACEHOLDER, tenant.PLACEHOLDER)
    chosen = [*places.FATES, *(fate for scenario in scenarios for fate in scenario.fates)]
    async with contextlib.AsyncExitStack() as stack:
        admin = await stack.enter_async_context(Admin(upstream))
        await _clear_dead_labs(admin)
        await crds.bring_ours(admin)
        await stack.enter_async_context(crds.gateway_api(admin, plane.gateway_api, name))
        nursery = await stack.enter_async_context(Nursery())
        await stack.enter_async_context(kwok.running(plane.kwok, name, chosen, folder))
        nodes = await stack.enter_async_context(kwok.nodes(admin, name, num_nodes))
        lab = Lab(name, folder, admin, upstream, nursery, rbac, plane.audit_log)
        for node in nodes:
            lab.nodes.put_nowait(node)
        stack.push_async_callback(_remove_namespaces, admin, name)
        is_mine = lab.namespaces.__contains__
        await stack.enter_async_context(routing.running(admin, is_mine))
        await _make_roles(lab, stack)
        await _try_policy(lab, nodes[0])
        yield lab


async def _make_roles(lab: Lab, stack: contextlib.AsyncExitStack) -> None:
    for role in tenant.roles(lab.rbac, lab.name):
        stack.push_async_callback(lab.admin.delete, CLUSTER_ROLE, None, role["metadata"]["name"])
        await lab.admin.create(role)


async def _try_policy(lab: Lab, node: str) -> None:
    """Wait until pods of the lab are let on to its nodes: a policy takes a moment to hold."""
    name = f"chaos-policy-{lab.name}"
    await lab.admin.create(tenant.namespace(name, lab.name, node))
    await lab.admin.ensure(tenant.default_account(), name)
    await kwok.until_policy_holds(lab.admin, name)
    await lab.admin.delete(NAMESPACE, None, name)


async def _remove_namespaces(admin: Admin, lab: str) -> None:
    """Delete the lab's namespaces and wait: their pods end only while its kwok lives."""
    mine = {"labelSelector": f"{ground.LABEL_LAB}={lab}"}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while left := (await admin.listing(NAMESPACE, params=mine))["items"]:
            for each in left:
                if "deletionTimestamp" not in each["metadata"]:
                    await admin.delete(NAMESPACE, None, each["metadata"]["name"])
                # The namespace controller comes back by half of the longest grace of a pod.
                await _remove_pods(admin, each["metadata"]["name"])
            await asyncio.sleep(_POLL_SECONDS)


async def _clear_dead_labs(admin: Admin) -> None:
    """Remove what labs left whose process runs no more."""
    for kind in _LEFT:
        listed = await admin.listing(kind, params={"labelSelector": ground.LABEL_LAB})
        for each in listed["items"]:
            name = each["metadata"]["name"]
            if not lifeline.is_alive(each["metadata"]["labels"][ground.LABEL_LAB]):
                await admin.delete(kind, None, name)
                if kind == NAMESPACE:
                    await _remove_pods(admin, name)


async def _remove_pods(admin: Admin, namespace: str) -> None:
    """Without a grace: nobody will tell of their end, or nobody is to be waited for."""
    now = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    await admin.call("DELETE", kube.POD.path(namespace), now)
