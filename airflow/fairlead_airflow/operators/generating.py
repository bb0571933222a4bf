"""The task that asks a served model the prompts of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import completions, fields, hooks, pins
from fairlead_api import names

if TYPE_CHECKING:
    from fairlead_airflow.generation import Work

ON_ERROR: Final = ("record", "fail")


class BatchGenerateOperator(BaseOperator):
    """Asks a ModelService each prompt of a prepared file and writes the answers.

    A task that is run again asks only what has no answer yet of the same model. A refused prompt
    goes to a file of errors; a service that is away for longer than ``patience_seconds`` fails the
    task, to be retried, and blames no prompt. All files lie on a volume that the workers share.

    Returns ``{"service", "model", "num_prompts", "num_answers", "num_resumed", "num_errors",
    "answers", "errors"}``, the last two as paths.

    :param service: Name of the ModelService; nothing of it may be on its way.
    :param prompts: Path of the prompts that PreparePromptsOperator wrote.
    :param folder: Folder of the day; the files lie in NAMESPACE.SERVICE below it.
    :param namespace: By default the connection's.
    :param concurrency: Requests on their way at once.
    :param max_tokens: Longest answer.
    :param parameters: Further fields of each request, as temperature and stop.
    :param on_error: What a refused prompt does: ``record`` it, or ``fail`` the task.
    :param max_errors: Share of refused prompts above which the task fails.
    """

    template_fields: Sequence[str] = (
        "service", "prompts", "folder", "namespace", "concurrency", "max_tokens", "parameters",
        "fairlead_conn_id",
    )  # fmt: skip
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameters": "json"}
    ui_color = "#e3f0ea"

    def __init__(
        self,
        *,
        service: str,
        prompts: str,
        folder: str,
        namespace: str | None = None,
        concurrency: int | str = 8,
        max_tokens: int | str = 256,
        parameters: Mapping[str, Any] | None = None,
        on_error: str = "record",
        max_errors: float = 0.5,
        timeout_seconds: float = 300,
        patience_seconds: float = 600,
        fairlead_conn_id: str = hooks.DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.prompts = prompts
        self.folder = folder
        self.namespace = namespace
        self.concurrency = concurrency
        self.max_tokens = max_tokens
        self.parameters = parameters
        self.on_error = on_error
        self.max_errors = max_errors
        self.timeout_seconds = timeout_seconds
        self.patience_seconds = patience_seconds
        self.fairlead_conn_id = fairlead_conn_id
        if on_error not in ON_ERROR:
            raise ValueError(f"on_error: must be one of {', '.join(ON_ERROR)}")

    @cached_property
    def hook(self) -> hooks.FairleadHook:
        """The connection."""
        return hooks.FairleadHook(self.fairlead_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask what was not answered yet."""
        from fairlead_airflow import generation  # aiohttp: not when a DAG file is read

        try:
            work = self.work()
            self.log.info("asking %s, which serves %s", work.endpoint.url, work.key.model)
            tally = generation.run(work, lambda: self._check(work), self.log.info)
        except (fields.InvalidField, generation.NotPrepared, generation.PromptRefused) as refused:
            raise AirflowFailException(str(refused)) from refused
        return {
            "service": f"{work.key.namespace}/{work.key.service}",
            "model": work.key.model,
            "num_prompts": tally.num_prompts,
            "num_answers": tally.num_answers,
            "num_resumed": tally.num_resumed,
            "num_errors": tally.num_errors,
            "answers": str(work.answers),
            "errors": str(work.errors),
        }

    def work(self) -> Work:
        """What to ask, by the service as it stands."""
        from fairlead_airflow import generation
        from fairlead_airflow.journal import Key

        given = self._given()
        folder = fields.path("folder", self.folder)
        namespace = self.namespace or self.hook.default_namespace()
        of = hooks.Target(names.MODELSERVICE, namespace, self.service)
        model = pins.settled_model(self.hook.read(of), of)
        return generation.Work(
            folder=folder / f"{namespace}.{self.service}",  # no dot is in a namespace's name
            key=Key(namespace, self.service, model),
            endpoint=self.hook.endpoint(of),
            **given,
        )

    def _given(self) -> dict[str, Any]:
        """What a DAG says of the asking; checked before a cluster is asked for anything."""
        parameters = dict(self.parameters or {})
        completions.check_parameters(parameters)
        return {
            "prompts": fields.path("prompts", self.prompts),
            "concurrency": fields.whole("concurrency", self.concurrency),
            "max_tokens": fields.whole("max_tokens", self.max_tokens),
            "parameters": parameters,
            "records_errors": self.on_error == "record",
            "max_errors": fields.share("max_errors", self.max_errors),
            "timeout_seconds": self.timeout_seconds,
            "patience_seconds": self.patience_seconds,
        }

    def _check(self, work: Work) -> None:
        from fairlead_airflow.generation import ModelChanged

        of = hooks.Target(names.MODELSERVICE, work.key.namespace, work.key.service)
        served = pins.model(self.hook.read(of))
        if served != work.key.model:
            raise ModelChanged(
                f"{of} served {work.key.model} when it was first asked and now serves"
                f" {served or 'nothing'}: the answers are mixed and were given up"
            )
