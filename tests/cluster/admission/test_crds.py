"""The CRDs on a real API server: structural, explained, shown in columns, written strictly."""

import asyncio
import json

import pytest

from fairlead_api.artifact import Artifact
from fairlead_api.finetunestatus import (
    CheckpointStatus,
    FineTuneJobStatus,
    Progress,
    StageStatus,
    Workers,
)

pytestmark = pytest.mark.cluster

JOB, SERVICE = "FineTuneJob", "ModelService"


@pytest.fixture
def explained(cluster, scratch_group, until):
    """What kubectl tells of a field; a kind's schema is published some time after the kind."""

    async def told(path):
        command = [str(cluster.kubectl), f"--kubeconfig={cluster.kubeconfig}", "explain", path]

        async def published():
            done = await asyncio.create_subprocess_exec(
                *command, f"--api-version={scratch_group}/v1alpha1", stdout=asyncio.subprocess.PIPE
            )
            said, _ = await done.communicate()
            return said.decode() if done.returncode == 0 else None

        return await until(published, f"kubectl explains {path}")

    return told


@pytest.mark.parametrize("kind", [JOB, SERVICE])
def test_crd_is_structural_and_established(kubectl, scratch_group, kind):
    body = json.loads(kubectl("get", "crd", f"{kind.lower()}s.{scratch_group}", "-o", "json"))
    conditions = {c["type"]: c["status"] for c in body["status"]["conditions"]}
    assert conditions.get("Established") == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_status_with_every_field_is_applied_strictly(kubectl, stored):
    """What the operator writes, it writes with strict validation: no field may be unknown."""
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
    body = {key: stored["full"][key] for key in ("apiVersion", "kind")}
    body["metadata"] = {"name": "full", "namespace": "default"}
    body["status"] = status.as_object()
    arguments = ("apply", "--server-side", "--subresource=status", "--validate=strict")
    options = ("--field-manager=operator", "--dry-run=server", "-o", "json", "-f", "-")
    applied = json.loads(kubectl(*arguments, *options, stdin=json.dumps(body)))
    assert applied["status"] == status.as_object()


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
async def test_explain_tells_what_a_field_means(explained, path, words):
    said = await explained(path)
    assert words in " ".join(said.split())


@pytest.mark.parametrize(
    ("kind", "wide", "columns"),
    [
        (JOB, False, "NAME PHASE STEP LOSS ETA GPUS AGE"),
        (JOB, True, "NAME PHASE STEP LOSS ETA GPUS AGE MODEL METHOD NODES REASON"),
        (SERVICE, False, "NAME READY MODEL REVISION URL AGE"),
    ],
)
def test_columns(kubectl, scratch_group, stored, kind, wide, columns):
    name = {JOB: "bare", SERVICE: "service"}[kind]
    form = ("-o", "wide") if wide else ()
    said = kubectl("get", f"{kind.lower()}s.v1alpha1.{scratch_group}", name, *form)
    assert " ".join(said.splitlines()[0].split()).startswith(columns)
