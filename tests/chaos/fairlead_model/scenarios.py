"""What is searched: which disturbances, how many on one way, which watches lag.

A table. A scenario is one model to search by itself, so scenarios run side by side; together
they hold every disturbance there is, of either kind of resource.
"""

from dataclasses import dataclass
from typing import Final

from fairlead_model import serving_world, training_world
from fairlead_model.explore import Model
from fairlead_model.operator_model import Operator
from fairlead_model.planted import Bug
from fairlead_model.serving import Serving
from fairlead_model.training import Training

_TRAINING: Final = training_world.MENU
_SERVING: Final = serving_world.MENU
_EDITS: Final = frozenset(name for name in _SERVING if name.startswith("edit "))


@dataclass(frozen=True)
class Scenario:
    """One search."""

    name: str
    menu: frozenset[str]
    """Disturbances that may happen; the operator's own troubles come with each."""
    budget: int = 2
    """Most disturbances on one way."""
    lagging: frozenset[str] = frozenset()
    """Kinds whose watches may tell late."""
    size: int = 1
    """Workers of the job, replicas of the service."""
    by_job: bool = False
    """Whether the service serves the artifact of a FineTuneJob."""
    sample: int = 10_000
    """States in ``make test``."""

    @property
    def is_training(self) -> bool:
        """Whether it is about a FineTuneJob."""
        return self.menu <= _TRAINING and not self.menu <= _SERVING

    def model(self, bug: Bug | None = None) -> Model:
        """The model to search, with a planted bug where one is given."""
        menu = bug.menu if bug and bug.menu else self.menu
        domain: Training | Serving
        if self.is_training:
            domain = Training(menu, workers=self.size)
        else:
            domain = Serving(menu, replicas=self.size, by_job=self.by_job)
        if bug is not None and bug.wrap is not None:
            domain.planner = bug.wrap(domain.planner)
        operator = bug.operator if bug and bug.operator else Operator
        return Model(domain, self.lagging, operator, has_troubles=not (bug and bug.menu))


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "train-users",
            frozenset({"suspend", "delete", "recreate", "squat", "lose claim"}),
            sample=15_000,
        ),
        Scenario(
            "train-pods",
            frozenset({"fail", "end mutely", "silence", "evict", "lose node", "delete Pod"}),
            size=2,
            sample=15_000,
        ),
        Scenario(
            "train-children",
            frozenset({"delete Job", "delete Pod", "delete ConfigMap or Service", "suspend"}),
            budget=3,
            size=2,
            sample=15_000,
        ),
        Scenario(
            "train-squatters",
            frozenset({"suspend", "delete Job", "delete ConfigMap or Service", "squat"}),
            budget=3,
            size=2,
        ),
        Scenario("train-late-watches", _TRAINING, 3, frozenset(Training.watched), sample=15_000),
        Scenario("serve-users", _EDITS | {"delete", "recreate"}, 3, size=2, sample=6_000),
        Scenario("serve-children", frozenset({"delete child", "meddle", "squat"}), sample=6_000),
        Scenario(
            "serve-troubles",
            frozenset({"break", "refuse model", "overdue", "upgrade", "edit engine"}),
            budget=3,
            size=2,
            sample=6_000,
        ),
        Scenario(
            "serve-gateways",
            frozenset({"refuse route", "lose gateway", "lose claim", "edit gatewayRefs"})
            | {"edit engine", "unserve Gateway API"},
            budget=3,
            sample=6_000,
        ),
        Scenario(
            "serve-jobs",
            frozenset({"job", "edit model", "lose claim", "delete", "recreate"}),
            budget=3,
            by_job=True,
            sample=6_000,
        ),
        Scenario("serve-late-watches", _SERVING, 2, frozenset(Serving.watched), sample=6_000),
    )
}
