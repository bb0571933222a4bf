"""What an administrator or a neighbour does around a resource: quotas, claims that come late."""

from typing import Final

from fairlead_chaos import tenant
from fairlead_chaos.admin import NAMESPACE, QUOTA
from fairlead_chaos.scenario import Hands, Manifest
from fairlead_chaos.scenarios import manifests, states

_QUOTA: Final = "quota"


async def quota(hands: Hands, **hard: str) -> None:
    """Make a quota, and wait until it is counted: before that it refuses everything."""
    await hands.create(manifests.quota(_QUOTA, **hard))
    wanted = manifests.limits(**hard)

    def counts(found: Manifest | None) -> bool:
        return bool(states.status_of(found).get("hard") == wanted)

    await hands.until(QUOTA, _QUOTA, counts, "the quota counts")


async def raise_quota(hands: Hands, **hard: str) -> None:
    """Give the quota more room."""
    await hands.patch(QUOTA, _QUOTA, {"spec": {"hard": manifests.limits(**hard)}})


async def claim(hands: Hands, name: str, mode: str = "ReadWriteOnce") -> None:
    """Make a claim and the volume that it is bound to."""
    await volume(hands, name, mode)
    await unbound_claim(hands, name, mode)


async def volume(hands: Hands, name: str, mode: str = "ReadWriteOnce") -> None:
    """Make the volume for the claim of that name."""
    await hands.create(tenant.volume(await _namespace(hands), name, mode))


async def unbound_claim(hands: Hands, name: str, mode: str = "ReadWriteOnce") -> None:
    """Make a claim that waits for its volume."""
    await hands.create(tenant.claim(await _namespace(hands), name, mode))


async def _namespace(hands: Hands) -> Manifest:
    owner = await hands.until(NAMESPACE, hands.namespace, states.is_there, "the namespace")
    assert owner is not None
    return owner
