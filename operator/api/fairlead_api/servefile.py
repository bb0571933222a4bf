"""The serve file: everything a serving pod needs to know, in one typed document.

The operator renders it into the pod template's environment, so that it is part of the revision's
hash; the server reads it once at start.
"""

from typing import Annotated

from pydantic import Field

from fairlead_api.base import Model
from fairlead_api.modelservice import Limits


class ServeFile(Model):
    """What the operator tells a serving pod."""

    model_uri: str
    """Folder of the model; its claim is mounted read-only."""
    artifact_digest: str = ""
    """Digest the artifact must have; empty for a folder that no FineTuneJob made."""
    served_model_name: str
    """Name that requests give as ``model``."""
    aliases: Annotated[tuple[str, ...], Field(max_length=8)] = ()
    """Further names that requests may give; the ModelService's own is always one."""
    engine_args: Annotated[dict[str, str], Field(max_length=96)] = {}
    """vLLM arguments by name without dashes; an empty value is a flag."""
    limits: Limits = Limits()
    drain_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """Longest time that running requests get to end after SIGTERM."""
