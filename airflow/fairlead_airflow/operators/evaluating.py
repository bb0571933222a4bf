"""The task that examines a served model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from fairlead_airflow import (
    exam,
    fields,
    hooks,
    judging,
    likelihood,
    marking,
    naming,
    pins,
    scores,
)
from fairlead_airflow.endpoint import Endpoint
from fairlead_airflow.operators.resource import task_key
from fairlead_api import names

if TYPE_CHECKING:
    from fairlead_airflow.examining import Work
    from fairlead_airflow.marking import Record

NOT_MENDED_BY_A_RETRY = (
    fields.InvalidField,
    exam.InvalidExam,
    scores.InvalidMetric,
    scores.NothingScored,
    likelihood.NoLogprobs,
    marking.TooManyRefused,
    judging.TooManyUnreadable,
)


class EvaluateOperator(BaseOperator):
    """Asks a ModelService questions with known answers and counts scores.

    Every answer is the likeliest one (temperature 0). Perplexity is that of the expected answers
    and needs vLLM. A question that the server refuses counts as answered wrong.

    Returns ``{"scores", "num_questions", "num_errors", "exam", "report"}``: scores by name, a
    digest of the questions, and the path of the report or an empty text.

    :param service: Name of the ModelService; nothing of it may be on its way.
    :param questions: JSONL text, a list of rows, or the path of a JSONL file, which a relative
        one is from the DAG's folder. A row is ``{"prompt": …, "completion": …}`` or
        ``{"messages": [… , the assistant's]}``.
    :param confined: Whether a path of questions must be relative and stay below the DAG's folder:
        for questions that come from a run's form, whose author may not read all that a worker can.
    :param metrics: Of exact_match, perplexity and bleu, those that are wanted.
    :param judge: Grades each answer from 0 to 1, which makes the score ``judge``: the name of a
        ModelService or the fields of ``fairlead_airflow.judging.Judge``.
    :param namespace: By default the connection's.
    :param max_tokens: Longest answer.
    :param parameters: Further fields of each request, as stop and chat_template_kwargs.
    :param at_most: How many questions are asked; drawn by ``seed`` where there are more.
    :param max_errors: Share of refused questions above which the task fails.
    :param report: Folder, of a volume that outlives the worker, for a JSON file with every
        question, answer and score; empty: none.
    """

    template_fields: Sequence[str] = (
        "service", "questions", "metrics", "judge", "namespace", "max_tokens", "parameters",
        "at_most", "report", "fairlead_conn_id",
    )  # fmt: skip
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json", "judge": "json"}
    ui_color = "#e3f0ea"

    def __init__(
        self,
        *,
        service: str,
        questions: str | Sequence[Mapping[str, Any]],
        metrics: Sequence[str] = scores.ASKED,
        judge: str | Mapping[str, Any] | None = None,
        namespace: str | None = None,
        max_tokens: int | str = 64,
        parameters: Mapping[str, Any] | None = None,
        at_most: int | str | None = None,
        seed: int = 0,
        max_errors: float = 0.5,
        report: str = "",
        concurrency: int = 8,
        timeout_seconds: float = 300,
        patience_seconds: float = 600,
        fairlead_conn_id: str = hooks.DEFAULT_CONNECTION,
        confined: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.questions = questions
        self.confined = confined
        self.metrics = metrics
        self.judge = judge
        self.namespace = namespace
        self.max_tokens = max_tokens
        self.parameters = parameters
        self.at_most = at_most
        self.seed = seed
        self.max_errors = max_errors
        self.report = report
        self.concurrency = concurrency
        self.timeout_seconds = timeout_seconds
        self.patience_seconds = patience_seconds
        self.fairlead_conn_id = fairlead_conn_id

    @cached_property
    def hook(self) -> hooks.FairleadHook:
        """The connection."""
        return hooks.FairleadHook(self.fairlead_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask all questions of one model."""
        try:
            return self._evaluate(naming.resource_name(task_key(context)))
        except NOT_MENDED_BY_A_RETRY as refused:
            raise AirflowFailException(str(refused)) from refused

    def _evaluate(self, named: str) -> dict[str, Any]:
        from fairlead_airflow import examining  # aiohttp: not when a DAG file is read

        of = self._target(self.service)
        work = self._work(of)
        folder = fields.path("report", self.report) if self.report else None
        fields.share("max_errors", self.max_errors)
        model = pins.settled_model(self.hook.read(of), of)
        self.log.info("%s serves %s: %d questions", of, model, len(work.questions))
        records = examining.run(work, self.log.info)
        now = pins.model(self.hook.read(of))
        if now != model:
            raise AirflowException(
                f"{of} served {model} when the exam began and now serves {now or 'nothing'}: the"
                " answers are mixed and were given up"
            )
        about = {"service": f"{of.namespace}/{of.name}", "model": model}
        return self._result(work, records, about, folder / f"{named}.json" if folder else None)

    def _target(self, service: str, namespace: str = "") -> hooks.Target:
        where = namespace or self.namespace or self.hook.default_namespace()
        return hooks.Target(names.MODELSERVICE, where, service)

    def _work(self, of: hooks.Target) -> Work:
        """What to ask; everything that can be wrong with it is found before a question is."""
        from fairlead_airflow import examining

        parameters = self.parameters or {}
        likelihood.check_parameters(parameters)
        judge = judging.parse(self.judge)
        metrics = scores.check(self.metrics, has_judge=judge is not None)
        asked = exam.load(self.questions, self._folder(), self.confined)
        return examining.Work(
            endpoint=self.hook.endpoint(of),
            questions=exam.draw(asked, fields.optional_whole("at_most", self.at_most), self.seed),
            metrics=metrics,
            max_tokens=fields.whole("max_tokens", self.max_tokens),
            parameters=parameters,
            judge=judge,
            judge_at=self._judge_at(judge) if judge else None,
            concurrency=fields.whole("concurrency", self.concurrency),
            timeout_seconds=self.timeout_seconds,
            patience_seconds=self.patience_seconds,
        )

    def _folder(self) -> Path:
        has_dag = self.has_dag()  # type: ignore[no-untyped-call]
        return Path(self.dag.fileloc).parent if has_dag else Path.cwd()

    def _judge_at(self, judge: judging.Judge) -> Endpoint:
        if judge.service:
            return self.hook.endpoint(self._target(judge.service, judge.namespace))
        found = BaseHook.get_connection(judge.connection)
        return judging.endpoint(found, found.extra_dejson, judge.model)

    def _result(
        self, work: Work, records: Sequence[Record], about: dict[str, str], path: Path | None
    ) -> dict[str, Any]:
        digest = exam.digest(work.questions)
        found: dict[str, float] = {}
        try:
            num_errors = marking.check_refused(records, self.max_errors)
            if work.judge:
                num_unreadable = marking.check_grades(records, work.judge)
                self.log.info("%d grades of the judge can't be read", num_unreadable)
            found = marking.scores_of(records, work.metrics)
        finally:  # where there is no score the report says why
            if path is not None:
                whole = marking.report(records, work.metrics, found, about | {"exam": digest})
                write(path, whole)
                self.log.info("report: %s", path)
        self.log.info("%d questions, %d refused", len(records), num_errors)
        if cut_off := marking.num_cut_off(records):
            self.log.warning("%d answers ended at %d tokens: max_tokens", cut_off, work.max_tokens)
        for name, value in found.items():
            self.log.info("%s is %.4g", name, value)
        return {
            "scores": found,
            "num_questions": len(records),
            "num_errors": num_errors,
            "exam": digest,
            "report": str(path or ""),
        }


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.partial")
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    aside.write_bytes(text.encode("utf-8", "replace") + b"\n")
    aside.replace(path)
