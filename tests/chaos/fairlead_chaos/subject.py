"""What a walk needs to know of a kind whose ways it goes. Types only."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fairlead_chaos.transitions import Manifest, State, Way
from fairlead_operator.kube import Kind

Picture = Manifest
"""A resource at rest as ``Subject.picture`` gives it: those of different pasts compare."""


@dataclass(frozen=True)
class Subject:
    """A kind of ours, its children, and how its resources are told and judged."""

    kind: Kind
    children: tuple[Kind, ...]
    label: str
    """Label of the children with the resource's name."""
    spec: Callable[[State, str], Manifest]
    """The spec of a state in a context."""
    picture: Callable[[Manifest, Iterable[Manifest]], Picture]
    """Of a resource and its children."""
    rests: Callable[[Way, Picture], bool]
    """Whether a resource that came this way is all that it can be at its end."""
    needed: Callable[[Way], Iterable[Way]]
    """Ways of one state, whose pictures an end is compared with."""
    faults: Callable[[Way, Mapping[str, Picture]], list[str]]
    """What is wrong with where a way led; pictures by the names of ways."""
    stands_first: bool = False
    """Whether a hurried way hurries only once its first state has come to rest."""
