"""Tells the operator how far training is, and never lets training wait for it.

Protocol and environment are those of transformers' KubeflowCallback. That one posts from within a
training step, so an endpoint whose packets are dropped holds up all ranks for 5 s a report; here
a thread of its own posts, and the newest report takes the place of one that still waits.
"""

import json
import logging
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fairlead_api import names

INTERVAL_SECONDS: Final = 5.0  # KubeflowCallback's own
POST_SECONDS: Final = 5.0
FLUSH_SECONDS: Final = 3.0  # how long the end of training may wait for its last report

Report = dict[str, Any]
"""What the protocol calls trainerStatus."""

log = logging.getLogger(__name__)


class Progress:
    """What is known of the run, and what one report says of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers: dict[str, float] = {}
        self._begun_at = clock()
        self._first_step = 0

    def begin(self, step: int) -> None:
        """Count this attempt's time from here; ``step`` is what the checkpoint resumed from had."""
        self._begun_at, self._first_step = self._clock(), step

    def note(self, logs: Mapping[str, Any]) -> None:
        """Remember the newest numbers that the trainer logs."""
        self._numbers |= {
            name: value for name, value in logs.items() if isinstance(value, int | float)
        }

    def report(self, step: int, total: int, epoch: float | None, *, ended: bool = False) -> Report:
        """The run as it stands; only an end at the last step is 100 percent."""
        numbers = self._numbers | {"current_step": step, "total_steps": total}
        if epoch is not None:
            numbers["current_epoch"] = round(epoch, 2)
        percent = 100 * step // max(1, total)
        found: Report = {
            "lastUpdatedTime": datetime.now(UTC).isoformat(),
            "progressPercentage": min(percent, 100 if ended else 99),
            "metrics": [{"name": name, "value": str(value)} for name, value in numbers.items()],
        }
        made = step - self._first_step
        if made > 0:
            remaining = (self._clock() - self._begun_at) / made * (total - step)
            found["estimatedRemainingSeconds"] = int(remaining)
        return found


@dataclass(frozen=True)
class Endpoint:
    """Where reports go, and what proves who sends them."""

    url: str
    token_file: str
    ca_file: str | None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Endpoint":
        """The endpoint that the operator, or Kubeflow's, has put into the environment."""
        return cls(
            environment[names.ENV_PROGRESS_URL],
            environment.get(names.ENV_PROGRESS_TOKEN, ""),
            environment.get(names.ENV_PROGRESS_CA),
        )

    def post(self, report: Report) -> None:
        """Post one report; raises what the network or the endpoint has against it."""
        # Read each time: the kubelet replaces both files while the pod runs.
        token = Path(self.token_file).read_text(encoding="utf-8").strip()
        context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file else None
        request = urllib.request.Request(
            self.url,
            data=json.dumps({"trainerStatus": report}).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=POST_SECONDS, context=context):
            return


class Messenger:
    """Posts the newest report from a thread that ends with the process."""

    def __init__(self, endpoint: Endpoint, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._endpoint = endpoint
        self._interval_seconds = interval_seconds
        self._changed = threading.Condition()
        self._newest: Report | None = None
        self._closing = False
        self._warned = False
        self._thread = threading.Thread(target=self._forever, name="progress", daemon=True)

    def tell(self, report: Report) -> None:
        """Have a report posted when its turn comes, unless a newer one replaces it."""
        self._tell(report, closing=False)

    def close(self, last: Report, seconds: float = FLUSH_SECONDS) -> None:
        """Tell the last report, and wait for it no longer than that."""
        self._tell(last, closing=True)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._warn(f"the last one is still under way after {seconds:g} s")

    def _tell(self, report: Report, *, closing: bool) -> None:
        with self._changed:
            self._newest, self._closing = report, closing
            self._changed.notify()
        if self._thread.ident is None:
            self._thread.start()

    def _forever(self) -> None:
        while (report := self._next()) is not None:
            self._post(report)
            with self._changed:
                self._changed.wait_for(lambda: self._closing, self._interval_seconds)

    def _next(self) -> Report | None:
        """The newest report as soon as there is one; None when no more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._closing)
            report, self._newest = self._newest, None
            return report

    def _post(self, report: Report) -> None:
        try:
            self._endpoint.post(report)
        except Exception as error:  # whatever it is, training goes on
            self._warn(f"{type(error).__name__}: {error}")
        else:
            self._warned = False

    def _warn(self, reason: str) -> None:
        """Say it once, until reports arrive again."""
        if self._warned:
            return
        self._warned = True
        log.warning(
            "progress reports don't reach %s (%s): training goes on, but the FineTuneJob's"
            " status.progress stands still. Let the job's pods reach the operator's port %d in the"
            " namespace's network policies",
            self._endpoint.url,
            reason,
            names.PORT_PROGRESS,
        )
