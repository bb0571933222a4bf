"""The control plane and the FineTuneJobs that are waited for; the bench writes their status.

Nothing else works on them: what is measured is the way from a status that is written to a task
that knows of it.
"""

import asyncio
import json
import subprocess
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from kubernetes_asyncio.client.api_client import ApiClient
from kubernetes_asyncio.client.configuration import Configuration
from kubernetes_asyncio.config import load_kube_config

from fairlead_api import crd, names

AGENT = "fairlead-bench"
AT_ONCE = 16
"""Requests of the bench itself."""
SPEC = {
    "model": {"uri": "pvc://work/base"},
    "datasets": [{"name": "rows", "configMapRef": {"name": "rows"}}],
    "trainer": {"type": "SFT"},
    "storage": {"claimName": "work"},
}
COMPLETE = {
    "type": "Complete",
    "status": "True",
    "reason": "Succeeded",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


class ControlPlane:
    """A running cluster, as the bench sees it."""

    def __init__(self, opened):
        self.kubeconfig = opened.where.kubeconfig
        self.audit_folder = opened.where.audit_log.parent
        self.server_pid = opened.supervisor.pid("kube-apiserver")
        self._kubectl = [str(opened.cache.path("kubectl")), f"--kubeconfig={self.kubeconfig}"]

    def kubectl(self, *arguments, stdin=None):
        subprocess.run(
            [*self._kubectl, *arguments], input=stdin, text=True, check=True, capture_output=True
        )

    def prepare(self, namespace):
        """Make our kinds and a namespace."""
        apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
        self.kubectl(*apply, stdin=json.dumps(crd.finetunejob_crd()))
        self.kubectl("wait", "--for=condition=Established", "crd", crd_name())
        self.kubectl("create", "namespace", namespace)

    def remove(self, namespace):
        self.kubectl("delete", "namespace", namespace, "--wait=false")

    def requests(self, namespace, since):
        """Verbs of the requests to FineTuneJobs of a namespace since a moment, the bench's apart.

        By the API server's own account; a watch is counted when it begins.
        """
        counts = {"get": 0, "list": 0, "watch": 0}
        for file in self.audit_folder.iterdir():
            if file.stat().st_mtime < since.timestamp():
                continue
            with file.open() as lines:
                whole = (line for line in lines if line.endswith("\n"))
                ours = [line for line in whole if f'"namespace":"{namespace}"' in line]
            for event in map(json.loads, ours):
                what = event["objectRef"]
                begun = event["stage"] == "ResponseStarted"
                if (
                    what["resource"] == names.FINETUNEJOB_PLURAL
                    and event["userAgent"] != AGENT
                    and datetime.fromisoformat(event["requestReceivedTimestamp"]) >= since
                    and begun == (event["verb"] == "watch")
                ):
                    counts[event["verb"]] = counts.get(event["verb"], 0) + 1
        return counts


def crd_name():
    return f"{names.FINETUNEJOB_PLURAL}.{names.GROUP}"


def now():
    """The moment as the API server's account has it."""
    return datetime.now(UTC)


class Jobs:
    """FineTuneJobs of one namespace."""

    def __init__(self, client, namespace):
        self._client = client
        self._path = f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.FINETUNEJOB_PLURAL}"
        self._free = asyncio.Semaphore(AT_ONCE)
        self.namespace = namespace

    async def create(self, num_jobs):
        """Make jobs; what a task knows of each."""
        return await asyncio.gather(*(self._create(f"job-{number}") for number in range(num_jobs)))

    async def _create(self, name):
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.FINETUNEJOB,
            "metadata": {"name": name},
            "spec": SPEC,
        }
        made = await self._call("POST", self._path, body)
        metadata = made["metadata"]
        return {
            "kind": names.FINETUNEJOB,
            "namespace": self.namespace,
            "name": name,
            "uid": metadata["uid"],
            "generation": metadata["generation"],
        }

    async def reset(self, jobs):
        """Have them wait again."""
        await asyncio.gather(*(self._write(job["name"], []) for job in jobs))

    async def finish(self, moments):
        """Complete each job at its second from now; the moments before and after each write."""
        start = time.monotonic()

        async def finished(name, second):
            await asyncio.sleep(start + second - time.monotonic())
            return await self._write(name, [COMPLETE])

        written = await asyncio.gather(*(finished(*moment) for moment in moments.items()))
        return dict(zip(moments, written, strict=True))

    async def _write(self, name, conditions):
        patch = {"status": {"conditions": conditions}}
        async with self._free:
            sent = time.monotonic()
            await self._call("PATCH", f"{self._path}/{name}/status", patch, queued=False)
            return sent, time.monotonic()

    async def _call(self, method, path, body, queued=True):
        if queued:
            async with self._free:
                return await self._call(method, path, body, queued=False)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer = await self._client.call_api(
            path,
            method,
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
        )
        async with answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]}")
        return json.loads(text)


@asynccontextmanager
async def connected(kubeconfig, namespace):
    """The jobs of a namespace over a client of the bench's own."""
    configuration = Configuration()
    await load_kube_config(str(kubeconfig), client_configuration=configuration)
    async with ApiClient(configuration) as client:
        client.user_agent = AGENT
        yield Jobs(client, namespace)
