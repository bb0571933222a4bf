"""What a container of ours reads from its environment, once, and where its files lie.

Reads the environment and the run file; writes nothing. Every path of a container goes through
``Settings.path`` so that a stage can be run by hand, and in tests, under another root.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fairlead_api import names, uris
from fairlead_api.finetunestatus import Stage
from fairlead_api.runfile import RunFile
from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure

STAGES: Final = {stage.lower(): stage for stage in Stage}


@dataclass(frozen=True)
class Settings:
    """One container's place in its job."""

    stage: Stage
    attempt: int
    """Number of this attempt: the fencing token of everything it commits."""
    run: RunFile
    node_rank: int = 0
    """Which of a Train attempt's pods this is; torchrun reads the same variable."""
    root: Path = Path("/")
    """What every container path is taken below; another folder when run by hand."""

    def path(self, container_path: str | os.PathLike[str]) -> Path:
        """Where a path of the container lies."""
        return self.root / os.fspath(container_path).lstrip("/")

    def locate(self, uri: uris.ClaimUri) -> Path:
        """Where a uri's file or folder lies."""
        return self.path(uri.mount_path)

    @property
    def folder(self) -> Path:
        """Folder of everything this job writes."""
        return self.locate(self.run.folder)

    @property
    def result_file(self) -> Path:
        """The stage's result in storage."""
        return self.locate(self.run.result_file(self.stage))

    @property
    def publishes(self) -> bool:
        """Whether this pod, among its attempt's, puts the result into storage."""
        return self.node_rank == 0

    @property
    def scratch(self) -> Path:
        """Writable folder that ends with the pod."""
        return self.path(names.SCRATCH_DIR)


def load(stage_name: str, environment: Mapping[str, str]) -> Settings:
    """Read a container's settings; raises StageFailure(UserError) where they make no sense."""
    if stage_name not in STAGES:
        raise StageFailure(Cause.USER_ERROR, f"no such stage: {stage_name} (of {sorted(STAGES)})")
    root = Path(environment.get(names.ENV_ROOT, "/"))
    attempt = environment.get(names.ENV_ATTEMPT, "")
    if not attempt.isdecimal():
        raise StageFailure(
            Cause.USER_ERROR, f"{names.ENV_ATTEMPT}={attempt!r} is no attempt number"
        )
    run_file = root / names.RUN_FILE.lstrip("/")
    try:
        run = RunFile.model_validate_json(run_file.read_bytes())
    except OSError as error:
        raise StageFailure(Cause.USER_ERROR, f"cannot read the run file: {error}") from error
    except ValidationError as error:
        raise StageFailure(Cause.USER_ERROR, f"{run_file} is no run file: {error}") from error
    return Settings(
        stage=STAGES[stage_name],
        attempt=int(attempt),
        run=run,
        node_rank=int(environment.get("PET_NODE_RANK", "0")),
        root=root,
    )
