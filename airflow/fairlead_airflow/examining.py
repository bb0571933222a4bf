"""Asks a served model the questions of an exam, many at once, and has a judge grade the answers.

A question that the server refuses is a record with its error. A service that is away, or refuses
whoever asks, ends the exam and blames no question.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from fairlead_airflow import beside, completions, judging, likelihood, scores
from fairlead_airflow.asking import Client, Refused
from fairlead_airflow.completions import Request
from fairlead_airflow.endpoint import Endpoint
from fairlead_airflow.exam import Question
from fairlead_airflow.generation import NOT_THE_PROMPT, ServiceRefuses
from fairlead_airflow.judging import Judge
from fairlead_airflow.marking import Record
from fairlead_airflow.scores import Metric

PROGRESS_SECONDS: Final = 15.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What to ask, of whom, and how."""

    endpoint: Endpoint
    questions: Sequence[Question]
    metrics: Sequence[Metric]
    max_tokens: int = 64
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of each request."""
    judge: Judge | None = None
    judge_at: Endpoint | None = None
    concurrency: int = 8
    timeout_seconds: float = 300
    patience_seconds: float = 600
    """How long a service may be away."""

    @property
    def writes_answers(self) -> bool:
        """Whether an answer is needed, and not only the likelihood of the expected one."""
        return bool(set(self.metrics) & scores.OF_ANSWERS)

    @property
    def scores_tokens(self) -> bool:
        """Whether the likelihood of the expected answer is needed."""
        return Metric.PERPLEXITY in self.metrics


class Progress:
    """Says now and then how many of all are done, and why requests wait."""

    def __init__(self, what: str, count: int, say: Callable[..., object]) -> None:
        self._what, self._count, self._say = what, count, say
        self._num_done = 0
        self._said_at = time.monotonic()
        self._waited_at = -math.inf

    async def of(self, do: Callable[[Record], Awaitable[None]], record: Record) -> None:
        """Do one of them."""
        await do(record)
        self._num_done += 1
        now = time.monotonic()
        if now - self._said_at >= PROGRESS_SECONDS:
            self._said_at = now
            self._say("%d of %d %s", self._num_done, self._count, self._what)

    def wait(self, words: str, *of: object) -> None:
        """Told each time that a request is sent again: says so now and then."""
        now = time.monotonic()
        if now - self._waited_at >= PROGRESS_SECONDS:
            self._waited_at = now
            self._say(words, *of)


def run(work: Work, say: Callable[..., object] = log.info) -> list[Record]:
    """Ask all questions, then the judge.

    Raises:
        asking.ServiceAway: One of the services gave no answer for too long.
        ServiceRefuses: One of them refuses whoever asks.
        likelihood.NoLogprobs: The server can't tell what perplexity is made of.
    """
    records = [Record(question) for question in work.questions]
    beside.run(lambda: _run(work, records, say))
    return records


async def _run(work: Work, records: Sequence[Record], say: Callable[..., object]) -> None:
    progress = Progress("questions asked", len(records), say)
    async with _client(work.endpoint, work, progress) as client:
        await _all(partial(_examine, client, work), records, progress)
    if work.judge is not None and work.judge_at is not None:
        for each in records:
            each.grade = None if each.is_answered else 0.0  # no answer is worth nothing
        answered = [each for each in records if each.is_answered]
        progress = Progress("answers graded", len(answered), say)
        async with _client(work.judge_at, work, progress) as client:
            await _all(partial(_grade, client, work.judge), answered, progress)


def _client(endpoint: Endpoint, work: Work, progress: Progress) -> Client:
    return Client(
        endpoint,
        concurrency=work.concurrency,
        timeout_seconds=work.timeout_seconds,
        patience_seconds=work.patience_seconds,
        say=progress.wait,
    )


async def _all(
    do: Callable[[Record], Awaitable[None]], records: Iterable[Record], progress: Progress
) -> None:
    """Do all; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for record in records:
                group.create_task(progress.of(do, record))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _examine(client: Client, work: Work, record: Record) -> None:
    """Ask one question: for an answer, for the likelihood of the expected one, or for both."""
    model, question = client.endpoint.model, record.question
    max_tokens = work.max_tokens if work.writes_answers else 1
    asked = likelihood.answering(
        question, model, max_tokens, work.parameters, tells_ids=work.scores_tokens
    )
    try:
        document = await _post(client, asked)
        if work.writes_answers:
            found = completions.read(document)
            record.answer, record.finish_reason = found["answer"], found["finish_reason"]
            record.is_answered = True
        if work.scores_tokens:
            ids = likelihood.token_ids(document)
            scored = await _post(client, likelihood.scoring(question, model, work.parameters))
            record.logprobs = likelihood.of_answer(ids, scored)
    except (Refused, completions.BadAnswer) as refused:
        record.error = str(refused)


async def _grade(client: Client, judge: Judge, record: Record) -> None:
    asked = judging.grading(judge, client.endpoint.model, record.question, record.answer)
    try:
        said = completions.read(await _post(client, asked))["answer"]
        record.grade = judging.read(said)
    except (Refused, completions.BadAnswer, judging.UnreadableGrade) as unreadable:
        record.said = str(unreadable)


async def _post(client: Client, request: Request) -> dict[str, Any]:
    try:
        return await client.post(request.path, request.body)
    except Refused as refused:
        if refused.status in NOT_THE_PROMPT:
            raise ServiceRefuses(str(refused)) from refused
        raise
