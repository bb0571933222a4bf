"""What a real API server says to manifests: the field named, before anything runs.

The CRDs stand under groups of their own here, so that an installed Fairlead isn't disturbed.
"""

import copy
import json
import subprocess
import time

import pytest

from fairlead_api import crd, names
from fairlead_api.artifact import Artifact
from fairlead_api.finetunejob import FineTuneJobSpec
from fairlead_api.finetunestatus import (
    CheckpointStatus,
    FineTuneJobStatus,
    Progress,
    StageStatus,
    Workers,
)
from fairlead_api.modelservice import ModelServiceSpec
from fairlead_cli import manifests

pytestmark = pytest.mark.cluster

GROUP = "admission.fairlead.test"
GONE = object()
"""In a change: leave the field out."""
MINIMAL = {
    "FineTuneJob": {
        "model": {"uri": "pvc://store/base"},
        "datasets": [{"name": "rows", "inline": '{"text": "x"}'}],
        "trainer": {"type": "SFT"},
        "storage": {"claimName": "store"},
    },
    "ModelService": {"model": {"uri": "pvc://store/base"}},
}
MODELS = {"FineTuneJob": FineTuneJobSpec, "ModelService": ModelServiceSpec}
CRDS = {"FineTuneJob": crd.finetunejob_crd, "ModelService": crd.modelservice_crd}
JOB, SERVICE = "FineTuneJob", "ModelService"


def changed(spec, changes):
    """A spec with values set at dotted paths; a number in a path is an index."""
    spec = copy.deepcopy(spec)
    for path, value in changes.items():
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        node = spec
        for part in way:
            node = node[part] if isinstance(part, int) else node.setdefault(part, {})
        if value is GONE:
            del node[last]
        else:
            node[last] = value
    return spec


def in_group(manifest, group):
    """A CRD under another group."""
    manifest = json.loads(json.dumps(manifest).replace("fairlead.dev", group))
    assert manifest["spec"]["group"] == group
    return manifest


def manifest_of(kind, changes, *, group=GROUP, name="one"):
    return {
        "apiVersion": f"{group}/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": changed(MINIMAL[kind], changes),
    }


class Kubectl:
    """kubectl on the cluster; answers (accepted, what it said)."""

    def __init__(self, cluster):
        self._command = [str(cluster.kubectl), f"--kubeconfig={cluster.kubeconfig}"]

    def __call__(self, *arguments, body=None):
        done = subprocess.run(
            [*self._command, *arguments],
            input=None if body is None else json.dumps(body),
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode == 0, done.stdout + done.stderr

    def must(self, *arguments, body=None):
        accepted, said = self(*arguments, body=body)
        assert accepted, said
        return said

    def offer(self, manifest):
        """Would the API server take it? Strictly, as every client of ours asks."""
        return self("create", "--dry-run=server", "--validate=strict", "-f", "-", body=manifest)

    def offer_change(self, manifest, spec):
        """Would it take another spec for the existing object?"""
        plural = f"{manifest['kind'].lower()}s.v1alpha1.{manifest['apiVersion'].split('/')[0]}"
        patch = json.dumps([{"op": "replace", "path": "/spec", "value": spec}])
        name = manifest["metadata"]["name"]
        return self("patch", plural, name, "--dry-run=server", "--type=json", "-p", patch)

    def install(self, crds):
        items = {"apiVersion": "v1", "kind": "List", "items": crds}
        self.must("apply", "--server-side", "--force-conflicts", "-f", "-", body=items)
        names = [f"crd/{body['metadata']['name']}" for body in crds]
        self.must("wait", "--for=condition=Established", "--timeout=90s", *names)
        for body in crds:
            self._await_served(body["spec"]["group"], body["spec"]["names"]["plural"])

    def _await_served(self, group, plural):
        """Established says that it will be served soon; wait until it is."""
        deadline = time.monotonic() + 90
        while not self("get", "--raw", f"/apis/{group}/v1alpha1/{plural}")[0]:
            assert time.monotonic() < deadline, f"{plural}.{group} is not served"


@pytest.fixture(scope="module")
def kubectl(cluster):
    kubectl = Kubectl(cluster)
    crds = [in_group(make(), GROUP) for make in CRDS.values()]
    kubectl.install(crds)
    yield kubectl
    kubectl("delete", "crd", *(body["metadata"]["name"] for body in crds), "--wait=false")


@pytest.fixture
def validates(tmp_path):
    """Would `fairlead validate`, which asks no cluster, take it?"""

    def check(kind, changes, name="one"):
        path = tmp_path / "manifest.yaml"
        path.write_text(json.dumps(manifest_of(kind, changes, group=names.GROUP, name=name)))
        return not manifests.check_file(path).faults

    return check


@pytest.mark.parametrize("kind", CRDS)
def test_crd_is_structural_and_served(kubectl, kind):
    name = f"{kind.lower()}s.{GROUP}"
    body = json.loads(kubectl.must("get", "crd", name, "-o", "json"))
    conditions = {c["type"]: c["status"] for c in body["status"]["conditions"]}
    assert conditions.get("Established") == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("kind", MINIMAL)
def test_minimal_manifest_is_taken_with_the_defaults_of_the_models(kubectl, kind):
    arguments = ("create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-")
    stored = json.loads(kubectl.must(*arguments, body=manifest_of(kind, {})))
    assert stored["spec"] == MODELS[kind].model_validate(MINIMAL[kind]).as_object()


def many_hostnames(*counts):
    """Gateways with so many host names of their own each."""
    return [
        {"name": f"g{ref}", "hostnames": [f"h{number}.g{ref}.org" for number in range(count)]}
        for ref, count in enumerate(counts)
    ]


VALID = [
    pytest.param(JOB, {"resourcesPerNode.limits": {"nvidia.com/gpu": 8}}, id="gpus"),
    pytest.param(JOB, {"resourcesPerNode.limits": {"nvidia.com/gpu": "8"}}, id="gpus-as-text"),
    pytest.param(
        JOB,
        {"numProcPerNode": 4, "resourcesPerNode.limits": {"nvidia.com/gpu": 8}},
        id="fewer-processes-than-gpus",
    ),
    pytest.param(
        JOB,
        {"numProcPerNode": 2, "resourcesPerNode.requests": {"nvidia.com/gpu": 2}},
        id="a-process-for-each-requested-gpu",
    ),
    pytest.param(
        JOB,
        {"resourcesPerNode": {"limits": {"cpu": 2, "memory": "4Gi"}, "requests": {"cpu": "500m"}}},
        id="cpu-and-memory",
    ),
    pytest.param(
        JOB,
        {"deepspeed.config": {"zero_optimization": {"overlap_comm": True}, "steps_per_print": 5}},
        id="deepspeed-config",
    ),
    pytest.param(JOB, {"tuning": {"type": "LoRA", "r": 8, "loraAlpha": 16}}, id="lora"),
    pytest.param(JOB, {"hyperparameters.learningRate": 0.0002}, id="learning-rate"),
    pytest.param(JOB, {"hyperparameters.extraArgs": {"weight_decay": "0.1"}}, id="extra-args"),
    pytest.param(JOB, {"hyperparameters.numTrainEpochs": 0.5}, id="half-an-epoch"),
    pytest.param(JOB, {"startTimeout": "1h30m"}, id="duration"),
    pytest.param(
        JOB,
        {"datasets.0": {"name": "d", "configMapRef": {"name": "rows.of.mine"}}},
        id="rows-of-a-config-map",
    ),
    pytest.param(JOB, {"datasets.0": {"name": "d", "uri": "pvc://data/a/b.jsonl"}}, id="claim"),
    pytest.param(SERVICE, {"model": {"fineTuneJobRef": {"name": "j"}}}, id="of-a-job"),
    pytest.param(SERVICE, {"replicas": 0}, id="no-replicas"),
    pytest.param(SERVICE, {"gatewayRefs": []}, id="no-gateway"),
    pytest.param(SERVICE, {"gatewayRefs": [{"name": "gw", "namespace": "edge"}]}, id="gateway"),
    pytest.param(
        SERVICE,
        {"gatewayRefs": [{"name": "gw", "sectionName": name} for name in ("http", "https")]},
        id="two-listeners-of-a-gateway",
    ),
    pytest.param(
        SERVICE,
        {"gatewayRefs": [{"name": "gw"}, {"name": "gw", "namespace": "edge"}]},
        id="gateways-of-one-name",
    ),
    pytest.param(
        SERVICE, {"gatewayRefs": many_hostnames(8, 7, 0, 0)}, id="as-many-hosts-as-a-route"
    ),
]


@pytest.mark.parametrize(("kind", "changes"), VALID)
def test_valid_manifest_is_taken(kubectl, validates, kind, changes):
    accepted, said = kubectl.offer(manifest_of(kind, changes))
    assert accepted, said
    assert validates(kind, changes)


INVALID = [
    # what must be there
    (JOB, {"model": GONE}, "spec.model"),
    (JOB, {"model.uri": GONE}, "spec.model.uri"),
    (JOB, {"datasets": GONE}, "spec.datasets"),
    (JOB, {"datasets": []}, "spec.datasets"),
    (JOB, {"datasets.0.name": GONE}, "spec.datasets[0].name"),
    (JOB, {"trainer": GONE}, "spec.trainer"),
    (JOB, {"trainer.type": GONE}, "spec.trainer.type"),
    (JOB, {"storage": GONE}, "spec.storage"),
    (JOB, {"storage.claimName": ""}, "spec.storage.claimName"),
    (SERVICE, {"model": GONE}, "spec.model"),
    # unknown fields
    (JOB, {"epochs": 3}, 'unknown field "spec.epochs"'),
    (JOB, {"hyperparameters.learning_rate": 1}, 'unknown field "spec.hyperparameters.learning_r'),
    (JOB, {"datasets.0.path": "x"}, 'unknown field "spec.datasets[0].path"'),
    (JOB, {"resourcesPerNode.claims": []}, 'unknown field "spec.resourcesPerNode.claims"'),
    (JOB, {"deepspeed.stage": 2}, 'unknown field "spec.deepspeed.stage"'),
    (SERVICE, {"engine.tensor_parallel_size": 2}, 'unknown field "spec.engine.tensor_parallel'),
    (SERVICE, {"autoscaling": {}}, 'unknown field "spec.autoscaling"'),
    # uris
    (JOB, {"model.uri": "s3://bucket/model"}, "spec.model.uri"),
    (JOB, {"model.uri": "pvc://store"}, "spec.model.uri"),
    (JOB, {"model.uri": "pvc://store/../secret"}, "spec.model.uri"),
    (JOB, {"model.uri": "pvc://store/a/.hidden"}, "spec.model.uri"),
    (JOB, {"model.uri": "pvc://Store/a"}, "spec.model.uri"),
    (JOB, {"model.uri": "pvc://store//a"}, "spec.model.uri"),
    (JOB, {"model.uri": "pvc://store/" + "a" * 600}, "spec.model.uri"),
    (JOB, {"datasets.0": {"name": "d", "uri": "file:///etc/passwd"}}, "spec.datasets[0].uri"),
    (SERVICE, {"model.uri": "https://example.com/m"}, "spec.model.uri"),
    # names
    (JOB, {"storage.claimName": "Store"}, "spec.storage.claimName"),
    (JOB, {"storage.claimName": "s" * 64}, "spec.storage.claimName"),
    (JOB, {"datasets.0.name": "rows.a"}, "spec.datasets[0].name"),
    (JOB, {"datasets.0.name": "../x"}, "spec.datasets[0].name"),
    (SERVICE, {"model": {"fineTuneJobRef": {"name": ""}}}, "spec.model.fineTuneJobRef.name"),
    (SERVICE, {"gatewayRefs": [{"name": "g", "hostnames": ["A b"]}]}, "hostnames[0]"),
    (SERVICE, {"gatewayRefs": [{"name": "g", "hostnames": ["a..b"]}]}, "hostnames[0]"),
    (SERVICE, {"gatewayRefs": [{"name": "g..h"}]}, "spec.gatewayRefs[0].name"),
    # enums
    (JOB, {"trainer.type": "DPO"}, "spec.trainer.type"),
    (JOB, {"tuning.type": "lora"}, "spec.tuning.type"),
    (JOB, {"datasets.0.format": "CSV"}, "spec.datasets[0].format"),
    (JOB, {"hyperparameters.lrSchedulerType": "magic"}, "spec.hyperparameters.lrSchedulerType"),
    (SERVICE, {"engine.dtype": "int3"}, "spec.engine.dtype"),
    # types
    (JOB, {"numNodes": "two"}, "spec.numNodes"),
    (JOB, {"numNodes": 1.5}, "spec.numNodes"),
    (JOB, {"hyperparameters.learningRate": "2e-4"}, "spec.hyperparameters.learningRate"),
    (JOB, {"hyperparameters.bf16": "yes"}, "spec.hyperparameters.bf16"),
    (JOB, {"hyperparameters.extraArgs": {"a": 1}}, "spec.hyperparameters.extraArgs.a"),
    (JOB, {"deepspeed.config": "zero"}, "spec.deepspeed.config"),
    (JOB, {"datasets": {"name": "d"}}, "spec.datasets"),
    (JOB, {"suspend": "no"}, "spec.suspend"),
    # bounds
    (JOB, {"numNodes": 0}, "spec.numNodes"),
    (JOB, {"numNodes": 1025}, "spec.numNodes"),
    (JOB, {"numProcPerNode": 0}, "spec.numProcPerNode"),
    (JOB, {"maxRestarts": -1}, "spec.maxRestarts"),
    (JOB, {"deepspeed.zeroStage": 4}, "spec.deepspeed.zeroStage"),
    (JOB, {"prepare.maxLength": 8}, "spec.prepare.maxLength"),
    (JOB, {"checkpoint.saveSteps": 0}, "spec.checkpoint.saveSteps"),
    (JOB, {"checkpoint.saveTotalLimit": 1}, "spec.checkpoint.saveTotalLimit"),
    (JOB, {"hyperparameters.learningRate": 0}, "spec.hyperparameters.learningRate"),
    (JOB, {"hyperparameters.learningRate": 11}, "spec.hyperparameters.learningRate"),
    (JOB, {"hyperparameters.warmupRatio": 1}, "spec.hyperparameters.warmupRatio"),
    (JOB, {"hyperparameters.numTrainEpochs": 0}, "spec.hyperparameters.numTrainEpochs"),
    (JOB, {"hyperparameters.maxSteps": 0}, "spec.hyperparameters.maxSteps"),
    (JOB, {"hyperparameters.seed": -1}, "spec.hyperparameters.seed"),
    (JOB, {"tuning": {"type": "LoRA", "r": 0}}, "spec.tuning.r"),
    (JOB, {"tuning": {"type": "LoRA", "loraDropout": 1}}, "spec.tuning.loraDropout"),
    (JOB, {"datasets.0.inline": "x" * 131073}, "spec.datasets[0].inline"),
    (JOB, {"datasets": [{"name": f"d{n}", "inline": "{}"} for n in range(33)]}, "spec.datasets"),
    (SERVICE, {"replicas": -1}, "spec.replicas"),
    (SERVICE, {"engine.gpuMemoryUtilization": 1.1}, "spec.engine.gpuMemoryUtilization"),
    (SERVICE, {"limits.maxTokens": 0}, "spec.limits.maxTokens"),
    (SERVICE, {"limits.maxQueuedRequests": 0}, "spec.limits.maxQueuedRequests"),
    # forms
    (JOB, {"startTimeout": "soon"}, "spec.startTimeout"),
    (JOB, {"startTimeout": "-5m"}, "spec.startTimeout"),
    (JOB, {"startTimeout": "30"}, "spec.startTimeout"),
    (JOB, {"resourcesPerNode.limits": {"cpu": "two"}}, "spec.resourcesPerNode.limits.cpu"),
    (JOB, {"resourcesPerNode.limits": {"cpu": -1}}, "spec.resourcesPerNode.limits.cpu"),
    (SERVICE, {"resources.limits": {"memory": "8GB"}}, "spec.resources.limits.memory"),
    # two of a name
    (JOB, {"datasets": [{"name": "d", "inline": "{}"}] * 2}, "spec.datasets[1]: Duplicate"),
]


def row_id(row):
    kind, changes, words = row
    (path,) = changes
    return f"{kind}-{path}-{str(changes[path])[:24] if changes[path] is not GONE else 'absent'}"


@pytest.mark.parametrize(("kind", "changes", "words"), INVALID, ids=map(row_id, INVALID))
def test_invalid_manifest_is_refused_with_the_field_named(kubectl, validates, kind, changes, words):
    accepted, said = kubectl.offer(manifest_of(kind, changes))
    assert not accepted
    assert words in said
    assert not validates(kind, changes)


# --- every CEL rule earns its place ----------------------------------------------------------
IMMUTABLE = {
    "model": {"uri": "pvc://store/other"},
    "datasets": [{"name": "rows", "inline": '{"text": "y"}'}],
    "prepare": {"packing": False},
    "tuning": {"type": "LoRA"},
    "hyperparameters": {"extraArgs": {"weight_decay": "0.1"}},
    "deepspeed": {"config": {"other": {"overlap_comm": True}}},
    "numNodes": 2,
    "numProcPerNode": 2,
    "resourcesPerNode": {"limits": {"cpu": 3}},
    "startTimeout": "5m",
    "maxRestarts": 9,
    "storage": {"claimName": "other"},
    "checkpoint": {"saveSteps": 7},
    "output": {"mergeAdapter": False},
}
"""A change of each immutable field."""
BROKEN = {
    "exactly one of uri, inline, configMapRef": (JOB, {"datasets.0.uri": "pvc://store/rows"}),
    "exactly one of uri, fineTuneJobRef": (SERVICE, {"model.fineTuneJobRef": {"name": "j"}}),
    "r has a meaning": (JOB, {"tuning.r": 8}),
    "loraAlpha has a meaning": (JOB, {"tuning.loraAlpha": 8}),
    "loraDropout has a meaning": (JOB, {"tuning.loraDropout": 0.1}),
    "targetModules has a meaning": (JOB, {"tuning.targetModules": ["q_proj"]}),
    "numProcPerNode must not be above the GPUs in resourcesPerNode.limits": (
        JOB,
        {"numProcPerNode": 3, "resourcesPerNode.limits": {"nvidia.com/gpu": "2"}},
    ),
    "numProcPerNode must not be above the GPUs in resourcesPerNode.requests": (
        JOB,
        {"numProcPerNode": 3, "resourcesPerNode.requests": {"nvidia.com/gpu": 2}},
    ),
    "datasets may hold": (
        JOB,
        {"datasets": [{"name": f"d{n}", "inline": "x" * 131072} for n in range(5)]},
    ),
    "gatewayRefs may name 16": (SERVICE, {"gatewayRefs": many_hostnames(8, 8, 0)}),
    "gatewayRefs may name a Gateway again": (
        SERVICE,
        {"gatewayRefs": [{"name": "gw"}, {"name": "gw", "sectionName": "http"}]},
    ),
    "requests may name": ({"requests": {"gpu": 1}},),
    "limits may name": ({"limits": {"gpu": 1}},),
    "requests: devices": ({"requests": {"nvidia.com/gpu": "500m"}},),
    "limits: devices": ({"limits": {"nvidia.com/gpu": "500m"}},),
    "requests must not be above": ({"requests": {"memory": "3Gi"}, "limits": {"memory": "2G"}},),
    "requests and limits of a device": (
        {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}},
    ),
}
"""A manifest that breaks this one rule, by the beginning of the rule's message."""
RESOURCES = {JOB: "resourcesPerNode", SERVICE: "resources"}


def rules_of(node, way=()):
    """Every CEL rule below a schema node, with the way to it."""
    if isinstance(node, dict):
        for index, rule in enumerate(node.get("x-kubernetes-validations", ())):
            yield (*way, "x-kubernetes-validations", index), rule["message"]
        for key, child in node.items():
            yield from rules_of(child, (*way, key))


def schema_of(body):
    return body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


RULES = [
    (kind, way, message)
    for kind, make in CRDS.items()
    for way, message in rules_of(schema_of(make()))
]


def without_rule(kind, way, group):
    body = in_group(CRDS[kind](), group)
    node = schema_of(body)
    for key in way[:-1]:
        node = node[key]
    del node[way[-1]]
    return body


def group_of(number):
    return f"rule{number}.fairlead.test"


@pytest.fixture(scope="module")
def kubectl_with_gaps(kubectl):
    """One CRD for each rule, with that rule left out."""
    crds = [
        without_rule(kind, way, group_of(number)) for number, (kind, way, _) in enumerate(RULES)
    ]
    kubectl.install(crds)
    yield kubectl
    kubectl("delete", "crd", *(body["metadata"]["name"] for body in crds), "--wait=false")


def breaking_changes(kind, message):
    (row,) = [row for beginning, row in BROKEN.items() if message.startswith(beginning)]
    if len(row) == 1:
        return {f"{RESOURCES[kind]}": row[0]}
    assert row[0] == kind
    return row[1]


CREATION = [
    pytest.param(number, kind, message, id=f"{kind}-{'.'.join(map(str, way[-3:]))}-{message[:24]}")
    for number, (kind, way, message) in enumerate(RULES)
    if "immutable" not in message
]
UPDATE = [
    pytest.param(number, message.split()[0], id=message.split()[0])
    for number, (_, _, message) in enumerate(RULES)
    if "immutable" in message
]


@pytest.mark.parametrize(("number", "kind", "message"), CREATION)
def test_rule_refuses_what_would_pass_without_it(
    kubectl_with_gaps, validates, number, kind, message
):
    name, changes = "one", {}
    if message.startswith("metadata.name"):
        name = "n" * 41
    else:
        changes = breaking_changes(kind, message)
    accepted, said = kubectl_with_gaps.offer(manifest_of(kind, changes, name=name))
    assert not accepted
    assert message in said
    assert validates(kind, changes, name) == message.startswith("gatewayRefs")
    gap = manifest_of(kind, changes, name=name, group=group_of(number))
    accepted, said = kubectl_with_gaps.offer(gap)
    assert accepted, said


@pytest.fixture(scope="module")
def existing(kubectl):
    """Make the resource that updates start from, under any group."""

    def make(group):
        manifest = manifest_of(JOB, BEFORE, group=group)
        arguments = ("apply", "--server-side", "--validate=strict", "-f", "-")
        kubectl.must(*arguments, body=manifest)
        return manifest

    return make


BEFORE = {"deepspeed.config": {"zero_optimization": {"overlap_comm": True}}}


@pytest.mark.parametrize(("number", "field"), UPDATE)
def test_immutable_field_could_change_without_its_rule(kubectl_with_gaps, existing, number, field):
    changes = BEFORE | {field: IMMUTABLE[field]}
    if field == "deepspeed":
        changes = {"deepspeed": IMMUTABLE[field]}
    spec = changed(MINIMAL[JOB], changes)
    accepted, said = kubectl_with_gaps.offer_change(existing(GROUP), spec)
    assert not accepted
    assert f"{field} is immutable" in said
    accepted, said = kubectl_with_gaps.offer_change(existing(group_of(number)), spec)
    assert accepted, said


def test_every_spec_field_is_immutable_or_named_here():
    changeable = {"suspend", "trainer"}  # trainer is required and has one value as yet
    fields = set(schema_of(crd.finetunejob_crd())["properties"]["spec"]["properties"])
    assert fields - changeable == set(IMMUTABLE)


def test_job_can_be_suspended_and_resumed(kubectl, existing):
    manifest = existing(GROUP)
    for value in (True, False):
        accepted, said = kubectl.offer_change(
            manifest, changed(MINIMAL[JOB], BEFORE | {"suspend": value})
        )
        assert accepted, said


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"zero_optimization": {"overlap_comm": False}}, id="value"),
        pytest.param({"zero": {"overlap_comm": True}}, id="key-renamed"),
        pytest.param({"zero_optimization": {"overlap": True}}, id="key-below-renamed"),
        pytest.param({"zero_optimization": {"overlap_comm": True}, "x": 1}, id="key-added"),
        pytest.param({"zero_optimization": {"overlap_comm": True, "x": 1}}, id="key-below-added"),
        pytest.param({"zero_optimization": {}}, id="key-below-removed"),
        pytest.param({"zero_optimization": {"overlap_comm": 1}}, id="type"),
        pytest.param({"zero_optimization": [1]}, id="form"),
        pytest.param({}, id="emptied"),
    ],
)
def test_no_change_of_the_raw_deepspeed_config_goes_unseen(kubectl, existing, config):
    spec = changed(MINIMAL[JOB], {"deepspeed.config": config})
    accepted, said = kubectl.offer_change(existing(GROUP), spec)
    assert not accepted
    assert "deepspeed is immutable" in said


def test_status_with_every_field_is_taken_strictly(kubectl, existing):
    """What the operator writes, it writes with strict validation: no field may be unknown."""
    manifest = existing(GROUP)
    moment = "2026-01-01T00:00:00Z"
    digest = "sha256:" + "a" * 64
    stage = StageStatus(
        name="Train", state="Failed", attempt=3, cause="OutOfMemory", message="m" * 2048,
        start_time=moment, completion_time=moment, retry_time=moment,
    )  # fmt: skip
    artifact = Artifact(
        uri="pvc://store/out", digest=digest, size_bytes=2**40, kind="Adapter",
        base_model="pvc://store/base", dataset_digest=digest,
    )  # fmt: skip
    condition = {
        "type": "Failed", "status": "True", "reason": "OutOfMemory", "message": "m" * 4096,
        "lastTransitionTime": moment, "observedGeneration": 1,
    }  # fmt: skip
    status = FineTuneJobStatus(
        phase="Failed", reason="OutOfMemory", message="m" * 2048, observed_generation=1,
        conditions=[condition], stages=[stage], checkpoint=CheckpointStatus(latest="c/1"),
        workers=Workers(desired=2, ready=1, gpus=16), prepared_digest=digest, artifact=artifact,
        progress=Progress(step=1, loss=0.5, eta="1m", last_update_time=moment),
    )  # fmt: skip
    assert set(status.as_object()) == set(status.model_dump(by_alias=True))
    body = {key: manifest[key] for key in ("apiVersion", "kind", "metadata")}
    body["status"] = status.as_object()
    arguments = ("apply", "--server-side", "--subresource=status", "--validate=strict")
    kubectl.must(*arguments, "--field-manager=operator", "-f", "-", body=body)
    plural = f"finetunejobs.v1alpha1.{GROUP}"
    stored = json.loads(kubectl.must("get", plural, "one", "-o", "json"))
    assert stored["status"] == status.as_object()


# --- what kubectl shows ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("finetunejobs", "Trains a model from a dataset"),
        ("finetunejobs.spec.deepspeed.zeroStage", "3 also weights"),
        ("finetunejobs.spec.hyperparameters.extraArgs", "allow-list"),
        ("finetunejobs.status.stages.attempt", "Number of the newest attempt"),
        ("modelservices.spec.limits.maxTokens", "is answered 400"),
    ],
)
def test_explain_tells_what_a_field_means(kubectl, path, words):
    said = kubectl.must("explain", path, f"--api-version={GROUP}/v1alpha1")
    assert words in " ".join(said.split())


@pytest.mark.parametrize(
    ("kind", "wide", "columns"),
    [
        (JOB, False, "NAME PHASE STEP LOSS ETA GPUS AGE"),
        (JOB, True, "NAME PHASE STEP LOSS ETA GPUS AGE MODEL METHOD NODES REASON"),
        (SERVICE, False, "NAME READY MODEL REVISION URL AGE"),
    ],
)
def test_columns(kubectl, kind, wide, columns):
    body = manifest_of(kind, {}, name="shown")
    kubectl.must("apply", "--server-side", "-f", "-", body=body)
    form = ("-o", "wide") if wide else ()
    said = kubectl.must("get", f"{kind.lower()}s.v1alpha1.{GROUP}", "shown", *form)
    assert " ".join(said.splitlines()[0].split()).startswith(columns)
