"""Asks a service each prompt of a file, many at once, and survives being killed.

What is answered is in the journal before the next prompt is asked, so a run that is started again
asks only the rest. A request that the service refuses is recorded with its prompt; a service that
is away, or refuses whoever asks, ends the run and blames no prompt.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fairlead_airflow import asking, beside, completions, jsonl, prompts
from fairlead_airflow.completions import Request
from fairlead_airflow.endpoint import Endpoint
from fairlead_airflow.journal import Journal, Key
from fairlead_airflow.prompts import Prompt
from fairlead_airflow.tally import Progress, Tally

NOT_THE_PROMPT: Final = frozenset({401, 403, 404, 405})
"""Statuses that speak of the service or of whoever asks: no prompt would fare better."""
HOPELESS: Final = 100
"""Refusals without any answer, after which no more prompts are asked."""
FEW: Final = 20
"""Refusals that the log tells."""
SYNC_SECONDS: Final = 1.0
"""Between two times that answers are forced to the disk."""
PROGRESS_SECONDS: Final = 15.0

log = logging.getLogger(__name__)


class NotPrepared(ValueError):
    """The prompts were not prepared."""


class ServiceRefuses(RuntimeError):
    """The service refuses whatever is asked."""


class PromptRefused(RuntimeError):
    """A prompt was refused where none may be."""


class TooManyRefused(RuntimeError):
    """So many prompts were refused that the answers are not what they should be."""


class ModelChanged(RuntimeError):
    """The service began to serve another model while it was asked."""


@dataclass(frozen=True)
class Work:
    """What to ask, of whom, and how."""

    prompts: Path
    """The prepared file."""
    folder: Path
    """Of the day and the service: journal, answers and errors."""
    key: Key
    endpoint: Endpoint
    concurrency: int = 8
    max_tokens: int = 256
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of each request, as the OpenAI API names them."""
    records_errors: bool = True
    """Whether a refused prompt is recorded; otherwise it ends the run."""
    max_errors: float = 0.5
    """Share of refused prompts above which the run has failed."""
    timeout_seconds: float = 300
    patience_seconds: float = 600
    """How long a service may be away."""

    @property
    def answers(self) -> Path:
        """Where the answers appear."""
        return self.folder / "answers.jsonl"

    @property
    def errors(self) -> Path:
        """Where the refused prompts appear."""
        return self.folder / "errors.jsonl"

    def request(self, prompt: Prompt) -> Request:
        """What is sent for one prompt."""
        own = {"model": self.endpoint.model, "max_tokens": self.max_tokens}
        return completions.request(prompt.asked, {**self.parameters, **own})


def run(
    work: Work,
    check: Callable[[], None],
    say: Callable[..., object] = log.info,
    clock: Callable[[], float] = time.monotonic,
) -> Tally:
    """Ask what was not answered yet; answers and errors appear when all is done.

    Args:
        work: What to ask.
        check: Called when all is answered; raises ModelChanged where it wasn't the key's model.
        say: Told how far it is.
        clock: Seconds that pass.

    Raises:
        asking.ServiceAway: To be run again: what was answered stands.
        ServiceRefuses: Likewise, once the service is mended.
        TooManyRefused: All was asked, and more than ``max_errors`` of it refused.
        NotPrepared: The prompts are not as PreparePromptsOperator writes them.
        PromptRefused: A prompt was refused, and ``records_errors`` is off.
        ModelChanged: By ``check``; the answers are forgotten.
    """
    with Journal(work.folder, work.key) as journal:
        tally = Tally(num_prompts=sum(1 for _ in _read(work.prompts)))
        say("%d prompts, %d answers in %s", tally.num_prompts, len(journal), journal.path)
        progress = Progress(tally, say, clock)
        with jsonl.Output(work.errors) as errors:
            beside.run(_Asking(work, journal, errors, tally, progress, say).all)
        progress.tell()
        try:
            check()
        except ModelChanged:
            journal.discard()
            raise
        _judge(work, tally)
        _publish(work, journal)
    return tally


def _judge(work: Work, tally: Tally) -> None:
    if tally.num_errors > work.max_errors * tally.num_prompts:
        raise TooManyRefused(
            f"{tally.num_errors} of {tally.num_prompts} prompts were refused, more than"
            f" {work.max_errors:.0%}: see {work.errors}; the last one: {tally.last_error}"
        )


def _read(path: Path) -> Iterator[Prompt]:
    with path.open("rb") as stream:
        for line in jsonl.lines(stream):
            try:
                yield prompts.of_record(json.loads(line.text))
            except (ValueError, LookupError, TypeError) as broken:
                raise NotPrepared(
                    f"{path}, line {line.number}: no prompt as PreparePromptsOperator writes it:"
                    f" {broken!r}"
                ) from broken


def _publish(work: Work, journal: Journal) -> None:
    """Write the answers in the prompts' order."""
    service = f"{work.key.namespace}/{work.key.service}"
    with jsonl.Output(work.answers) as answers:
        for prompt in _read(work.prompts):
            if journal.has(prompt.id, work.request(prompt).digest):
                named = {"id": prompt.id, "line": prompt.line, "service": service}
                asked = {"model": work.key.model, "prompt": prompt.text}
                answers.write({**named, **asked, **journal.answer(prompt.id)})


class _Asking:
    """One run: as many takers as requests may be on their way, from one queue of prompts."""

    def __init__(
        self,
        work: Work,
        journal: Journal,
        errors: jsonl.Output,
        tally: Tally,
        progress: Progress,
        say: Callable[..., object],
    ) -> None:
        self._work, self._journal, self._errors = work, journal, errors
        self._tally, self._progress, self._say = tally, progress, say
        self._queue = _read(work.prompts)
        self._waiting = ""

    async def all(self) -> None:
        """Ask all; the first failure that ends the run comes out."""
        work = self._work
        client = asking.Client(
            work.endpoint,
            concurrency=work.concurrency,
            timeout_seconds=work.timeout_seconds,
            patience_seconds=work.patience_seconds,
            say=self._wait,
        )
        async with client:
            try:
                async with asyncio.TaskGroup() as group:
                    beat = group.create_task(self._beat())
                    takers = [
                        group.create_task(self._take(client)) for _ in range(work.concurrency)
                    ]
                    await asyncio.wait(takers)
                    beat.cancel()
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None

    async def _beat(self) -> None:
        """Force answers to the disk, and say how far it is."""
        told = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            await asyncio.to_thread(self._journal.sync)
            if (now := asyncio.get_running_loop().time()) - told >= PROGRESS_SECONDS:
                told = now
                self._progress.tell()
                self._waiting = ""

    async def _take(self, client: asking.Client) -> None:
        for prompt in self._queue:
            asked = self._work.request(prompt)
            if self._journal.has(prompt.id, asked.digest):
                self._tally.num_resumed += 1
                self._tally.num_answers += 1
                continue
            try:
                answer = completions.read(await client.post(asked.path, asked.body))
            except asking.Refused as refused:
                self._refused(prompt, "Refused", refused.status, str(refused))
            except completions.BadAnswer as bad:
                self._refused(prompt, "BadAnswer", 200, str(bad))
            else:
                self._journal.add(prompt.id, asked.digest, answer)
                self._tally.num_answers += 1

    def _wait(self, words: str, *of: object) -> None:
        """Told why a request is sent again: the first such line since the last progress line."""
        self._tally.num_waits += 1
        if not self._waiting:
            self._waiting = words % of
            self._say("%s", self._waiting)

    def _refused(self, prompt: Prompt, reason: str, status: int, message: str) -> None:
        if status in NOT_THE_PROMPT:
            raise ServiceRefuses(message)
        where = f"prompt {prompt.id!r} (line {prompt.line})"
        if not self._work.records_errors:
            raise PromptRefused(f"{where}: {message}")
        self._tally.num_errors += 1
        if self._tally.num_errors <= FEW:
            self._say("%s: %s", where, message)
        elif self._tally.num_errors == FEW + 1:
            self._say("further refusals stand in %s only", self._errors.path)
        self._tally.last_error = message
        if not self._tally.num_answers and self._tally.num_errors >= HOPELESS:
            raise ServiceRefuses(f"the first {HOPELESS} prompts were all refused: {message}")
        named = {"id": prompt.id, "line": prompt.line, "reason": reason}
        self._errors.write({**named, "status": status, "message": message})
