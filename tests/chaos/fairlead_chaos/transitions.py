"""Every way from one spec of a ModelService to another, and what must stand in the end.

Pure. After Acto: whatever a service has been before, it ends like one that was made so. States
are changes over a base spec, by field; those that can't be served (``Good.NEVER``) must leave what
serves alone, and the way back from an error must lead where any other way leads. ``walk.py`` goes
these ways on a real API server.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise, permutations
from typing import Any, Final

Manifest = dict[str, Any]


class Good(StrEnum):
    """Whether a spec can be served."""

    ALWAYS = "Always"
    NEVER = "Never"
    """Its pods never become ready, or it is refused: an error state."""
    UNROUTED = "Unrouted"
    """Its pods serve, and no gateway leads there: an error state that changes no pods."""


@dataclass(frozen=True)
class State:
    """A value of one field, as a merge patch over the spec; null takes the field away."""

    field: str
    name: str
    change: tuple[tuple[str, Any], ...]
    """Path with dots, and the value at it."""
    good: Good = Good.ALWAYS

    @property
    def title(self) -> str:
        """For people and result files."""
        return f"{self.field}={self.name}"

    @property
    def patch(self) -> Manifest:
        """The JSON merge patch of the spec."""
        made: Manifest = {}
        for path, value in self.change:
            *parents, last = path.split(".")
            at = made
            for parent in parents:
                at = at.setdefault(parent, {})
            at[last] = value
        return made


def _of(
    field: str,
    path: str,
    good: dict[str, Any],
    bad: dict[str, Any] | None = None,
    how_bad: Good = Good.NEVER,
) -> Any:
    """The states of a field that stands at one path."""
    states = [State(field, name, ((path, value),)) for name, value in good.items()]
    states += [State(field, name, ((path, value),), how_bad) for name, value in (bad or {}).items()]
    return tuple(states)


_CPU: Final = {"requests": {"cpu": "10m"}, "limits": {"cpu": "2"}}
_MEMORY: Final = {"requests": {"memory": "64Mi"}, "limits": {"memory": "1Gi"}}
_NO_SUCH_NODE: Final = {"limits": {"example.com/nowhere": "1"}}
TRAINED: Final = "trained"
"""A FineTuneJob that is complete before any way begins."""
UNTRAINED: Final = "untrained"
"""One that stays suspended."""
EDGE, OTHER = "edge", "other"
"""Gateways that are there before any way begins; the other's port isn't HTTP's own."""
_LISTENER: Final = {"name": EDGE, "sectionName": "http", "hostnames": ["models.example.com"]}


def _of_job(name: str) -> Manifest:
    return {"uri": None, "fineTuneJobRef": {"name": name}}


STATES: Final[tuple[State, ...]] = (
    *_of("model", "model",
         {"base": {"uri": "pvc://work/base"}, "other": {"uri": "pvc://work/b"},
          "trained": _of_job(TRAINED)},
         {"lost": {"uri": "pvc://absent/base"}, "untrained": _of_job(UNTRAINED),
          "no-job": _of_job("absent")}),
    *_of("servedModelName", "servedModelName", {"none": None, "short": "units", "long": "u" * 128}),
    *_of("dtype", "engine.dtype", {"none": None, "bfloat16": "bfloat16", "float32": "float32"}),
    *_of("tensorParallelSize", "engine.tensorParallelSize", {"none": None, "1": 1, "2": 2}),
    *_of("maxModelLen", "engine.maxModelLen", {"none": None, "64": 64, "128": 128}),
    *_of("gpuMemoryUtilization", "engine.gpuMemoryUtilization",
         {"none": None, "half": 0.5, "1": 1}),
    *_of("quantization", "engine.quantization", {"none": None, "awq": "awq", "gptq": "gptq"}),
    *_of("extraArgs", "engine.extraArgs",
         {"none": None, "seed": {"seed": "1"}, "two": {"seed": "1", "max-num-seqs": "4"}},
         {"refused": {"trust-remote-code": "true"}, "typed": {"dtype": "auto"}}),
    *_of("resources", "resources", {"none": None, "cpu": _CPU, "memory": _MEMORY},
         {"no-room": _NO_SUCH_NODE}),
    *_of("replicas", "replicas", {"0": 0, "1": 1, "2": 2, "3": 3}),
    *_of("gatewayRefs", "gatewayRefs",
         {"none": None, "edge": [{"name": EDGE}], "listener": [_LISTENER],
          "two": [{"name": OTHER}, {"name": EDGE}]},
         {"absent": [{"name": EDGE, "namespace": "elsewhere"}]}, Good.UNROUTED),
    *_of("maxTokens", "limits.maxTokens", {"none": None, "16": 16, "1024": 1024}),
    *_of("maxQueuedRequests", "limits.maxQueuedRequests", {"none": None, "1": 1, "512": 512}),
)  # fmt: skip


@dataclass(frozen=True)
class Way:
    """Specs that a resource has one after the other; it is made with the first."""

    states: tuple[State, ...]
    context: str
    """Of a service the name of its base spec (``CONTEXTS``), of a job that of its stop."""
    hurried: bool = False
    """Whether the steps follow each other without waiting for rest."""

    @property
    def end(self) -> State:
        """What the resource is in the end."""
        return self.states[-1]

    def so_far(self, num_states: int) -> "Way":
        """Its beginning."""
        return replace(self, states=self.states[:num_states])

    @property
    def error(self) -> State | None:
        """The error state from which it leads back to a served one, where it does."""
        for before, after in pairwise(self.states):
            if before.good is not Good.ALWAYS and after.good is Good.ALWAYS:
                return before
        return None

    @property
    def name(self) -> str:
        """For people and result files."""
        steps = (" hurries to " if self.hurried else " to ").join(
            state.title for state in self.states
        )
        return f"{self.context}: {steps}"


CONTEXTS: Final[dict[str, Manifest]] = {
    "plain": {},
    "replicated": {"replicas": 2},
    "named": {"servedModelName": "named", "limits": {"maxTokens": 64}},
    "sized": {"engine": {"maxModelLen": 32}, "resources": {"requests": {"cpu": "20m"}}},
}
"""Base specs that the states change; none sets what another field's state would."""


def base(context: str) -> Manifest:
    """The spec that every way of a context begins from."""
    return {"model": {"uri": "pvc://work/base"}} | CONTEXTS[context]


def merged(spec: Manifest, patch: Manifest) -> Manifest:
    """A spec after a JSON merge patch (RFC 7386)."""
    found = dict(spec)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            inner = found.get(key)
            found[key] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            found[key] = value
    return found


def spec(state: State, context: str) -> Manifest:
    """The spec of a service that is made in a state."""
    return merged(base(context), state.patch)


def edit(before: Manifest, after: Manifest) -> Manifest:
    """The JSON merge patch that makes one spec of another."""
    patch: Manifest = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            patch[key] = edit(old, value)
        elif value != old:
            patch[key] = value
    return patch


def ways() -> Iterator[Way]:
    """Every pair of a field's states in every context; through errors and back; in a hurry."""
    for context in CONTEXTS:
        for field in dict.fromkeys(state.field for state in STATES):
            states = [state for state in STATES if state.field == field]
            good = [state for state in states if state.good is Good.ALWAYS]
            for pair in permutations(states, 2):
                yield Way(pair, context)
            for bad in (state for state in states if state.good is not Good.ALWAYS):
                for before in good:
                    for after in good:
                        yield Way((before, bad, after), context)
            for three in permutations(good, 3):
                yield Way(three, context, hurried=True)


def scratch(way: Way) -> Way:
    """The way of a service that is made as this one ends."""
    return Way((way.end,), way.context)
