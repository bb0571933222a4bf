"""Whether a child stands already as it should, so that it need not be applied again.

Two things make an apply needful: our manifest is another than the one applied last (its hash is
an annotation), or somebody changed what we set. Fields that we never set, such as the API
server's defaults, are nobody's concern here.
"""

from typing import Any, Final

from fairlead_api import names, quantities
from fairlead_operator.plan import Manifest
from fairlead_operator.serving import revision


def stamped(manifest: Manifest) -> Manifest:
    """The manifest with its own hash as annotation."""
    head = manifest["metadata"]
    own = {names.ANNOTATION_APPLIED: revision.short_hash(manifest)}
    return manifest | {"metadata": head | {"annotations": head.get("annotations", {}) | own}}


def stands(manifest: Manifest, seen: Manifest | None) -> bool:
    """Whether an object that was seen says all that a stamped manifest says."""
    return seen is not None and _covers(seen, manifest)


_MERGED: Final = frozenset(
    {
        "containers", "env", "imagePullSecrets", "ownerReferences", "ports",
        "topologySpreadConstraints", "volumeMounts", "volumes",
    }
)  # fmt: skip
"""Lists that an apply merges by key, so that another's entries stay in them; the rest is ours."""


def _covers(seen: Any, wanted: Any, *, is_merged: bool = False) -> bool:
    if isinstance(wanted, dict):
        return isinstance(seen, dict) and all(
            key in seen and _covers(seen[key], value, is_merged=key in _MERGED)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        if is_merged and isinstance(seen, list):
            return all(any(_covers(entry, each) for entry in seen) for each in wanted)
        return (
            isinstance(seen, list)
            and len(seen) == len(wanted)
            and all(_covers(*pair) for pair in zip(seen, wanted, strict=True))
        )
    if seen == wanted:
        return True
    amount = quantities.amount(wanted)  # the API server writes 1000m back as 1
    return amount is not None and amount == quantities.amount(seen)
