"""The control plane of one course, and what the bench makes there.

Its own cluster, nodes, kwok process, accounts and namespaces; all of it goes with the course.
"""

import asyncio
import contextlib
import dataclasses
import json
import sys
import uuid

import client
import kwok
import manifests
import psutil

from fairlead_api import crd, names
from fairlead_cluster import control_plane, down, settings, state, up

SYSTEM = "fairlead-bench-system"
PROGRAMS = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", kwok.NAME)
TOKEN_SECONDS = 24 * 3600
PATIENCE_SECONDS, READY_SECONDS = 1200, 300
CR_PATH = f"/apis/{names.API_VERSION}"
NAIVE_PATH = f"/apis/{manifests.NAIVE_GROUP}/{manifests.NAIVE_VERSION}"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NODES, VOLUMES, NAMESPACES = "/api/v1/nodes", "/api/v1/persistentvolumes", "/api/v1/namespaces"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


def require_absent(name):
    """Leave by saying what to do where a cluster of that name is there: it would be removed."""
    chosen = _chosen(name)
    if state.read(state.layout_of(chosen.state_dir, name).state_file) is not None:
        sys.exit(
            f"--cluster: {name!r} is there already, and the bench makes and removes its own; "
            f"`fairlead-cluster down --name {name}` removes what a killed run left"
        )


@contextlib.asynccontextmanager
async def fresh(name, num_pods):
    """A control plane with room for so many pods, which nobody has used; gone in the end."""
    chosen = _chosen(name)
    opened = up.up(chosen, up.Wanted(control_plane_only=True))
    try:
        async with client.connected(opened) as there:
            plane = Plane(opened, there)
            await plane.prepare(num_pods)
            yield plane
    finally:
        opened.supervisor.stop(kwok.NAME)
        down.down(chosen)


def _chosen(name):
    return dataclasses.replace(settings.load(), name=settings.check_name(name))


class Plane:
    """A control plane with the bench's nodes and kinds."""

    def __init__(self, opened, there):
        self.opened, self.there = opened, there
        self.audit_folder = opened.where.audit_log.parent

    async def prepare(self, num_pods):
        """Make nodes for so many pods, our kinds and the accounts of the contestants."""
        self.play(ends=False)
        for number in range(num_pods // manifests.PODS_A_NODE + 2):
            await self._make(NODES, kwok.node(number, manifests.PODS_A_NODE))
        for body in (crd.finetunejob_crd(), crd.modelservice_crd(), manifests.naive_crd()):
            await self._make(CRDS, body)
        await self._make(NAMESPACES, _named("v1", "Namespace", SYSTEM))
        await self._ready()

    async def _ready(self):
        async def is_ready():
            nodes = (await self.there.call("GET", NODES))["items"]
            crds = (await self.there.call("GET", CRDS))["items"]
            return all(_is(node, "Ready") for node in nodes) and all(
                _is(one, "Established") for one in crds
            )

        await until(is_ready, "nodes and kinds are ready", READY_SECONDS)

    async def _make(self, path, body):
        await self.there.call("POST", path, body, but=(409,))

    def play(self, *, ends):
        """Let kwok run pods, or run and end them."""
        file = self.opened.where.etc / f"bench-stages-{'ends' if ends else 'runs'}.yaml"
        folder = self.opened.cache.module_folder(control_plane.KWOK_MODULE, "kustomize/stage")
        control_plane.write(file, kwok.stages(folder, ends))
        self.opened.supervisor.start(kwok.component(self.opened.parts, file))

    async def account(self, name, folder):
        """A kubeconfig of an account that may do everything; the audit log tells it apart."""
        await self._make(
            f"{NAMESPACES}/{SYSTEM}/serviceaccounts", _named("v1", "ServiceAccount", name)
        )
        binding = _named("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", f"bench-{name}") | {
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}],
        }
        await self._make(BINDINGS, binding)
        asked = {"spec": {"expirationSeconds": TOKEN_SECONDS}}
        path = f"{NAMESPACES}/{SYSTEM}/serviceaccounts/{name}/token"
        made = await self.there.call("POST", path, asked)
        config = json.loads(
            self.opened.server.kubectl_run(
                ["config", "view", "--raw", "-o", "json"], what="read the kubeconfig"
            )
        )
        config["users"][0]["user"] = {"token": made["status"]["token"]}
        file = folder / f"{name}.kubeconfig"
        file.write_text(json.dumps(config))
        return file

    async def namespace(self, purpose):
        """A namespace of its own, with the claim that jobs name."""
        name = f"{purpose}-{uuid.uuid4().hex[:8]}"
        await self._make(NAMESPACES, _named("v1", "Namespace", name))
        volume, claim = manifests.storage(name)
        await self._make(VOLUMES, volume)
        await self._make(f"{NAMESPACES}/{name}/persistentvolumeclaims", claim)
        account = f"{NAMESPACES}/{name}/serviceaccounts/default"

        async def is_ready():
            found = await self.there.call("GET", account, but=(404,))
            bound = await self.there.call("GET", f"{VOLUMES}/{name}")
            return found is not None and bound["status"]["phase"] == "Bound"

        await until(is_ready, "the namespace has its account and its volume")
        return name

    def cpu(self):
        """CPU seconds of the control plane's programs so far."""
        found = (self.opened.supervisor.pid(name) for name in PROGRAMS)
        return {name: cpu_seconds(pid) for name, pid in zip(PROGRAMS, found, strict=True) if pid}


def naive_path(namespace):
    return f"{NAIVE_PATH}/namespaces/{namespace}/{manifests.NAIVE_PLURAL}"


def cpu_seconds(pid):
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def _named(api_version, kind, name):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}


def _is(item, type_):
    conditions = item.get("status", {}).get("conditions") or []
    return any(entry["type"] == type_ and entry["status"] == "True" for entry in conditions)


class Stuck(Exception):
    """What was waited for never came, though nothing has failed."""


async def until(condition, what, seconds=PATIENCE_SECONDS, pause=0.2):
    """Wait until a coroutine function returns something true, and return that."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := await condition()):
        if asyncio.get_running_loop().time() > deadline:
            raise Stuck(f"never came true: {what}")
        await asyncio.sleep(pause)
    return found
