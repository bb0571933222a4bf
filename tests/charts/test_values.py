"""Values are closed: what the chart doesn't know is refused, and the message names it."""

import json
from pathlib import Path

import pytest
import yaml

CHART = Path(__file__).resolve().parents[2] / "charts/fairlead"
REGISTRY = ("--set", "image.registry=reg")
APIS = (
    "gateway.networking.k8s.io/v1/Gateway",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
)
pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("profile", ["minimal", "full"])
def test_profile_passes_a_strict_lint(helm, profile):
    done = helm.run("lint", str(CHART), "--strict", "-f", str(CHART / f"ci/{profile}-values.yaml"))
    assert done.returncode == 0, done.stdout


def test_full_profile_moves_every_value_from_its_default():
    defaults = _leaves(yaml.safe_load((CHART / "values.yaml").read_text()))
    full = _leaves(yaml.safe_load((CHART / "ci/full-values.yaml").read_text()))
    turned = {path for path in full if full[path] != defaults.get(path)}
    # A tag and a digest exclude each other, and a Gateway must be wanted to be moved.
    exempt = {
        "images.operator.digest",
        "images.server.digest",
        "images.trainer.tag",
        "gateway.enabled",
        "monitoring.enabled",
    }
    assert set(defaults) - exempt <= turned


def _leaves(node, path=""):
    """Values by dotted path; a map that is empty by default is one value."""
    if path in ("monitoring.labels", "operator.nodeSelector") or not isinstance(node, dict):
        return {path: node}
    inner = (_leaves(value, f"{path}.{key}".removeprefix(".")) for key, value in node.items())
    return {key: value for leaves in inner for key, value in leaves.items()}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("imagee.registry=x", "imagee"),
        ("image.registy=x", "registy"),
        ("images.batch.tag=x", "batch"),
        ("images.operator.version=1", "version"),
        ("images.operator.digest=latest", "digest"),
        ("images.operator.repository=UPPER", "repository"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("image.registry=https://reg", "registry"),
        ("operator.replicas=0", "replicas"),
        ("operator.replicas=two", "replicas"),
        ("operator.command=sh", "command"),
        ("operator.resources.claims=x", "claims"),
        ("operator.tolerations[0].ef=NoSchedule", "ef"),
        ("operator.logLevel=LOUD", "logLevel"),
        ("operator.watchNamespaces[0]=Team_A", "watchNamespaces"),
        ("operator.watchNamespaces=all", "watchNamespaces"),
        ("operator.resyncSeconds=0", "resyncSeconds"),
        ("operator.workers=0", "workers"),
        ("serving.drainSeconds=3601", "drainSeconds"),
        ("serving.startupTimeoutSeconds=5m", "startupTimeoutSeconds"),
        ("serving.requestTimeoutSeconds=0", "requestTimeoutSeconds"),
        ("serving.cpuKvCacheGiB=0", "cpuKvCacheGiB"),
        ("serving.sharedMemory=2", "sharedMemory"),
        ("serving.replicas=2", "replicas"),
        ("allowedArguments.engine[0]=with space", "allowedArguments"),
        ("allowedArguments.server=x", "server"),
        ("gateway.port=0", "port"),
        ("gateway.className=", "className"),
        ("gateway.domain=has space", "domain"),
        ("gateway.domain=UPPER.example", "domain"),
        ("gateway.enabled=maybe", "enabled"),
        ("monitoring.interval=5s", "interval"),
        ("networkPolicy.on=true", "on"),
    ],
    ids=lambda text: text,
)
def test_wrong_value_is_refused_by_name(helm, value, named):
    assert named in helm.refusal(*REGISTRY, "--set", value)


@pytest.mark.parametrize(
    ("arguments", "way_out"),
    [
        ((), "image.registry is empty: set it"),
        ((*REGISTRY, "--set", "gateway.namespace=other"), "set gateway.create=false"),
        (
            (*REGISTRY, "--set", "serving.startupTimeoutSeconds=2400"),
            "set it above serving.startupTimeoutSeconds (2400)",
        ),
    ],
    ids=["no registry", "a new gateway elsewhere", "failed before it may start"],
)
def test_values_that_contradict_say_the_way_out(helm, arguments, way_out):
    assert way_out in helm.refusal(*arguments)


def test_every_value_is_documented():
    lines = (CHART / "values.yaml").read_text().splitlines()
    undocumented = []
    for before, line in zip(lines, lines[1:], strict=False):
        is_leaf = ":" in line and not line.strip().startswith("#") and not line.endswith(":")
        if (
            is_leaf
            and not before.strip().startswith("#")
            and not line.strip().startswith(("requests", "limits"))
        ):
            undocumented.append(line.strip())
    assert undocumented == []


def _types(node, path=()):
    """The type of every scalar, by where it stands; lists of names by their index."""
    if isinstance(node, dict | list):
        children = node.items() if isinstance(node, dict) else enumerate(node)
        inner = (_types(child, (*path, key)) for key, child in children)
        return {place: type_ for types in inner for place, type_ in types.items()}
    return {path: type(node)}


@pytest.mark.parametrize("word", ["2024", "true", "null", "1.5"])
def test_string_stays_a_string_whatever_it_looks_like(helm, word):
    def rendered(text):
        label = text.replace(".", "-")  # where a dot is no part of a name
        values = {
            "image": {"registry": text, "pullSecrets": [text]},
            "images": {"operator": {"repository": label, "tag": text}},
            "operator": {
                "priorityClassName": text,
                "watchNamespaces": [label],
                "nodeSelector": {"key": text},
            },
            "allowedArguments": {"training": [label], "engine": [label]},
            "gateway": {"className": text, "domain": text},
            "monitoring": {"labels": {"key": text}},
        }
        flags = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
        return helm.template(*flags, apis=APIS, release=label, namespace=label)

    assert _types(rendered(word)) == _types(rendered("plain"))
