"""A ModelService, and a world of one namespace in which plans are carried out."""

import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from fairlead_api import names
from fairlead_api.modelservice import GatewayRef, ModelService
from fairlead_operator.plan import Apply, CreateOnce, Delete, Observed, Seen
from fairlead_operator.serving import route
from fairlead_operator.serving.options import Options
from fairlead_operator.serving.plan import plan

START = datetime(2026, 1, 1, tzinfo=UTC)
UID = "service-uid"
GATEWAY = {
    "metadata": {"name": "gateway", "namespace": "fairlead"},
    "spec": {"listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]},
}


def job_manifest(name="teach", uid="job-uid", *, kind="Model", phase="Complete", **changes):
    """A FineTuneJob as the API server would show it."""
    conditions = {
        "Complete": [("Complete", "True", "Succeeded", "")],
        "Failed": [("Failed", "True", "DatasetError", "orders, line 3: not JSON")],
    }
    artifact = {
        "uri": f"pvc://models/finetunejobs/{name}/{uid}/artifact",
        "digest": "sha256:" + "ab" * 32,
        "sizeBytes": 7,
        "kind": kind,
        "baseModel": "pvc://models/base",
        "datasetDigest": "",
    }
    status = {
        "phase": phase,
        "conditions": [
            {
                "type": type_,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for type_, status, reason, message in conditions.get(phase, [])
        ],
    }
    if phase == "Complete":
        status["artifact"] = artifact
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.FINETUNEJOB,
        "metadata": {"name": name, "namespace": "team", "uid": uid},
        "spec": {
            "model": {"uri": "pvc://models/base"},
            "datasets": [{"name": "orders", "inline": "{}"}],
            "trainer": {"type": "SFT"},
            "storage": {"claimName": "models"},
        },
        "status": status | changes,
    }


def service_manifest(**spec):
    """A ModelService as the API server would show it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODELSERVICE,
        "metadata": {"name": "dates", "namespace": "team", "uid": UID, "generation": 1},
        "spec": {"model": {"uri": "pvc://models/base"}} | spec,
    }


@dataclass
class World:
    """What an API server and its controllers do with one ModelService's plans."""

    body: dict
    options: Options
    now: datetime = START
    objects: dict = field(default_factory=dict)
    pods: dict = field(default_factory=dict)
    """Ready pods by revision."""
    broken: dict = field(default_factory=dict)
    """Pods with a story, by revision: their container statuses."""
    claims: dict = field(default_factory=lambda: {"models": {"metadata": {"name": "models"}}})
    job: dict | None = None
    has_gateway_api: bool = True
    gateways: dict = field(default_factory=lambda: {"fairlead/gateway": GATEWAY})
    gateways_answer: bool = True
    """Whether the gateways' controller runs."""
    led: dict = field(default_factory=dict)
    """Where each gateway sends requests, whatever the route says by now."""
    uids: count = field(default_factory=lambda: count(1))
    seen: dict = field(default_factory=dict)
    """Every revision that was ever seen, by the name it goes by in a test."""

    # --- what tests ask ---------------------------------------------------------------
    @property
    def service(self):
        return ModelService.read(copy.deepcopy(self.body))

    @property
    def status(self):
        return self.body.get("status", {})

    def condition(self, type_):
        return next(each for each in self.status["conditions"] if each["type"] == type_)

    def says(self, type_):
        found = self.condition(type_)
        return found["status"], found["reason"]

    def named(self, kind):
        return sorted(name for other, name in self.objects if other == kind)

    def get(self, kind, name):
        return self.objects[kind, name]

    def selected(self):
        service = self.objects.get(("Service", "dates"))
        return service["spec"]["selector"][names.LABEL_REVISION] if service else None

    def backend(self):
        return route.backend(self.objects.get(("HTTPRoute", "dates"))) or None

    def running(self):
        """Revisions that have a Deployment."""
        return {
            each["metadata"]["labels"][names.LABEL_REVISION]
            for (kind, _), each in self.objects.items()
            if kind == "Deployment"
        }

    # --- what users and the cluster do ------------------------------------------------
    def edit(self, **spec):
        self.body["spec"] = self.body["spec"] | spec
        self.body["metadata"]["generation"] += 1

    def observed(self):
        def kind(name):
            found = (each for (other, _), each in self.objects.items() if other == name)
            return tuple(copy.deepcopy(each) for each in found)

        return Observed(
            pods=tuple(self._pods()),
            services=kind("Service"),
            deployments=tuple(self._with_status(each) for each in kind("Deployment")),
            revisions=kind("ControllerRevision"),
            routes=kind("HTTPRoute"),
            claims=copy.deepcopy(self.claims),
            fine_tune_job=copy.deepcopy(self.job),
            has_gateway_api=self.has_gateway_api,
            gateways=self._gateways() if self.has_gateway_api else {},
        )

    def _gateways(self):
        own = self.service.metadata.namespace
        refs = route.gateway_refs(self.service, self.options)
        keys = (f"{ref.namespace or own}/{ref.name}" for ref in refs)
        return {key: copy.deepcopy(self.gateways.get(key)) for key in keys}

    def plan(self):
        return plan(self.service, self.observed(), self.now, self.options)

    def step(self, seconds=0, crash_after=None):
        """Plan once and carry it out, or die after so many acts (0: after the status)."""
        self.now += timedelta(seconds=seconds)
        found = self.plan()
        if found.status is not None:
            self.body["status"] = found.status
        for act in found.acts[:crash_after]:
            self._carry_out(act)
        if self.gateways_answer:
            self.take_in_routes()
        return found

    def take_in_routes(self):
        """Let the gateways that are there accept every route as it is now."""
        for (kind, _), each in self.objects.items():
            if kind == "HTTPRoute":
                there = [ref for ref in each["spec"]["parentRefs"] if _key(ref) in self.gateways]
                generation = each["metadata"]["generation"]
                each["status"] = {"parents": [_accepted(ref, generation) for ref in there]}
                self.led |= {_key(ref): self.backend() for ref in there}

    def settle(self, limit=20):
        """Step until nothing changes, also not when what is waited for has passed."""
        has_waited = False
        for _ in range(limit):
            before = copy.deepcopy((self.body, self.objects))
            found = self.step()
            is_quiet = before == (self.body, self.objects)
            if is_quiet and (found.requeue_at is None or has_waited):
                return
            has_waited = is_quiet
            if found.requeue_at is not None:
                self.now = max(self.now, found.requeue_at)
        raise AssertionError(f"still changing after {limit} steps")

    def roll_out(self):
        """Let what is wanted now come up, and all that follows from it."""
        self.step()
        self.make_ready()
        self.settle()

    def make_ready(self, revision=None, ready=None):
        """Let pods of a revision (default: all revisions) become ready."""
        for name in [revision] if revision else self.running():
            self.pods[name] = self.body["spec"].get("replicas", 1) if ready is None else ready

    def _led_by_the_route(self):
        found = self.objects.get(("HTTPRoute", "dates"))
        keys = map(_key, found["spec"]["parentRefs"]) if found else ()
        return {self.led.get(key) for key in keys if key in self.gateways}

    # --- what the API server does -----------------------------------------------------
    def _carry_out(self, act):
        if isinstance(act, Delete):
            key = (act.kind, act.name)
            assert self.objects[key]["metadata"]["uid"] == act.seen.uid, f"deletes another {key}"
            if act.kind in ("Deployment", "Service"):
                led_to = {act.name, act.name.removeprefix("dates-")}
                taken = {self.selected(), self.backend(), *self._led_by_the_route()}
                assert not led_to & taken, f"traffic goes to {key}"
            del self.objects[key]
            return
        manifest = copy.deepcopy(act.manifest)
        key = (manifest["kind"], manifest["metadata"]["name"])
        old = self.objects.get(key)
        if isinstance(act, CreateOnce):
            assert old is None, f"creates {key} again"
        else:
            assert isinstance(act, Apply)
            assert act.seen == (Seen.of(old) if old else None), f"applies over {key}"
        assert self.has_gateway_api or key[0] != "HTTPRoute", "writes what isn't served"
        manifest["metadata"]["uid"] = (
            old["metadata"]["uid"] if old else f"{key[0]}-{next(self.uids)}"
        )
        generation = old["metadata"]["generation"] if old else 0
        changed = old is None or old.get("spec") != manifest.get("spec")
        manifest["metadata"]["generation"] = generation + changed
        if old and "status" in old:
            manifest["status"] = old["status"]
        self.objects[key] = manifest

    def _with_status(self, deployment):
        labels = deployment["metadata"]["labels"]
        revision, wanted = labels[names.LABEL_REVISION], deployment["spec"]["replicas"]
        ready = min(self.pods.get(revision, 0), wanted)
        key = ("proven", deployment["metadata"]["uid"])
        if ready == wanted:
            self.seen[key] = True
        reason = "NewReplicaSetAvailable" if self.seen.get(key) else "ReplicaSetUpdated"
        if self.broken.get(revision) == "overdue":
            reason = "ProgressDeadlineExceeded"
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": wanted,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": [{"type": "Progressing", "status": "True", "reason": reason}],
        }
        return deployment

    def _pods(self):
        for revision in self.running():
            story = self.broken.get(revision)
            if isinstance(story, dict):
                labels = {names.LABEL_MODELSERVICE: "dates", names.LABEL_REVISION: revision}
                yield {"metadata": {"name": f"dates-{revision}-x", "labels": labels}} | story


def _key(parent):
    return f"{parent['namespace']}/{parent['name']}"


def _accepted(parent, generation):
    conditions = [
        {"type": type_, "status": "True", "reason": type_, "observedGeneration": generation}
        for type_ in ("Accepted", "ResolvedRefs")
    ]
    return {"parentRef": parent, "conditions": conditions}


@pytest.fixture
def options():
    return Options(
        image="registry/server@sha256:1",
        gateway=GatewayRef(name="gateway", namespace="fairlead"),
        domain="example.org",
    )


@pytest.fixture
def make_job():
    return job_manifest


@pytest.fixture
def make_service():
    def make(status=None, annotations=None, **spec):
        body = service_manifest(**spec)
        body["metadata"]["annotations"] = annotations or {}
        return ModelService.read(body | ({"status": status} if status else {}))

    return make


@pytest.fixture
def make_world(options):
    def make(options=options, **spec):
        return World(service_manifest(**spec), options)

    return make


@pytest.fixture
def served(make_world):
    """A world whose first revision serves with two replicas."""
    world = make_world(replicas=2)
    world.roll_out()
    return world
