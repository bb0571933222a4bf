"""What a task does about a resource that may be there already; pure.

A task may run again because its worker was lost, because its work failed, or because somebody
cleared it. Work that goes on or is done is taken over, whoever waited for it before; work that
failed is done anew.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from fairlead_airflow import naming
from fairlead_airflow.manifests import Manifest
from fairlead_api import names, outcome


class Step(StrEnum):
    """What comes next."""

    APPLY = "Apply"
    ATTACH = "Attach"
    REPLACE = "Replace"  # delete, wait until it is gone, apply
    RESUME = "Resume"  # attach to what a kill has suspended
    WAIT = "Wait"  # it is on its way out; then apply


class ForeignResource(ValueError):
    """A FineTuneJob of that name was made by somebody else."""


def decide(wanted: Manifest, found: Mapping[str, Any] | None) -> Step:
    """The step for a manifest, given the resource of its name.

    Raises:
        ForeignResource: When taking it over could hand out another's result.
    """
    if found is None:
        return Step.APPLY
    if found["metadata"].get("deletionTimestamp"):
        return Step.WAIT
    if wanted["kind"] != names.FINETUNEJOB:
        return Step.APPLY  # what serves may change at any time
    ours, theirs = (body["metadata"].get("annotations") or {} for body in (wanted, found))
    task = ours[names.ANNOTATION_TASK]
    if theirs.get(names.ANNOTATION_TASK) != task:
        maker = theirs.get(names.ANNOTATION_TASK)
        name = f"FineTuneJob {wanted['metadata']['name']}"
        raise ForeignResource(
            f"{name} was made by {f'task {maker}' if maker else 'somebody else'}, not by this"
            " task's run: leave the name out (each run gets its own), or delete that job"
        )
    if theirs.get(names.ANNOTATION_SPEC) != ours[names.ANNOTATION_SPEC]:
        return Step.REPLACE
    if isinstance(outcome.of_body(found), outcome.Failed):
        return Step.REPLACE
    is_suspended = found["spec"].get("suspend") and not wanted["spec"].get("suspend")
    return Step.RESUME if is_suspended else Step.ATTACH


def with_maker(wanted: Manifest, found: Mapping[str, Any] | None) -> Manifest:
    """The manifest with the note of who made the resource first, not of who changes it now."""
    if found is None:
        return wanted
    maker = (found["metadata"].get("annotations") or {}).get(names.ANNOTATION_TASK)
    annotations = {**wanted["metadata"]["annotations"], names.ANNOTATION_TASK: maker}
    if maker is None:
        del annotations[names.ANNOTATION_TASK]
    return {**wanted, "metadata": {**wanted["metadata"], "annotations": annotations}}


def made_in_any_run(found: Mapping[str, Any], task: naming.TaskKey) -> bool:
    """Whether a resource was made by this task, be it in an earlier run."""
    annotations = found["metadata"].get("annotations") or {}
    return task.is_in_any_run(annotations.get(names.ANNOTATION_TASK) or "")


def made(found: Mapping[str, Any], task: object) -> bool:
    """Whether a resource was made by this task's run, so that it is the task's to end."""
    annotations = found["metadata"].get("annotations") or {}
    return bool(annotations.get(names.ANNOTATION_TASK) == str(task))
