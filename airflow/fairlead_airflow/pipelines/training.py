"""The tasks of fine_tune: check, train, assess, and what follows from the scores."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import assets, exam, gates, hooks, httpconnection, naming
from fairlead_airflow.operators.resource import task_key
from fairlead_airflow.pipelines import (
    assessing,
    checking,
    cleaning,
    fetching,
    plan,
    rehearsal,
    rows,
    telling,
)
from fairlead_airflow.pipelines.assessing import FIRST, JUDGED, SECOND
from fairlead_airflow.pipelines.plan import CANDIDATE, STAGING, beside
from fairlead_airflow.pipelines.serving import NAME, NAMESPACE, serve
from fairlead_airflow.pipelines.timing import TRAINING_TIMEOUT
from fairlead_airflow.taskgroup import FineTunePipelineTaskGroup
from fairlead_api import names, uris

_ANY: Final = TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS
_JUDGED: Final = f"""{{{{ ti.xcom_pull('{FIRST}.gate', key='{JUDGED}')
    or ti.xcom_pull('{SECOND}.gate', key='{JUDGED}') }}}}"""
_INVALID: Final = (
    plan.InvalidPlan,
    rows.BrokenRows,
    gates.InvalidGate,
    exam.InvalidExam,
    uris.UriError,
    httpconnection.InvalidConnection,
)
log = logging.getLogger(__name__)


def string() -> None:
    """String the tasks of a run, in the DAG of the caller."""
    checked = PythonOperator(task_id="check", python_callable=check, multiple_outputs=True)
    out: Any = checked.output
    train, retrain = _train("train", out["job"]), _train("retrain", out["longer_job"])
    first = assessing.assess(FIRST, "train.export", out, num_retrains=1)
    second = assessing.assess(SECOND, "retrain.export", out, num_retrains=0)
    production = serve("production", NAME, _JUDGED, out, trigger_rule=_ANY)
    staging = serve("staging", beside(NAME, STAGING), _JUDGED, out, trigger_rule=_ANY)
    notify = telling.notify(trigger_rule=_ANY)
    promoted = PythonOperator(
        task_id="announce_model",
        python_callable=announce_model,
        op_kwargs={"served": production.output},
        outlets=[assets.PROMOTED_MODELS],
    )
    prepared = PythonOperator(
        task_id="announce_dataset",
        python_callable=announce_dataset,
        outlets=[assets.PREPARED_DATASETS],
    )

    checked >> train >> [first.group, prepared]
    first.gate >> [production, staging, retrain, notify]
    retrain >> second.group
    second.gate >> [production, staging, notify]
    clean_up = cleaning.CleanUpOperator(
        task_id=cleaning.CLEAN_UP,
        services=[
            {
                "name": beside(NAME, CANDIDATE),
                "made_by": [f"{FIRST}.serve", f"{SECOND}.serve"],
            }
        ],
        jobs=["train.submit", "retrain.submit"],
        keep_jobs="{{ params.keep_job }}",
        namespace=NAMESPACE,
    )
    cleaning.finish([promoted, staging], clean_up, also=[notify, prepared])


def _train(group_id: str, job: Any) -> FineTunePipelineTaskGroup:
    timeout = {"execution_timeout": TRAINING_TIMEOUT}
    return FineTunePipelineTaskGroup(
        group_id, job, arguments=timeout, submit={"namespace": NAMESPACE}
    )


def check(params: Mapping[str, Any], dag: Any, dag_run: Any, ti: Any) -> dict[str, Any]:
    """Find out before any compute is spent whether this run can come to an end."""
    try:
        checking.require_known(dag_run.conf, dag.params)
        checking.require_one_source(params)
        checked = checking.fine_tune(params, fetching.training_rows(params))
        asked = exam.load(params["questions"], Path(dag.folder), confined=True)
        with hooks.failing_at_once():
            _ask_cluster(params, checked, task_key({"ti": ti}))
    except _INVALID as invalid:
        raise AirflowFailException(str(invalid)) from invalid
    log.info("%d questions; scores: %s", len(asked), ", ".join(checking.metrics(params)))
    return checked


def _ask_cluster(
    params: Mapping[str, Any], checked: Mapping[str, Any], key: naming.TaskKey
) -> None:
    """See that the judge is there, and that the job and what serves it would be taken.

    Under a name of this task's own: the job of an earlier try may be there, with another spec.
    """
    there = hooks.FairleadHook()
    namespace = params["namespace"] or there.default_namespace()
    if params["judge"]:
        _require_judge(there, namespace, params["judge"])
    name = naming.resource_name(key)
    model = {"fineTuneJobRef": {"name": name}}
    served = {"model": model, "engine": checked["engine"], "resources": checked["resources"]}
    for kind, body in (
        (names.FINETUNEJOB, checked["job"]),
        (names.MODELSERVICE, {"spec": served}),
    ):
        rehearsal.require_taken(there, hooks.Target(kind, namespace, name), body, key)


def _require_judge(there: hooks.FairleadHook, namespace: str, name: str) -> None:
    """It need not be Ready before it is asked."""
    of = hooks.Target(names.MODELSERVICE, namespace, name)
    if there.read(of) is None:
        raise plan.InvalidPlan(f"judge: {of} is not there (namespace {namespace})")


def announce_model(served: Mapping[str, Any], outlet_events: Any) -> dict[str, Any]:
    """Tell the DAGs that wait for it which model serves in production now."""
    asset = assets.promoted_model(served["namespace"], served["name"])
    event = assets.model_event(served)
    outlet_events[assets.PROMOTED_MODELS].add(asset, extra=event)
    log.info("%s: %s", asset.uri, event)
    return event


def announce_dataset(params: Mapping[str, Any], ti: Any, outlet_events: Any) -> dict[str, Any]:
    """Tell the DAGs that wait for it which data can be trained on."""
    job, prepared = ti.xcom_pull("train.submit"), ti.xcom_pull("train.prepare")
    asset = assets.prepared_dataset(job["namespace"], params["name"])
    event = assets.dataset_event(prepared, job)
    outlet_events[assets.PREPARED_DATASETS].add(asset, extra=event)
    log.info("%s: %s", asset.uri, event)
    return event
