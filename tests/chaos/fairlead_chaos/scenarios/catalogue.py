"""Every scenario by its name."""

from typing import Final

from fairlead_chaos.scenario import Scenario
from fairlead_chaos.scenarios.finetune import course, disruptions, failures, waiting
from fairlead_chaos.scenarios.serving import course as serving
from fairlead_chaos.scenarios.serving import foreign, gateways, rollouts, trained

MODULES: Final = (
    course, failures, disruptions, waiting, serving, rollouts, foreign, gateways, trained,
)  # fmt: skip
ALL: Final[dict[str, Scenario]] = {
    scenario.name: scenario for module in MODULES for scenario in module.ALL
}
