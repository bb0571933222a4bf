"""What the tests of the cluster tier share: a running control plane, and operators against it.

Real API server, simulated nodes; the operator as a process of this machine.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead_api import crd, metrics, names
from fairlead_chaos import crds, patient, ports
from fairlead_chaos.admin import Admin
from fairlead_chaos.upstream import Upstream
from fairlead_cluster import settings, up
from fairlead_operator import cluster as client
from fairlead_operator import kube

PATIENCE_SECONDS = 180  # other work runs on the same cores
PARENTS = {"finetunejobs", "modelservices"}
GATEWAY_TIMEOUT = 504
MOST_LIVES, MOST_LEASES_LOST = 3, 3  # of a replica; in all
ASK_SECONDS = 60  # a process that listens is slow at most: one that is down refuses at once
QUIET = {"leases", "tokenreviews", "secrets"}  # not counted: they are nobody's resource


@dataclasses.dataclass(frozen=True)
class RunningCluster:
    """What a test needs of the cluster."""

    name: str
    kubeconfig: Path
    kubectl: Path
    audit_log: Path

    @classmethod
    def of(cls, opened):
        return cls(
            name=opened.where.name,
            kubeconfig=opened.where.kubeconfig,
            kubectl=opened.cache.path("kubectl"),
            audit_log=opened.where.audit_log,
        )

    def audit_mark(self):
        """How far the audit log has come: the size of each file by its first line."""
        with self._audit_files() as files:
            return {file.readline(): os.fstat(file.fileno()).st_size for file in files}

    def audited(self, text, since=None):
        """The audit log's events whose line holds a text, files that were put aside included.

        What was written before ``since``, an ``audit_mark``, is not read: it is most of the log.
        """
        with self._audit_files() as files:
            return [
                json.loads(line)
                for file in files
                for line in _lines(file, since or {})
                if text.encode() in line
            ]

    @contextlib.contextmanager
    def _audit_files(self):
        """All files, opened at once: one that is put aside meanwhile is still the same file."""
        folder = self.audit_log.parent
        while True:
            with contextlib.ExitStack() as stack:
                names_before = sorted(folder.iterdir())
                try:
                    files = [stack.enter_context(name.open("rb")) for name in names_before]
                except FileNotFoundError:
                    continue
                if sorted(folder.iterdir()) == names_before:
                    yield files
                    return


def _lines(file, since):
    """What a file holds after a mark; the line that is being written is not there yet."""
    if size := since.get(file.readline()):
        file.seek(size - 1)
        file.readline()  # the mark may lie within a line
    else:
        file.seek(0)
    return (line for line in file if line.endswith(b"\n"))


async def _clear_crds(kubeconfig):
    """Take away what labs and tests left that were killed: some are about its absence."""
    async with Admin(Upstream.of(kubeconfig)) as admin:
        await crds.clear(admin)


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster]:
    """Bring up the cluster FAIRLEAD_TEST_CLUSTER, or reuse it; `make down` removes it."""
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root")
    name = os.environ.get("FAIRLEAD_TEST_CLUSTER", "fairlead-test")
    chosen = dataclasses.replace(settings.load(), name=settings.check_name(name))
    opened = up.up(chosen, up.Wanted(control_plane_only=True, num_simulated_gpu_nodes=4))
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:  # the tests' loop stays
        runner.run(_clear_crds(opened.where.kubeconfig))
    yield RunningCluster.of(opened)


@pytest.fixture(scope="session")
def known():
    """Makes of what ``up`` opened what the fixtures here know as a cluster."""
    return RunningCluster.of


async def _until(condition, what, seconds=PATIENCE_SECONDS):
    """Wait until the coroutine function returns something true, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        lacking = ""
        try:
            if found := await condition():
                return found
        except kube.NotFound as absent:
            lacking = f" ({absent})"
        assert time.monotonic() < deadline, f"never came true: {what}{lacking}"
        await asyncio.sleep(0.2)


@pytest.fixture
def until():
    """Waits until a coroutine function returns something true, and returns that."""
    return _until


@pytest.fixture
def alike():
    """Waits until two coroutine functions return the same; tells what differs if they never do."""

    async def waited(one, other):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (left := await one()) != (right := await other()) and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        assert left == right

    return waited


class Replica:
    """One process of the operator; begun again, as by a kubelet, where it lost its lease.

    That is what a starved machine costs it; one that was stopped, or ended otherwise, stays away.
    """

    leases_lost = []
    """Names of all that lost theirs: a busy machine may cost some, a fault of ours costs many."""

    def __init__(self, name, env, folder):
        self.name = name
        self.ports = {part: ports.draw() for part in ("metrics", "probes", "progress")}
        env |= {f"FAIRLEAD_{part.upper()}_PORT": str(port) for part, port in self.ports.items()}
        env["FAIRLEAD_POD_NAME"] = name
        env.setdefault("FAIRLEAD_PROGRESS_URL", f"https://localhost:{self.ports['progress']}")
        self.log = folder / f"{name}.log"
        self.log.write_bytes(b"")  # it may have its name from one that was stopped
        self.num_lives, self._env = 0, env
        self._was_stopped, self._lock = False, threading.RLock()
        self._begin()
        threading.Thread(target=self._keep, daemon=True).start()

    def _begin(self):
        with self.log.open("a") as log:
            self._begins_at = log.tell()
            command = [sys.executable, "-m", "fairlead_operator"]
            self.process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)
        self.num_lives += 1

    def _keep(self):
        while True:
            self.process.wait()
            with self._lock:
                if self.has_ended():
                    return
                self.leases_lost.append(self.name)
                self._begin()

    def has_ended(self):
        """Whether it is gone for good."""
        with self._lock:
            code = self.process.poll()
            begins_again = code == 1 and self.has_lost_its_lease() and self.num_lives < MOST_LIVES
            return code is not None and (self._was_stopped or not begins_again)

    def has_lost_its_lease(self):
        """Whether its newest process says so."""
        return b"LeaseLost" in self.log.read_bytes()[self._begins_at :]

    def sample(self, name, **labels):
        """The sum of the samples of a metric that carry these labels; None while it is down."""
        try:
            url = f"http://localhost:{self.ports['metrics']}/metrics"
            with urllib.request.urlopen(url, timeout=ASK_SECONDS) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return None
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.split("{")[0].split(" ")[0] == name and all(part in line for part in wanted)
        )

    async def leading(self):
        """Wait until it is the active one."""

        async def leads():
            assert not self.has_ended(), self.log.read_text()
            return self.sample(metrics.LEADER)

        await _until(leads, f"{self.name} leads")

    async def passed(self):
        """Wait until it has looked at a resource."""

        async def passes():
            return self.sample(f"{metrics.RECONCILES}_total", outcome="done")

        await _until(passes, f"{self.name} has looked at a resource")

    def stop(self, how):
        with self._lock:
            self._was_stopped = True
            self.process.send_signal(how)
        return self.process.wait(120)

    def last_words(self):
        """The end of its log; also whether it left by itself, or lost its lease on the way."""
        code = self.process.poll()
        left = code is not None and not self._was_stopped
        said = f"left by itself with exit code {code}, " if left else ""
        if self.num_lives > 1:
            said += f"lost its lease {self.num_lives - 1} times, "
        return f"{self.name}: {said}its log ends:\n{self.log.read_text()[-4000:]}"


@pytest.fixture(scope="session")
def replica():
    """Starts a process of the operator; who starts it ends it."""
    yield Replica
    assert len(Replica.leases_lost) <= MOST_LEASES_LOST, Replica.leases_lost


@pytest.fixture
async def api(cluster, monkeypatch):
    """A client of our own, as administrator."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setattr(client, "kube", kube)
    config = client.Configuration()
    await client.load_kube_config(str(cluster.kubeconfig), client_configuration=config)
    api = client.ApiCluster(config, lambda *_: None)
    yield api
    await api.close()


@pytest.fixture(scope="session")
def ends_well():
    """Runs a program that has to end well; one that hangs is interrupted and tells where it was."""

    def run(*command, seconds, env=None):
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, text=True, env=env)
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                code = f"no end within {seconds} s"
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE_SECONDS)
            finally:
                process.kill()
                process.wait()
            said.seek(0)
            assert code == 0, f"{code}: {said.read()}"

    return run


@pytest.fixture(scope="module")
def kubectl(cluster):
    """Runs kubectl, which has to end well."""

    def run(*arguments, stdin=None):
        command = [cluster.kubectl, f"--kubeconfig={cluster.kubeconfig}", *arguments]
        done = patient.run(command, stdin)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def team(kubectl):
    """A namespace of this test's own, with the claim that its jobs name."""
    bodies = [crd.finetunejob_crd(), crd.modelservice_crd()]
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    kubectl(*apply, stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}))
    ours = [body["metadata"]["name"] for body in bodies]  # others' come and go
    kubectl("wait", "--for=condition=Established", "--timeout=180s", "crd", *ours)
    name = f"op-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "work", "namespace": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(claim))
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def powerless(kubectl, team):
    """The kubeconfig of an account of the team's namespace that may do nothing, as data."""
    kubectl("create", "serviceaccount", "nobody", "-n", team)
    token = kubectl("create", "token", "nobody", "-n", team).strip()
    config = json.loads(kubectl("config", "view", "--raw", "-o", "json"))
    config["users"][0]["user"] = {"token": token}
    return config


@pytest.fixture
def end_attempt(kubectl, until, api, team):
    """Ends the container of a Job's one pod by writing its status, as a kubelet would."""

    async def ended(job, code, message):
        async def made():
            pods = await api.list_heads(kube.POD, team)
            found = [pod["metadata"]["name"] for pod in pods]
            return [name for name in found if name.startswith(f"{job}-")]

        pod = (await until(made, f"a pod of {job}"))[0]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        end = {"exitCode": code, "message": message, "startedAt": now, "finishedAt": now}
        container = {
            "name": names.TRAINER_CONTAINER,
            "image": "trainer",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": end},
        }
        phase = "Failed" if code else "Succeeded"
        patch = json.dumps({"status": {"phase": phase, "containerStatuses": [container]}})
        place = ("-n", team, "--subresource=status", "--type=strategic")
        kubectl("patch", "pod", pod, *place, "-p", patch)

    return ended


@pytest.fixture
def start(cluster, team, replica, tmp_path):
    """Starts replicas that serve this test's namespace only; ends them after it."""
    replicas = []

    def started(name="one", **more):
        env = os.environ | {
            "KUBECONFIG": str(cluster.kubeconfig),
            "FAIRLEAD_TRAINER_IMAGE": "localhost/trainer",
            "FAIRLEAD_SERVER_IMAGE": "localhost/server",
            "FAIRLEAD_NAMESPACE": team,
            "FAIRLEAD_WATCH_NAMESPACES": team,
        }
        replicas.append(replica(name, env | more, tmp_path))
        return replicas[-1]

    yield started
    for one in replicas:
        print(one.last_words())
        one.stop(signal.SIGKILL)


@pytest.fixture
def writes(cluster, team):
    """The operator's writes to resources and their children from a moment on.

    By the API server's own account: it knows those of a process that has ended, too.
    """
    began = cluster.audit_mark()

    def found(since):
        return [
            (event["verb"], event["requestURI"])
            for event in cluster.audited(f'"{team}"', began)
            if event["userAgent"] == names.MANAGER_OPERATOR
            and event["verb"] not in ("get", "list", "watch")
            and event["objectRef"]["resource"] not in QUIET
            and datetime.fromisoformat(event["requestReceivedTimestamp"]) >= since
        ]

    return found


@pytest.fixture
def moments(cluster, team):
    """Yields each moment of a resource as a watch tells of it, the first time."""

    async def watched(kind, name, version, moment):
        query = f"watch=true&resourceVersion={version}&fieldSelector=metadata.name%3D{name}"
        command = (
            cluster.kubectl,
            f"--kubeconfig={cluster.kubeconfig}",
            "get",
            "--raw",
            f"{kind.path(team)}?{query}",
        )
        seen, deadline = {"Unseen"}, time.monotonic() + PATIENCE_SECONDS
        yield "Unseen"
        # One that ends without a word has not reached a busy API server.
        while len(seen) == 1:
            assert time.monotonic() < deadline, f"no watch tells of {name}"
            told = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, limit=2**20
            )
            try:
                async for line in told.stdout:
                    now = moment(json.loads(line)["object"])
                    if now not in seen:
                        seen.add(now)
                        yield now
            finally:
                with contextlib.suppress(ProcessLookupError):
                    told.kill()
                await told.communicate()
            await asyncio.sleep(0.2)

    return watched


@pytest.fixture
def created_and_deleted(cluster, team):
    """How often the operator created and deleted each child of a resource of this test.

    By the API server's own account, without the children's owner in their names.
    """

    def counted(owner):
        found, lost = Counter(), set()
        for event in cluster.audited(f'"{team}"'):
            what, code = event.get("objectRef", {}), event["responseStatus"]["code"]
            verb, name = event["verb"], what.get("name", "")
            if verb == "patch" and code in (201, GATEWAY_TIMEOUT):
                verb = "create"  # server-side apply of something new, or perhaps so
            if (
                verb in ("create", "delete")
                and event["userAgent"] == names.MANAGER_OPERATOR
                and what["resource"] not in QUIET | PARENTS  # those the test makes itself
                and (name == owner or name.startswith(f"{owner}-"))
            ):
                write = (verb, what["resource"], name.removeprefix(owner))
                found[write] += code < 300
                if code == GATEWAY_TIMEOUT:
                    lost.add(write)
        # Its sender was killed before the answer: where nobody did it again, it was done.
        return +found + Counter(write for write in lost if not found[write])

    return counted
