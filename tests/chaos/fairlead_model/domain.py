"""What the model must know of one kind of resource: the seam between the two kinds and the rest.

A Protocol only. A domain builds the planner's input from what the operator believes, moves the
world of its kind by single events, and judges what the operator does to it.
"""

from collections.abc import Iterator
from typing import Protocol

from fairlead_model.objects import Obj, Objects
from fairlead_model.state import Planned, State, Step, Write


class Domain(Protocol):
    """One kind of resource and the world around it."""

    kind: str
    """The resource's kind."""
    name: str
    """The resource's name."""
    watched: tuple[str, ...]
    """Kinds that the operator watches for this resource, the resource's own first."""

    @property
    def num_plans(self) -> int:
        """Different inputs that ``plan()`` was asked with."""
        ...

    def start(self, left: int) -> State:
        """The state in which the resource was just made."""
        ...

    def plan(self, cache: Objects, facts: object) -> Planned:
        """What the running ``plan()`` answers to what is in the cache now."""
        ...

    def progress(self, state: State) -> Iterator[Step]:
        """What the cluster does by itself, undisturbed: controllers, kubelets, gateways."""
        ...

    def disturbances(self, state: State) -> Iterator[Step]:
        """What users, other people and bad luck may do now."""
        ...

    def healed(self, state: State) -> State:
        """The state when what is broken outside is mended, but for what the user asked for."""
        ...

    def aged(self, facts: object) -> object:
        """The facts after so long a time that nothing remembered is young."""
        ...

    def serves(self, facts: object, kind: str) -> bool:
        """Whether the API server knows a kind now."""
        ...

    def caught_up(self, state: State) -> State:
        """The state after the observer has read live what it must not miss."""
        ...

    def judge_plan(self, state: State, seen: Obj, answer: Planned) -> str:
        """What is wrong with a plan at the moment it is made; empty: nothing."""
        ...

    def committed(self, before: State, write: Write, after: State, made: Obj | None) -> Step:
        """Judge a write of the operator that the API server took; the label is left empty."""
        ...

    def judge_rest(self, state: State) -> str:
        """What is wrong with a state in which everything has come to rest; empty: nothing."""
        ...
