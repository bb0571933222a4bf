"""Stories told only to show a planted bug: shorter than those of the campaigns, or of two halves.

As scenarios they are like the others; no campaign tells them.
"""

from typing import Final

from fairlead_chaos.scenario import Scenario
from fairlead_chaos.scenarios import states
from fairlead_chaos.scenarios.services import Service, scenario
from fairlead_operator import kube


async def moved_on(service: Service) -> None:
    """From one revision to the next, without pods; it ends when the first has no Deployment."""
    await service.create(replicas=0)
    await service.until(states.serves(), "it stands without pods")
    first = await service.stable()
    generation = await service.edit(engine={"maxModelLen": 64})
    await service.until(states.serves(generation), "it stands at the next revision")
    await service.is_gone(kube.DEPLOYMENT, first)


async def there_and_back(service: Service) -> None:
    """From one revision to the next and back to the first by its record, without pods."""
    await service.create(replicas=0)
    await service.until(states.serves(), "it stands without pods")
    for length in (64, None):
        before = await service.stable()
        generation = await service.edit(engine={"maxModelLen": length})
        await service.until(states.serves(generation), "it stands at the next revision")
        await service.is_retired(before)


async def scaled_and_gone(service: Service) -> None:
    """Scaled, then deleted with all that it had."""
    await service.create(replicas=0)
    await service.until(states.serves(), "it stands without pods")
    revision = await service.stable()
    await service.scale(1)
    await service.hands.until(
        kube.DEPLOYMENT,
        service.child_name(revision),
        states.has_spec(replicas=1),
        "its Deployment is scaled",
    )
    await service.delete()
    await service.is_forgotten(revision)
    await service.is_gone(kube.SERVICE)
    await service.has_pods(0)


ALL: Final[tuple[Scenario, ...]] = (
    scenario(moved_on),
    scenario(there_and_back),
    scenario(scaled_and_gone),
)
