"""The tasks around a batch of prompts: prepare them, filter the answers, load these into a table.

Each hands on paths and counts; the files lie on a volume that the workers share.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.sql.operators.sql import BaseSQLOperator
from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import fields, jsonl, prompts, quality, rows, warehouse


class PreparePromptsOperator(BaseOperator):
    """Validates and preprocesses a file of prompts, one JSON object a line.

    A row that can't be asked goes to a file of errors with its line and reason.

    Returns ``{"num_rows", "num_prompts", "num_broken", "reasons", "prompts", "errors"}``, the last
    two as paths.

    :param prompts: Path of the day's file.
    :param folder: Folder of the day: prompts.jsonl and broken.jsonl appear there.
    :param max_chars: Longest prompt.
    :param is_unique: Ask a prompt once, though rows of several ids ask it.
    :param max_broken: Share of broken rows above which the task fails.
    """

    template_fields: Sequence[str] = ("prompts", "folder", "max_chars", "max_broken")
    ui_color = "#e3f0ea"

    def __init__(
        self,
        *,
        prompts: str,
        folder: str,
        max_chars: int | str = 32_000,
        is_unique: bool = True,
        max_broken: float | str = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompts = prompts
        self.folder = folder
        self.max_chars = max_chars
        self.is_unique = is_unique
        self.max_broken = max_broken

    def execute(self, context: Context) -> dict[str, Any]:
        """Read each row once."""
        try:
            return self._prepare()
        except (fields.InvalidField, prompts.TooManyBroken) as refused:
            raise AirflowFailException(str(refused)) from refused

    def _prepare(self) -> dict[str, Any]:
        source = fields.path("prompts", self.prompts)
        folder = fields.path("folder", self.folder)
        rules = prompts.Rules(fields.whole("max_chars", self.max_chars), self.is_unique)
        max_broken = fields.share("max_broken", self.max_broken)
        counts = prompts.Counts()
        with jsonl.Output(folder / "prompts.jsonl") as asked:
            with jsonl.Output(folder / "broken.jsonl") as broken, source.open("rb") as stream:
                for found in prompts.read(jsonl.lines(stream), rules):
                    counts.add(found)
                    output = asked if isinstance(found, prompts.Prompt) else broken
                    output.write(found.record)
            self.log.info("%d prompts in %d rows", counts.num_prompts, counts.num_rows)
            for cause in counts.causes:
                self.log.warning("left out: %s", cause)
            counts.judge(max_broken)
        return {
            "num_rows": counts.num_rows,
            "num_prompts": counts.num_prompts,
            "num_broken": counts.num_broken,
            "reasons": {str(reason): count for reason, count in counts.reasons.items()},
            "prompts": str(asked.path),
            "errors": str(broken.path),
        }


class FilterAnswersOperator(BaseOperator):
    """Parts good answers from bad ones.

    Returns ``{"num_answers", "num_accepted", "num_rejected", "reasons", "accepted", "rejected"}``,
    the last two as paths of files beside the answers.

    :param answers: Path of the answers that BatchGenerateOperator wrote.
    :param min_chars: Shortest answer.
    :param max_chars: Longest one.
    :param max_repetition: Share of an answer's phrases that may occur in it before.
    :param format: ``text``, or ``json`` where each answer must be a JSON document.
    :param required_keys: Keys that the JSON object must have.
    :param accepts_cut_off: Accept an answer that ended at the limit of tokens.
    :param is_unique: Accept an answer once, though several prompts have it.
    :param min_accepted: Share of good answers below which the task fails.
    """

    template_fields: Sequence[str] = (
        "answers", "min_chars", "max_chars", "max_repetition", "format", "min_accepted",
    )  # fmt: skip
    ui_color = "#e3f0ea"

    def __init__(
        self,
        *,
        answers: str,
        min_chars: int | str = 1,
        max_chars: int | str | None = None,
        max_repetition: float | str = 0.6,
        format: str = "text",  # noqa: A002  # the field's own name
        required_keys: Sequence[str] = (),
        accepts_cut_off: bool = False,
        is_unique: bool = False,
        min_accepted: float | str = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.answers = answers
        self.min_chars = min_chars
        self.max_chars = max_chars
        self.max_repetition = max_repetition
        self.format = format
        self.required_keys = required_keys
        self.accepts_cut_off = accepts_cut_off
        self.is_unique = is_unique
        self.min_accepted = min_accepted

    def execute(self, context: Context) -> dict[str, Any]:
        """Judge each answer once."""
        try:
            return self._filter()
        except (fields.InvalidField, quality.InvalidRules, quality.TooFewAccepted) as refused:
            raise AirflowFailException(str(refused)) from refused

    def rules(self) -> quality.Rules:
        """What an answer must keep to."""
        return quality.Rules(
            min_chars=fields.whole("min_chars", self.min_chars, 0),
            max_chars=fields.optional_whole("max_chars", self.max_chars),
            max_repetition=fields.share("max_repetition", self.max_repetition),
            format=self.format,
            required_keys=tuple(self.required_keys),
            accepts_cut_off=self.accepts_cut_off,
            is_unique=self.is_unique,
        )

    def _filter(self) -> dict[str, Any]:
        source, rules = fields.path("answers", self.answers), self.rules()
        min_accepted = fields.share("min_accepted", self.min_accepted)
        counts = quality.Counts()
        with jsonl.Output(source.with_name("accepted.jsonl")) as good:
            with jsonl.Output(source.with_name("rejected.jsonl")) as bad, source.open("rb") as read:
                for found in quality.sift(jsonl.lines(read), rules):
                    counts.add(found)
                    output = good if isinstance(found, quality.Accepted) else bad
                    output.write(found.row)
            self.log.info("%d accepted, %d rejected", counts.num_accepted, counts.num_rejected)
            for reason, count in counts.reasons.most_common():
                self.log.warning("rejected: %s %d (see %s)", reason, count, bad.path)
            counts.judge(min_accepted)
        return {
            "num_answers": counts.num_accepted + counts.num_rejected,
            "num_accepted": counts.num_accepted,
            "num_rejected": counts.num_rejected,
            "reasons": {str(reason): count for reason, count in counts.reasons.items()},
            "accepted": str(good.path),
            "rejected": str(bad.path),
        }


class LoadAnswersOperator(BaseSQLOperator):
    """Replaces a day's answers of a service in a table, which is made where there is none.

    All in one transaction: a load that fails leaves what stood there.

    Returns ``{"table", "day", "num_rows"}``.

    :param answers: Path of the accepted answers.
    :param table: Name, with the schema's before it where it isn't the connection's own.
    :param day: The day of the answers, as 2026-01-31.
    :param conn_id: Connection of a SQLite, PostgreSQL, MySQL or BigQuery.
    """

    template_fields: Sequence[str] = (*BaseSQLOperator.template_fields, "answers", "table", "day")
    ui_color = "#e3f0ea"

    def __init__(
        self,
        *,
        answers: str,
        table: str,
        day: str,
        conn_id: str,
        database: str | None = None,
        hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            conn_id=conn_id, database=database, hook_params=dict(hook_params or {}), **kwargs
        )
        self.answers = answers
        self.table = table
        self.day = day

    def execute(self, context: Context) -> dict[str, Any]:
        """Load all rows, or none."""
        try:
            warehouse.check(self.table, self.day)
            source = fields.path("answers", self.answers)
            with source.open("rb") as stream:
                answers = rows.read(jsonl.lines(stream), self.day)
                num_rows = warehouse.load(self.get_db_hook(), self.table, self.day, answers)
        except (fields.InvalidField, *warehouse.REFUSALS) as refused:
            raise AirflowFailException(str(refused)) from refused
        self.log.info("%d rows of %s in %s", num_rows, self.day, self.table)
        return {"table": self.table, "day": self.day, "num_rows": num_rows}
