"""The tasks of batch_generation: wait, prepare, scale, ask, filter, load, and scale back."""

import logging
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import BaseSensorOperator
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow.operators.batches import (
    FilterAnswersOperator,
    LoadAnswersOperator,
    PreparePromptsOperator,
)
from fairlead_airflow.operators.generating import BatchGenerateOperator
from fairlead_airflow.operators.scaling import ScaleOperator
from fairlead_airflow.pipelines import checking, cleaning, plan, timing
from fairlead_airflow.pipelines.serving import NAME, NAMESPACE

LOOK_SECONDS: Final = 60.0
"""Between two looks for the day's file; no worker is held meanwhile."""
log = logging.getLogger(__name__)


def string() -> None:
    """String the tasks of a run, in the DAG of the caller."""
    chosen = PythonOperator(task_id="day", python_callable=day, multiple_outputs=True)
    out: Any = chosen.output
    place: dict[str, Any] = {"name": NAME, "namespace": NAMESPACE}
    there = PromptsSensor(
        task_id="wait_for_prompts",
        prompts=out["prompts"],
        timeout=timing.PROMPTS_TIMEOUT.total_seconds(),
        execution_timeout=None,  # of each look; the line above is of the wait
    )
    prepared = PreparePromptsOperator(
        task_id="prepare", prompts=out["prompts"], folder=out["folder"],
        max_chars="{{ params.max_chars }}", max_broken="{{ params.max_broken }}",
    )  # fmt: skip
    scaled = ScaleOperator(task_id="scale_up", at_least="{{ params.replicas }}", **place)
    generated = BatchGenerateOperator(
        task_id="generate", service=NAME, namespace=NAMESPACE, folder=out["folder"],
        prompts="{{ ti.xcom_pull('prepare').prompts }}", parameters=out["parameters"],
        concurrency="{{ params.concurrency }}", max_tokens="{{ params.max_tokens }}",
        execution_timeout=timing.GENERATION_TIMEOUT,
    )  # fmt: skip
    filtered = FilterAnswersOperator(
        task_id="filter", answers="{{ ti.xcom_pull('generate').answers }}",
        min_chars="{{ params.min_chars }}", max_repetition="{{ params.max_repetition }}",
        format="{{ params.format }}", min_accepted="{{ params.min_accepted }}",
    )  # fmt: skip
    loaded = LoadAnswersOperator(
        task_id="load", answers="{{ ti.xcom_pull('filter').accepted }}", day=out["day"],
        table="{{ params.table }}", conn_id="{{ params.warehouse_conn_id }}",
    )  # fmt: skip
    back = ScaleOperator(task_id="scale_down", restores=True, **place)
    chosen >> there >> prepared >> scaled >> generated >> filtered >> loaded
    cleaning.finish([loaded], back, after=[generated])  # nobody asks during the load


class PromptsSensor(BaseSensorOperator):
    """Waits until a day's file is there and whole; holds no worker meanwhile.

    It is whole once nobody has written to it for the time between two looks. A look remembers
    nothing of the one before, so that the file's own time has to tell.

    :param prompts: Its path (templated).
    """

    template_fields: Sequence[str] = ("prompts",)
    ui_color = "#eef3e3"

    def __init__(self, *, prompts: Any, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", poke_interval=LOOK_SECONDS, **kwargs)
        self.prompts = prompts

    def poke(self, context: Context) -> bool:
        """Look once."""
        file = Path(self.prompts)
        try:
            found = file.stat()
        except FileNotFoundError:
            self.log.info("%s is not there yet", file)
            return False
        age_seconds = time.time() - found.st_mtime
        is_something = stat.S_ISREG(found.st_mode) and found.st_size > 0
        if is_something and age_seconds >= LOOK_SECONDS:
            return True
        self.log.info(
            "%s: %d bytes, written %.0f s ago; it takes a file with something in it that nobody has"
            " written to for %g s",
            file, found.st_size, age_seconds, LOOK_SECONDS,
        )  # fmt: skip
        return False


def day(params: Mapping[str, Any], dag: Any, dag_run: Any) -> dict[str, Any]:
    """Which day's prompts, and where they and their answers lie."""
    try:
        checking.require_known(dag_run.conf, dag.params)
    except plan.InvalidPlan as invalid:
        raise AirflowFailException(str(invalid)) from invalid
    chosen = params["day"] or dag_run.run_after.date().isoformat()
    folder = params["folder"] or str(Path(conf.get("core", "dags_folder")).parent / "fairlead")
    places = paths(chosen, folder)
    log.info("%s: waiting for %s", chosen, places["prompts"])
    return places | {"parameters": params["parameters"]}


def paths(chosen: str, folder: str) -> dict[str, str]:
    """Where the files of a day lie."""
    below = Path(folder)
    return {
        "day": chosen,
        "prompts": str(below / "prompts" / f"{chosen}.jsonl"),
        "folder": str(below / "results" / chosen),
    }
