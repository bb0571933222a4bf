"""ReconcileError in a status: how a failed pass is named there, and unnamed when it is over.

As ``reconcile`` writes it: at the end of the conditions, until a pass has done all its acts.
"""

from fairlead_api.conditions import RECONCILE_ERROR, Reason
from fairlead_model.objects import NOW_TEXT, Obj, status_of
from fairlead_operator.plan import Manifest


def error_of(resource: Obj) -> list[Manifest]:
    """The ReconcileError that stands in a resource's status, as a list of one or none."""
    found = resource.manifest.get("status", {}).get("conditions") or []
    return [condition for condition in found if condition["type"] == RECONCILE_ERROR]


def with_error(status: Manifest, error: list[Manifest]) -> Obj:
    """A status with this ReconcileError, or none, at the end of its conditions."""
    others = [c for c in status.get("conditions") or [] if c["type"] != RECONCILE_ERROR]
    return status_of(status | {"conditions": others + error})


def named(resource: Obj, reason: Reason, message: str) -> Manifest:
    """The ReconcileError of a failed pass."""
    before = error_of(resource)
    return {
        "type": RECONCILE_ERROR,
        "status": "True",
        "reason": reason.value,
        "message": message,
        "lastTransitionTime": before[0]["lastTransitionTime"] if before else NOW_TEXT,
        "observedGeneration": resource.manifest["metadata"]["generation"],
    }
