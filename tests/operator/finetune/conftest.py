"""A FineTuneJob, and a small world for it: Jobs, pods and their controller, in memory.

The world does what Kubernetes 1.37 does to Jobs like ours, no more: one pod an index, a failed
pod fails the Job, the Job's condition comes when every pod has ended, deletion is in the
background. It checks after each act what must never happen.
"""

import copy
import dataclasses
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead_api import names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.finetunestatus import StageStatus
from fairlead_api.termination import EXIT_CODES, Cause, Termination
from fairlead_operator import kube
from fairlead_operator.finetune.options import Options
from fairlead_operator.finetune.plan import plan
from fairlead_operator.plan import CreateOnce, Delete, Manifest, Observed, Plan, is_leftover
from fairlead_operator.store import slim

START = datetime(2026, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
PAYLOADS: dict[str, dict[str, Any]] = {
    "prepare": {"prepared": {"digest": DIGEST, "num_rows": 3, "format": "Text"}},
    "train": {"training": {"step": 9, "loss": 0.5, "world_size": 2, "checkpoint": "c/9"}},
    "export": {
        "artifact": {
            "uri": "pvc://store/out",
            "digest": DIGEST,
            "size_bytes": 7,
            "kind": "Model",
            "base_model": "pvc://store/base",
            "dataset_digest": DIGEST,
        }
    },
}


def spec_of(**changes: Any) -> dict[str, Any]:
    return {
        "model": {"uri": "pvc://store/base"},
        "datasets": [{"name": "rows", "inline": '{"text":"x"}'}],
        "trainer": {"type": "SFT"},
        "storage": {"claimName": "store"},
        **changes,
    }


class World:
    """One FineTuneJob and everything around it."""

    def __init__(self, options: Options | None = None, **spec: Any) -> None:
        self.options = options or Options(trainer_image="trainer:1")
        self.now = START
        self.uids = (f"uid-{number}" for number in itertools.count(1))
        self.body: Manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.FINETUNEJOB,
            "metadata": {"name": "job", "namespace": "team", "uid": "uid-job", "generation": 1},
            "spec": spec_of(**spec),
        }
        self.claims: dict[str, Manifest | None] = {
            "store": {"spec": {"accessModes": ["ReadWriteMany"]}}
        }
        self.maps: dict[str, bool] = {}
        self.jobs: dict[str, Manifest] = {}
        self.pods: dict[str, Manifest] = {}
        self.config_maps: dict[str, Manifest] = {}
        self.services: dict[str, Manifest] = {}
        self.created: list[str] = []
        self.deleted: list[str] = []

    # --- what the operator does ------------------------------------------------------------
    @property
    def job(self) -> FineTuneJob:
        return FineTuneJob.read(copy.deepcopy(self.body))

    @property
    def status(self) -> Manifest:
        return self.body.get("status", {})

    def stage(self, name: str) -> Manifest:
        """What the status says of a stage, also what it leaves out."""
        found = next(stage for stage in self.status["stages"] if stage["name"] == name)
        return StageStatus.model_validate(found).model_dump(mode="json", by_alias=True)

    def stage_of(self, job: str) -> Manifest:
        return self.stage(self.jobs[job]["metadata"]["labels"][STAGE].capitalize())

    def condition(self, type_: str) -> Manifest | None:
        found = (c for c in self.status.get("conditions", []) if c["type"] == type_)
        return next(found, None)

    def observe(self) -> Observed:
        """What the cache would hold: the planner sees no more than that."""
        return Observed(
            jobs=self.cached(kube.JOB, self.jobs),
            pods=self.cached(kube.POD, self.pods),
            config_maps=self.cached(kube.CONFIG_MAP, self.config_maps),
            services=self.cached(kube.SERVICE, self.services),
            leftovers=tuple(
                manifest
                for manifest in (*self.jobs.values(), *self.config_maps.values())
                if is_leftover(manifest, names.FINETUNEJOB, "job", "uid-job")
            ),
            claims=self.claims,
            foreign_config_maps=self.maps,
        )

    @staticmethod
    def cached(kind: kube.Kind, objects: dict[str, Manifest]) -> tuple[Manifest, ...]:
        return tuple(copy.deepcopy(slim(kind, manifest)) for manifest in objects.values())

    def plan(self) -> Plan:
        return plan(self.job, self.observe(), self.now, self.options)

    def reconcile(self, crash_after: int | None = None) -> Plan:
        """Carry a plan out; ``crash_after`` counts the writes that still happen."""
        made = self.plan()
        writes = itertools.count()
        if made.status is not None and next(writes) != crash_after:
            self.body["status"] = made.status
        elif made.status is not None:
            return made
        for act in made.acts:
            if next(writes) == crash_after:
                return made
            self.carry_out(act)
        return made

    def settle(self, rounds: int = 20) -> None:
        """Reconcile and let the controllers work until nothing moves."""
        for _ in range(rounds):
            before = copy.deepcopy((self.body, self.jobs, self.pods))
            self.reconcile()
            self.control()
            if before == (self.body, self.jobs, self.pods):
                return
        raise AssertionError(f"still moving: {self.status}")

    def carry_out(self, act: object) -> None:
        if isinstance(act, Delete):
            job = self.jobs[act.name]
            assert job["metadata"]["uid"] == act.seen.uid
            self.deleted.append(act.name)
            self.delete_job(act.name)
            return
        assert isinstance(act, CreateOnce)
        manifest = copy.deepcopy(act.manifest)
        stores = {"Job": self.jobs, "ConfigMap": self.config_maps, "Service": self.services}
        store, name = stores[manifest["kind"]], manifest["metadata"]["name"]
        if name in store:
            return
        if manifest["kind"] == "Job":
            self.check_new_job(manifest)
        manifest["metadata"] |= {"uid": next(self.uids), "creationTimestamp": stamp(self.now)}
        store[name] = manifest
        self.created.append(name)

    def check_new_job(self, manifest: Manifest) -> None:
        """What must never happen when an attempt begins."""
        name = manifest["metadata"]["name"]
        assert name not in self.created, f"{name} was created before: its number is used twice"
        assert [job for job in self.jobs.values() if not self.ended(job)] == []
        running = [pod for pod in self.pods.values() if not self.pod_ended(pod)]
        assert running == [], "a pod of an earlier attempt still runs"
        labels = manifest["metadata"]["labels"]
        stage = next(s for s in self.status["stages"] if s["name"].lower() == labels[STAGE])
        assert stage["attempt"] == int(labels[names.LABEL_ATTEMPT]), "not licensed by the status"

    # --- what Kubernetes does --------------------------------------------------------------
    def control(self) -> None:
        """One pass of the Job controller, the kubelet's ends and the garbage collector."""
        for pod in [p for p in self.pods.values() if "deletionTimestamp" in p["metadata"]]:
            if self.owner(pod) is None or self.pod_ended(pod):
                del self.pods[pod["metadata"]["name"]]
            else:
                self.end_pod(pod, Cause.DISRUPTED)
        for job in self.jobs.values():
            if not self.ended(job):
                self.control_job(job)

    def control_job(self, job: Manifest) -> None:
        pods, wanted = self.pods_of(job), job["spec"]["completions"]
        if any(pod["status"]["phase"] == "Failed" for pod in pods) or job.get("lost"):
            for pod in pods:
                if not self.pod_ended(pod):
                    pod["metadata"]["deletionTimestamp"] = stamp(self.now)
            if all(self.pod_ended(pod) for pod in pods):
                self.end_job(job, "Failed")
        elif len(pods) == wanted and all(p["status"]["phase"] == "Succeeded" for p in pods):
            self.end_job(job, "Complete")
        else:
            for index in range(wanted):
                self.create_pod(job, index)

    def create_pod(self, job: Manifest, index: int) -> None:
        name = f"{job['metadata']['name']}-{index}"
        if name in self.pods:
            return
        owner = {"kind": "Job", "uid": job["metadata"]["uid"], "controller": True}
        self.pods[name] = {
            "metadata": {
                "name": name,
                "labels": dict(job["spec"]["template"]["metadata"]["labels"]),
                "ownerReferences": [owner],
                "creationTimestamp": stamp(self.now),
                "uid": next(self.uids),
            },
            "spec": {"nodeName": "node-1"},
            "status": {"phase": "Pending"},
        }

    def end_job(self, job: Manifest, how: str, message: str = "") -> None:
        said = {"message": message or job.get("lost", "")}
        if said["message"] == BACKOFF:
            said["reason"] = "BackoffLimitExceeded"
        job["status"] = {"conditions": [{"type": how, "status": "True", **said}]}

    def delete_job(self, name: str) -> None:
        job = self.jobs.pop(name)
        for pod in self.pods_of(job):
            if self.pod_ended(pod):
                del self.pods[pod["metadata"]["name"]]
            else:
                pod["metadata"]["deletionTimestamp"] = stamp(self.now)

    def start_pods(self) -> None:
        for pod in self.pods.values():
            if pod["status"]["phase"] == "Pending":
                ready = {"type": "Ready", "status": "True"}
                trainer = {"name": names.TRAINER_CONTAINER, "state": {"running": {}}}
                pod["status"] = {
                    "phase": "Running",
                    "conditions": [ready],
                    "containerStatuses": [trainer],
                }

    def end_pod(self, pod: Manifest, cause: Cause, message: str | None = None, **more: Any) -> None:
        """End a pod with the termination message that our trainer would leave."""
        if message is None:
            stage = pod["metadata"]["labels"][STAGE]
            payload = PAYLOADS[stage] if cause is Cause.SUCCEEDED else {}
            said = {"cause": cause, "message": f"{cause} it is", **payload, **more}
            message = Termination.model_validate(said).to_message()
        terminated = {"exitCode": EXIT_CODES[cause], "message": message}
        status = {"name": names.TRAINER_CONTAINER, "state": {"terminated": terminated}}
        phase = "Succeeded" if cause is Cause.SUCCEEDED else "Failed"
        kept = pod["status"].get("conditions", [])
        kept = [entry for entry in kept if entry["type"] != "Ready"]
        pod["status"] = {"phase": phase, "containerStatuses": [status], "conditions": kept}

    def end_all(self, cause: Cause = Cause.SUCCEEDED, **more: Any) -> None:
        """Start and end every running pod, then let everything come to rest."""
        self.start_pods()
        for pod in list(self.pods.values()):
            if not self.pod_ended(pod):
                self.end_pod(pod, cause, **more)
        self.settle()

    def lose_pod(self, name: str, message: str = "") -> None:
        """Take a pod away with its node: nothing of it can be read."""
        pod = self.pods.pop(name)
        job = self.owner(pod)
        if job is not None and not self.ended(job):
            job["lost"] = message or BACKOFF

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def set_suspend(self, value: bool) -> None:
        self.body["spec"]["suspend"] = value
        self.body["metadata"]["generation"] += 1

    def pods_of(self, job: Manifest) -> list[Manifest]:
        return [pod for pod in self.pods.values() if self.owner_uid(pod) == job["metadata"]["uid"]]

    def owner(self, pod: Manifest) -> Manifest | None:
        uid = self.owner_uid(pod)
        return next((job for job in self.jobs.values() if job["metadata"]["uid"] == uid), None)

    @staticmethod
    def owner_uid(pod: Manifest) -> str:
        return str(pod["metadata"]["ownerReferences"][0]["uid"])

    @staticmethod
    def ended(job: Manifest) -> bool:
        return bool(job.get("status", {}).get("conditions"))

    @staticmethod
    def pod_ended(pod: Manifest) -> bool:
        return pod["status"]["phase"] in ("Succeeded", "Failed")


STAGE = names.LABEL_STAGE
BACKOFF = "Job has reached the specified backoff limit"


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="session")
def new_world() -> type[World]:
    """The world's type: each test makes its own, with the spec it needs."""
    return World


@pytest.fixture
def options() -> Options:
    return Options(trainer_image="trainer:1")


@pytest.fixture
def make_job() -> Any:
    """Read a FineTuneJob whose spec has the given changes."""

    def make(**changes: Any) -> FineTuneJob:
        body = World(**changes).body
        return FineTuneJob.read(body)

    return make


@pytest.fixture
def replace_options(options: Options) -> Any:
    return lambda **changes: dataclasses.replace(options, **changes)
