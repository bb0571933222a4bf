"""The simulated nodes of the bench and what becomes of the pods there; pure.

A kwok process of the bench's own plays these Stages on nodes of the bench's own: those that
`make up` gives to users stay as they are. Pods run at once and stay so; with the ends added they
complete a second after that, with the termination message of their stage.
"""

import json

import yaml

from fairlead_api import names
from fairlead_api.finetunestatus import Stage
from fairlead_chaos.scenarios import ends
from fairlead_cluster import processes

NAME = "bench-kwok"
ANNOTATION, MARK = "kwok.x-k8s.io/node", "fairlead-bench"
RUN_MILLISECONDS = 1000
HEARTBEAT_FILE = "node/heartbeat/node-heartbeat.yaml"
OTHER_FILES = ("node/fast/node-initialize.yaml", "pod/fast/pod-ready.yaml")
HEARTBEAT = {"durationMilliseconds": 5000, "jitterDurationMilliseconds": 6000}
"""A restart begins it anew. After 50 s without one Kubernetes takes a node for dead and its pods
for not ready, which they stay; kwok's own 20 to 45 s don't keep within that."""
_CONFIGURATION = """apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options:
  podPlayStageParallelism: 16
  nodePlayStageParallelism: 4
  nodeLeaseParallelism: 4
  podsOnNodeSyncParallelism: 16
"""
_GONE = """apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: pod-gone
spec:
  resourceRef:
    apiGroup: v1
    kind: Pod
  selector:
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: Exists}
    - {key: .metadata.finalizers, operator: DoesNotExist}
  next:
    delete: true
"""
_STAGE = """apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: {name}
spec:
  resourceRef:
    apiGroup: v1
    kind: Pod
  selector:
    matchExpressions:
{selector}
  delay:
    durationMilliseconds: {delay}
  next:
    statusTemplate: |
      {{{{ $now := Now }}}}
      phase: {phase}
      containerStatuses:
      {{{{ range .spec.containers }}}}
      - name: {{{{ .name | Quote }}}}
        image: {{{{ .image | Quote }}}}
        imageID: ""
        ready: false
        restartCount: 0
        started: false
        state:
          terminated:
            exitCode: {code}
            reason: {reason}
            message: {message}
            startedAt: {{{{ $now | Quote }}}}
            finishedAt: {{{{ $now | Quote }}}}
      {{{{ end }}}}
"""


def stages(folder, ends):
    """The configuration of kwok; with the ends of pods or without.

    Args:
        folder: `kustomize/stage` of the kwok module.
        ends: Whether pods complete.
    """
    texts = [_CONFIGURATION, _heartbeat((folder / HEARTBEAT_FILE).read_text())]
    texts += [(folder / file).read_text() for file in OTHER_FILES]
    texts += [_GONE, _interrupted()]
    if ends:
        texts += [_end(stage) for stage in Stage]
    return "\n---\n".join(texts)


def _heartbeat(text):
    """kwok's own, more often."""
    stage = yaml.safe_load(text)
    stage["spec"]["delay"] = HEARTBEAT
    return yaml.safe_dump(stage)


def _selector(*expressions):
    return "\n".join(f"    - {json.dumps(expression)}" for expression in expressions)


def _end(stage):
    message = ends.success(stage)
    selector = _selector(
        {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
        {"key": ".status.phase", "operator": "In", "values": ["Running"]},
        {
            "key": f'.metadata.labels["{names.LABEL_STAGE}"]',
            "operator": "In",
            "values": [stage.lower()],
        },
    )
    return _STAGE.format(
        name=f"pod-ends-{stage.lower()}", selector=selector, delay=RUN_MILLISECONDS,
        phase="Succeeded", code=0, reason="Completed", message=json.dumps(message),
    )  # fmt: skip


def _interrupted():
    """A deleted pod ends as Failed, as a real kubelet tells it: a Job waits for that."""
    selector = _selector(
        {"key": ".metadata.deletionTimestamp", "operator": "Exists"},
        {"key": ".metadata.finalizers", "operator": "Exists"},
        {"key": ".status.phase", "operator": "In", "values": ["Pending", "Running"]},
    )
    return _STAGE.format(
        name="pod-interrupted", selector=selector, delay=0, phase="Failed", code=137,
        reason="Killed", message='""',
    )  # fmt: skip


def component(parts, config):
    """The process that plays the Stages of a configuration file."""
    return processes.Component(
        name=NAME,
        command=(
            str(parts.programs["kwok"]),
            f"--kubeconfig={parts.where.component_kubeconfig('kwok')}",
            f"--config={config}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-annotation-selector={ANNOTATION}={MARK}",
            f"--node-ip={parts.addresses.node}",
            "--node-port=0",  # no server: its port would be taken for a while after a restart
            "--node-lease-duration-seconds=0",  # a lease would outlive a restart
        ),
        env={"KWOK_WORKDIR": str(parts.where.root / NAME)},
    )


def node(number, num_pods):
    """One simulated node."""
    room = {"cpu": "100k", "memory": "100Ti", "ephemeral-storage": "100Ti", "pods": str(num_pods)}
    name = f"bench-{number:03d}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: MARK},
            "labels": {"kubernetes.io/hostname": name, "type": "kwok"},
        },
        "status": {"capacity": room, "allocatable": room},
    }
