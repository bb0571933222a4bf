"""A whole cluster with Fairlead installed: real kubelet, real images, the chart as users get it."""

import dataclasses
import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead_api import conditions
from fairlead_api.base import Condition
from fairlead_cluster import cluster as clusters
from fairlead_cluster import images, registry, release, settings, up

Manifest = dict[str, Any]
POLL_SECONDS = 0.5
READ_SECONDS = 60
MAKE_BASE = """
import json, pathlib, sys
import pyarrow, pyarrow.parquet
from tokenizers import Tokenizer, models, pre_tokenizers, decoders
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
target = pathlib.Path(sys.argv[1])
letters = [chr(code) for code in range(32, 127)]
words = {token: index for index, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *letters])}
plain = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
plain.pre_tokenizer = pre_tokenizers.Split("", "isolated")
plain.decoder = decoders.Fuse()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=plain, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
config = LlamaConfig(vocab_size=len(words), hidden_size=64, intermediate_size=128,
    num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, head_dim=32,
    max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LlamaForCausalLM(config).save_pretrained(target)
tokenizer.save_pretrained(target)
rows = [{"prompt": f"{number} litres", "completion": f" {number} l"} for number in range(50)]
data = target.parent / "data"
data.mkdir()
pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), data / "volumes.parquet")
(data / "broken.jsonl").write_text(json.dumps(rows[0]) + "\\n" + '{"prompt": ')
"""


class Unreachable(AssertionError):
    """The API server gave no answer in the time that kubectl allows for a handshake."""


class Kube:
    """kubectl against one namespace of the test cluster."""

    def __init__(self, kubectl: Path, kubeconfig: Path, namespace: str) -> None:
        self.command = [str(kubectl), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
        self.namespace = namespace

    def run(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl and return what it prints; what it complains of is in the error."""
        done = subprocess.run(
            [*self.command, *arguments], input=stdin, capture_output=True, text=True, timeout=120
        )
        if check and done.returncode:
            is_cut_off = "Unable to connect to the server" in done.stderr
            kind = Unreachable if is_cut_off else AssertionError
            raise kind(f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout + done.stderr

    def read(self, *arguments: str) -> str:
        """As run, for what changes nothing: an API server too busy to answer is asked again."""
        deadline = time.monotonic() + READ_SECONDS
        while True:
            try:
                return self.run(*arguments)
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def apply(self, *manifests: Manifest) -> str:
        """Apply manifests as a user does: client-side, with strict validation."""
        return self.run("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def find(self, kind: str, name: str) -> Manifest | None:
        """The object, or None where there is none."""
        text = self.read("get", kind, name, "--ignore-not-found", "-o", "json")
        found: Manifest | None = json.loads(text) if text.strip() else None
        return found

    def get(self, kind: str, name: str) -> Manifest:
        """The object, which must be there."""
        found = self.find(kind, name)
        assert found is not None, f"{kind}/{name} is not there"
        return found

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        """All objects of a kind that the label selector takes."""
        text = self.read("get", kind, "-l", selector, "-o", "json")
        items: list[Manifest] = json.loads(text)["items"]
        return items

    def wait(
        self,
        kind: str,
        name: str,
        until: Callable[[Manifest], object],
        timeout: float = 300,
        what: str = "condition",
    ) -> Manifest:
        """Wait until the object satisfies ``until``; a timeout shows the object as it stands."""
        deadline = time.monotonic() + timeout
        found: Manifest | None = None
        while time.monotonic() < deadline:
            found = self.find(kind, name)
            if found is not None and until(found):
                return found
            time.sleep(POLL_SECONDS)
        status = yaml.safe_dump((found or {}).get("status", "not there"))
        pods = self.run("get", "pods,jobs", "-o", "wide", check=False)
        events = self.run("get", "events", "--sort-by=.lastTimestamp", check=False)
        raise AssertionError(
            f"{kind}/{name}: no {what} after {timeout:.0f} s\n{status}\n{pods}\n{events[-3000:]}"
        )

    def wait_for(
        self, kind: str, name: str, type_: str, timeout: float = 300, status: str = "True"
    ) -> Condition:
        """Wait for a condition of ours, and return it; fails at once when the resource Failed."""

        def there(manifest: Manifest) -> bool:
            failed = self.condition(manifest, "Failed")
            if type_ != "Failed" and failed is not None and failed.status == "True":
                pytest.fail(f"{kind}/{name} failed: {failed.reason}: {failed.message}")
            found = self.condition(manifest, type_)
            return found is not None and found.status == status

        manifest = self.wait(kind, name, there, timeout, f"{type_}={status}")
        found = self.condition(manifest, type_)
        assert found is not None
        return found

    def volume(self, claim: str) -> Path:
        """Where a claim's files lie on this machine."""
        name = self.get("pvc", claim)["spec"]["volumeName"]
        spec = self.get("pv", name)["spec"]
        return Path((spec.get("hostPath") or spec["local"])["path"])

    def condition(self, manifest: Manifest, type_: str) -> Condition | None:
        """A condition of a custom resource's status."""
        listed = manifest.get("status", {}).get("conditions", [])
        return conditions.find([Condition.model_validate(one) for one in listed], type_)


@dataclasses.dataclass(frozen=True)
class Installed:
    """A cluster with the chart in it."""

    cluster: clusters.Cluster
    release: release.Release
    images: dict[str, str]
    """Image name to the reference that nodes pull."""

    def kube(self, namespace: str) -> Kube:
        """kubectl in a namespace."""
        return Kube(self.cluster.cache.path("kubectl"), self.cluster.where.kubeconfig, namespace)


@pytest.fixture(scope="session")
def installed() -> Installed:
    """Bring up FAIRLEAD_E2E_CLUSTER whole, with this tree's images and chart.

    It stays up afterwards, so that a second run is quick; `fairlead-cluster down` removes it.
    """
    if os.geteuid() != 0:
        pytest.skip("the embedded cluster needs root")
    name = os.environ.get("FAIRLEAD_E2E_CLUSTER", "fairlead-e2e")
    chosen = dataclasses.replace(settings.load(), name=settings.check_name(name))
    opened = up.up(chosen, up.Wanted())
    own = registry.ensure(chosen.state_dir, opened.cache)
    workshop = images.open_workshop(chosen.cache_dir, images.Options())
    references = workshop.push(release.RELEASED, own)
    chart = release.Release(opened.cache.path("helm"), opened.where.kubeconfig)
    chart.install(references)
    return Installed(opened, chart, references)


_numbers = itertools.count(1)


@pytest.fixture
def kube(installed: Installed) -> Iterator[Kube]:
    """A namespace of the test's own under Pod Security "restricted", with a claim "storage"."""
    fresh = _new_namespace(installed, f"e2e-{os.getpid()}-{next(_numbers)}")
    yield fresh
    fresh.run("delete", "namespace", fresh.namespace, "--wait=false")


@pytest.fixture(scope="session")
def shared_kube(installed: Installed) -> Iterator[Kube]:
    """As kube, shared by all tests: one base serves them all."""
    fresh = _new_namespace(installed, f"e2e-{os.getpid()}")
    yield fresh
    fresh.run("delete", "namespace", fresh.namespace, "--wait=false")


@pytest.fixture(scope="session")
def restricted_pod() -> Callable[..., Manifest]:
    """A function that makes the spec of a pod that Pod Security "restricted" admits."""
    return _restricted_pod


def _restricted_pod(image: str, command: list[str], mounts: dict[str, Manifest]) -> Manifest:
    """A pod of one container; ``mounts`` are sources of volumes by the path in it."""
    writable = {"/tmp": {"emptyDir": {}}, "/dev/shm": {"emptyDir": {"medium": "Memory"}}}
    volumes = {
        path.strip("/").replace("/", "-"): (path, source)
        for path, source in (writable | mounts).items()
    }
    container = {
        "name": "main",
        "image": image,
        "command": command,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": name, "mountPath": path} for name, (path, _) in volumes.items()],
    }
    return {
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": name} | source for name, (_, source) in volumes.items()],
    }


@pytest.fixture(scope="session")
def base(shared_kube: Kube, installed: Installed) -> str:
    """A random model in the claim, made by a Job in the trainer's image, with data/ beside it."""
    pod = _restricted_pod(
        installed.images["trainer"],
        ["python", "-c", MAKE_BASE, "/storage/base"],
        {"/storage": {"persistentVolumeClaim": {"claimName": "storage"}}},
    )
    shared_kube.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "make-base"},
            "spec": {"backoffLimit": 0, "template": {"spec": pod}},
        }
    )
    shared_kube.wait_for("job", "make-base", "Complete")
    return "pvc://storage/base"


def _new_namespace(installed: Installed, name: str) -> Kube:
    kube = installed.kube(name)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    claim = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "2Gi"}},
    }
    kube.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
    )
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "storage"},
            "spec": claim,
        }
    )
    return kube
