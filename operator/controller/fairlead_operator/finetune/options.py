"""What the administrator decides for every FineTuneJob; read from settings, never from here."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

_SUPPORT_REQUESTS: Final = {"cpu": "500m", "memory": "1Gi"}


@dataclass(frozen=True)
class Options:
    """The operator's settings, as far as they shape training."""

    trainer_image: str
    """Image of every stage, with ``python -m fairlead_trainer`` in it."""
    image_pull_policy: str = "IfNotPresent"
    """Pull policy of that image."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in the job's namespace to pull it with."""
    progress_url: str = ""
    """Address of the progress endpoint, ``https://HOST:PORT``; no reports where empty."""
    progress_ca: str = ""
    """Trust anchor of that endpoint, PEM."""
    extra_args_allowed: frozenset[str] = frozenset()
    """TrainingArguments that the administrator allows beyond the built-in list."""
    support_requests: dict[str, str] = field(default_factory=lambda: dict(_SUPPORT_REQUESTS))
    """Compute requests of Prepare and Export, which run without GPUs and without limits; Export
    asks for a worker's memory where that is more."""
    retry_delay: timedelta = timedelta(seconds=10)
    """Wait before the second attempt; doubles with each further one."""
    retry_delay_cap: timedelta = timedelta(minutes=6)
    """Longest wait between two attempts."""
    max_fruitless: int = 3
    """Disruptions in a row without a new checkpoint that end a job as NoProgress."""
