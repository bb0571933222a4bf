"""A kwok of the lab's own, and the nodes that it simulates.

May start and end that process, and make and remove what ``ground`` renders. It never touches the
simulated GPU nodes of the cluster, nor their kwok.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from fairlead_chaos import fates, ground, ports
from fairlead_chaos.admin import NODE, POLICY, POLICY_BINDING, Admin
from fairlead_chaos.lifeline import die_with_parent
from fairlead_chaos.scenario import Fate, Manifest
from fairlead_operator import kube

PATIENCE_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.1
_NODE_STAGES: Final = ("node/fast", "node/heartbeat-with-lease")


class KwokError(Exception):
    """kwok doesn't do its work; the message ends with its log."""


@dataclass(frozen=True)
class Program:
    """What a kwok is started with."""

    path: Path
    kubeconfig: Path
    """Of a user that the audit policy leaves out."""
    stages: Path
    """Folder ``kustomize/stage`` of the kwok module."""
    node_ip: str


@contextlib.asynccontextmanager
async def running(
    program: Program, lab: str, chosen: Iterable[Fate], folder: Path
) -> AsyncIterator[None]:
    """Simulate the lab's nodes, with these fates, while the context is open."""
    config = folder / "kwok-stages.yaml"
    config.write_text(_stages(program.stages, chosen))
    log = folder / "kwok.log"
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            program.path,
            f"--kubeconfig={program.kubeconfig}",
            f"--config={config}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-annotation-selector={ground.LABEL_LAB}={lab}",
            f"--node-ip={program.node_ip}",
            f"--server-address=127.0.0.1:{ports.draw()}",
            "--node-lease-duration-seconds=40",
            env={**os.environ, "KWOK_WORKDIR": str(folder / "kwok")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    try:
        yield
        if process.returncode is not None:
            raise KwokError(f"kwok ended with {process.returncode}: {log.read_text()[-2000:]}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _stages(folder: Path, chosen: Iterable[Fate]) -> str:
    """kwok's own stages of nodes and ours of pods, as one file of YAML documents."""
    texts = [
        file.read_text()
        for part in _NODE_STAGES
        for file in sorted((folder / part).glob("*.yaml"))
        if file.name != "kustomization.yaml"
    ]
    return "\n---\n".join(texts + [json.dumps(stage) for stage in fates.stages(chosen)])


@contextlib.asynccontextmanager
async def nodes(admin: Admin, lab: str, num_nodes: int) -> AsyncIterator[list[str]]:
    """The lab's nodes, Ready, and the policy that sends its pods there; gone afterwards."""
    found = ground.node_names(lab, num_nodes)
    policy = ground.policy(lab)
    try:
        await asyncio.gather(
            *(admin.create(ground.node(lab, name)) for name in found),
            *(admin.create(manifest) for manifest in policy),
        )
        await _until_ready(admin, lab, num_nodes)
        yield found
    finally:
        name = policy[0]["metadata"]["name"]
        await admin.delete(POLICY_BINDING, None, name)
        await admin.delete(POLICY, None, name)
        await asyncio.gather(*(admin.delete(NODE, None, node) for node in found))


async def _until_ready(admin: Admin, lab: str, num_nodes: int) -> None:
    selector = {"labelSelector": f"{ground.LABEL_LAB}={lab}"}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            listed = await admin.listing(NODE, params=selector)
            if sum(map(_is_ready, listed["items"])) == num_nodes:
                return
            await asyncio.sleep(POLL_SECONDS)


def _is_ready(node: Manifest) -> bool:
    """Whether it is Ready, and the node controller has taken away its first taints."""
    conditions = node["status"].get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and node["spec"].get("taints") == [ground.taint()]


async def until_policy_holds(admin: Admin, namespace: str) -> None:
    """Return once a pod of a namespace of the lab would tolerate the lab's nodes."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "asks"},
        "spec": {"containers": [{"name": "asks", "image": "none"}]},
    }
    path = kube.POD.path(namespace)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await admin.call("POST", path, pod, params={"dryRun": "All"})
            if ground.is_tolerated(answer):
                return
            await asyncio.sleep(POLL_SECONDS)
