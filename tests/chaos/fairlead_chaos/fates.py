"""Renders kwok's stages from the fates of all scenarios: what a simulated kubelet does to pods.

Pure data. A pod becomes Running as soon as it is bound, then ends as its fate says or runs on; one
that is always restarted ends once and stays in its back-off. A deleted pod ends as Failed first,
since a Job with a pod failure policy waits for that. Which scenario a pod belongs to is told by
its namespace, so scenarios may use the same names.
"""

import json
import secrets
from collections.abc import Iterable
from typing import Any, Final

from fairlead_chaos.scenario import Fate, Manifest

_SUFFIX: Final = 7  # a dash and six digits
_SCENARIO_OF_POD: Final = f".metadata.namespace | .[:-{_SUFFIX}]"
_RESTARTS: Final = ".status.containerStatuses.[].lastState.terminated"
_DELETED, _FINALIZERS, _PHASE = (
    ".metadata.deletionTimestamp",
    ".metadata.finalizers",
    ".status.phase",
)

_BEGIN: Final = """
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "READY", lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "READY", lastTransitionTime: {{ $now | Quote }}}
{{ if .spec.initContainers }}
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  restartCount: 0
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
{{ end }}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: ISREADY
  started: true
  restartCount: 0
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) \
( or .metadata.name "" ) ( or .metadata.namespace "" ) | Quote }}
"""
_END: Final = """
{{ $now := Now }}
{{ $begin := or .status.startTime $now }}
{{ $again := eq .spec.restartPolicy "Always" }}
phase: {{ if $again }}Running{{ else }}PHASE{{ end }}
conditions:
- {type: Ready, status: "False", reason: PodREASON, lastTransitionTime: {{ $now | Quote }}}
- type: ContainersReady
  status: "False"
  reason: PodREASON
  lastTransitionTime: {{ $now | Quote }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: false
  started: false
  restartCount: {{ if $again }}1{{ else }}0{{ end }}
{{ if $again }}
  state: {waiting: {reason: CrashLoopBackOff, message: back-off restarting failed container}}
  lastState:
{{ else }}
  state:
{{ end }}
    terminated:
      exitCode: CODE
      reason: WHY
      message: MESSAGE
      startedAt: {{ $begin | Quote }}
      finishedAt: {{ $now | Quote }}
{{ end }}
"""


class FateError(Exception):
    """Two fates of a scenario would befall the same pods."""


def namespace_of(scenario: str) -> str:
    """A new name of a namespace for one run of a scenario."""
    return f"{scenario}-{secrets.token_hex(3)}"


def scenario_of(namespace: str) -> str:
    """The scenario whose run a namespace was made for."""
    return namespace[:-_SUFFIX]


def stages(fates: Iterable[Fate]) -> list[Manifest]:
    """Every stage of pods: those that all go through, and those of the fates.

    Where a pod has the labels of two fates, the one that has the other's labels and more befalls
    it; raises FateError where neither has.
    """
    known = list(fates)
    found = [
        _stage("pod-begin", _alive("Pending"), _begin(is_ready=True)),
        _stage("pod-interrupted", _INTERRUPTED, _end(137, "")),
        _stage("pod-delete", [_exists(_DELETED), _absent(_FINALIZERS)], None),
    ]
    for number, fate in enumerate(known):
        mine = [_in(_SCENARIO_OF_POD, fate.scenario), *_but_for(_more_special(fate, known))]
        if not fate.is_ready:
            begin = _stage(f"begin-{number}", [*_alive("Pending"), *mine], _begin(is_ready=False))
            found.append(_chosen(begin, fate, milliseconds=0))
        if fate.exit_code is not None:
            end = _end(fate.exit_code, fate.message)
            stage = _stage(f"end-{number}", [*_alive("Running"), _absent(_RESTARTS), *mine], end)
            found.append(_chosen(stage, fate, fate.milliseconds))
    return found


def _more_special(fate: Fate, fates: list[Fate]) -> list[dict[str, str]]:
    """What further labels the pods have that another fate of the same scenario befalls."""
    found = []
    for other in fates:
        if other is fate or other.scenario != fate.scenario:
            continue
        differ = any(fate.selector[key] != other.selector[key] for key in _both(fate, other))
        if differ:
            continue
        if fate.selector.items() < other.selector.items():
            found.append(dict(other.selector.items() - fate.selector.items()))
        elif not other.selector.items() < fate.selector.items():
            raise FateError(f"{fate} and {other} may befall the same pod")
    return found


def _both(one: Fate, other: Fate) -> set[str]:
    return one.selector.keys() & other.selector.keys()


def _but_for(specials: list[dict[str, str]]) -> list[Manifest]:
    found = []
    for labels in specials:
        each = [f".metadata.labels[{json.dumps(k)}] == {json.dumps(v)}" for k, v in labels.items()]
        key = " and ".join(each)
        found.append({"key": key, "operator": "NotIn", "values": ["true"]})
    return found


def _stage(name: str, expressions: list[Manifest], template: str | None) -> Manifest:
    following: Manifest = {"delete": True} if template is None else {"statusTemplate": template}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": expressions},
            "next": following,
        },
    }


def _chosen(stage: Manifest, fate: Fate, milliseconds: int) -> Manifest:
    """Of the pods with the fate's labels; the weight puts it before what befalls every pod."""
    stage["spec"]["selector"]["matchLabels"] = fate.selector
    stage["spec"]["weight"] = 1
    stage["spec"]["delay"] = {"durationMilliseconds": milliseconds}
    return stage


def _begin(*, is_ready: bool) -> str:
    text = str(is_ready)
    return _BEGIN.replace("ISREADY", text.lower()).replace("READY", text)


def _end(code: int, message: str) -> str:
    succeeded = code == 0
    changes: dict[str, Any] = {
        "PHASE": "Succeeded" if succeeded else "Failed",
        "CODE": code,
        "PodREASON": "PodCompleted" if succeeded else "PodFailed",
        "WHY": "Completed" if succeeded else "Error",
        # In the template a message is one of its own strings: braces in it mean nothing.
        "MESSAGE": "{{ " + json.dumps(message) + " | Quote }}",
    }
    text = _END
    for word, value in changes.items():
        text = text.replace(word, str(value))
    return text


def _alive(phase: str) -> list[Manifest]:
    return [_absent(_DELETED), _in(_PHASE, phase)]


def _exists(key: str) -> Manifest:
    return {"key": key, "operator": "Exists"}


def _absent(key: str) -> Manifest:
    return {"key": key, "operator": "DoesNotExist"}


def _in(key: str, *values: str) -> Manifest:
    return {"key": key, "operator": "In", "values": list(values)}


_INTERRUPTED: Final = [_exists(_DELETED), _exists(_FINALIZERS), _in(_PHASE, "Pending", "Running")]
