"""How pods end: fates with the termination messages that a real trainer or server leaves.

Pure. What isn't named here runs on, so a story that acts on running pods finds them running. The
fates are anybody's until ``jobs`` and ``services`` make them those of one scenario.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

from fairlead_api import names
from fairlead_api.artifact import Artifact
from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import EXIT_CODES, Cause, PreparedData, Termination, TrainingResult
from fairlead_chaos.scenario import Fate

DIGEST: Final = "sha256:" + "a" * 64
_RESULTS: Final[dict[Stage, dict[str, Any]]] = {
    Stage.PREPARE: {"prepared": PreparedData(digest=DIGEST, num_rows=1, format="Text")},
    Stage.TRAIN: {"training": TrainingResult(step=9, world_size=1, checkpoint="c/9")},
    Stage.EXPORT: {
        "artifact": Artifact(
            uri="pvc://work/out",
            digest=DIGEST,
            size_bytes=7,
            kind="Model",
            base_model="pvc://work/base",
            dataset_digest=DIGEST,
        )
    },
}
Fates = tuple[Fate, ...]


def pods(stage: Stage, attempt: int) -> dict[str, str]:
    """The labels of an attempt's pods."""
    return {names.LABEL_STAGE: stage.lower(), names.LABEL_ATTEMPT: str(attempt)}


def success(stage: Stage) -> str:
    """The termination message of a stage that went well."""
    return Termination(cause=Cause.SUCCEEDED, **_RESULTS[stage]).to_message()


def succeeds(stage: Stage, attempt: int = 1) -> Fates:
    """An attempt ends well and tells its result."""
    return (Fate("", pods(stage, attempt), message=success(stage)),)


def always_succeeds(stage: Stage) -> Fates:
    """Every attempt ends well that has no other fate."""
    return (Fate("", {names.LABEL_STAGE: stage.lower()}, message=success(stage)),)


def runs_on(stage: Stage, attempt: int = 1) -> Fates:
    """An attempt runs on, though others of its stage end."""
    return (Fate("", pods(stage, attempt), exit_code=None),)


def fails(stage: Stage, cause: Cause, *attempts: int) -> Fates:
    """Attempts (the first one where none is given) end by a cause that our launcher names."""
    message = Termination(cause=cause, message=f"it ended by {cause}").to_message()
    code = EXIT_CODES[cause]
    return tuple(Fate("", pods(stage, attempt), code, message) for attempt in attempts or (1,))


def vanishes(stage: Stage, attempt: int = 1) -> Fates:
    """An attempt ends well without a word: its result stands in storage only."""
    return (Fate("", pods(stage, attempt)),)


def prepared() -> Fates:
    """Prepare ends well, all else runs on."""
    return succeeds(Stage.PREPARE)


def all_well(*, prepare: int = 1, train: int = 1, export: int = 1) -> Fates:
    """Every stage ends well in the attempt given; its earlier ones run on."""
    return (
        *succeeds(Stage.PREPARE, prepare),
        *succeeds(Stage.TRAIN, train),
        *succeeds(Stage.EXPORT, export),
    )


def of_scenario(name: str, label: str, fates: Iterable[Fate]) -> Fates:
    """The fates as those of a scenario's pods, which carry its resource's name as a label."""
    return tuple(
        dataclasses.replace(fate, scenario=name, selector={label: name} | fate.selector)
        for fate in fates
    )
