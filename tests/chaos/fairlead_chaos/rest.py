"""Whether a run's namespace is at rest: the resourceVersions of all that the run is about.

Reads only.
"""

import asyncio
from typing import Final

from fairlead_chaos import admin as administration
from fairlead_chaos.admin import Admin
from fairlead_operator import kube

_KINDS: Final = (
    *kube.PARENTS, *kube.CHILDREN, administration.REPLICA_SET, kube.CLAIM, kube.SECRET,
)  # fmt: skip


async def state(admin: Admin, namespace: str) -> dict[tuple[str, str, str], str]:
    """The resourceVersion of every object, by plural, name and uid: equal twice, all is at rest."""
    found = {}

    async def look(kind: kube.Kind) -> None:
        try:
            listed = await admin.listing(kind, namespace, accept=administration.HEADS)
        except kube.NotFound:  # an optional kind
            return
        for item in listed["items"] or []:  # null where there is none
            head = item["metadata"]
            found[kind.plural, head["name"], head["uid"]] = head["resourceVersion"]

    await asyncio.gather(*map(look, _KINDS))
    return found
