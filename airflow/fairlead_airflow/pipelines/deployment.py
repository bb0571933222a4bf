"""The tasks of deploy_model: provision, register, serve, look, ask, and go back where it is bad."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import exam, gates, hooks, naming, scores
from fairlead_airflow.operators.evaluating import EvaluateOperator
from fairlead_airflow.operators.resource import task_key
from fairlead_airflow.operators.scaling import ScaleOperator
from fairlead_airflow.operators.serving import ServeOperator
from fairlead_airflow.pipelines import (
    checking,
    cleaning,
    deploying,
    plan,
    rehearsal,
    room,
    timing,
)
from fairlead_airflow.pipelines.rollback import RollBackOperator
from fairlead_airflow.pipelines.serving import NAME, NAMESPACE
from fairlead_airflow.sensors import ConditionSensor
from fairlead_api import names, uris
from fairlead_api.conditions import ModelServiceCondition

GRACE_PERIOD: Final = timedelta(seconds=30)
"""How long a new model must stay Ready before anybody asks it."""
_INVALID: Final = (plan.InvalidPlan, gates.InvalidGate, exam.InvalidExam, uris.UriError)
log = logging.getLogger(__name__)


def string() -> None:
    """String the tasks of a run, in the DAG of the caller."""
    provisioned = PythonOperator(task_id="provision", python_callable=provision)
    registered = PythonOperator(
        task_id="register", python_callable=register, op_args=[provisioned.output],
        multiple_outputs=True,
    )  # fmt: skip
    out: Any = registered.output
    spec = {key: out[key] for key in ("model", "engine", "resources")}
    place: dict[str, Any] = {"name": NAME, "namespace": NAMESPACE}
    served = ServeOperator(
        task_id="serve", manifest={"spec": spec}, grace_period=GRACE_PERIOD, **place
    )
    healthy = ConditionSensor(
        task_id="health", kind=names.MODELSERVICE, condition=ModelServiceCondition.READY,
        timeout=timing.TASK_TIMEOUT.total_seconds(), **place,
    )  # fmt: skip
    examined = EvaluateOperator(
        task_id="ask", service=NAME, namespace=NAMESPACE, questions="{{ params.questions }}",
        confined=True,
    )  # fmt: skip
    validated = PythonOperator(
        task_id="validate", python_callable=validate, op_args=[examined.output], retries=0
    )
    settled = PythonOperator(
        task_id="traffic",
        python_callable=traffic,
        op_args=[served.output, out["uri"], out["digest"]],
    )
    scaled = ScaleOperator(
        task_id="scale", replicas="{{ [ti.xcom_pull('traffic'), params.replicas] | max }}", **place
    )
    back = RollBackOperator(
        task_id="roll_back", record=registered.output, deployed_by="serve",
        found_good_by="traffic", **place,
    )  # fmt: skip
    registered >> served >> healthy >> examined >> validated >> settled >> scaled
    cleaning.finish([scaled], back)


def provision(
    params: Mapping[str, Any], dag: Any, dag_run: Any, ti: Any, triggering_asset_events: Any
) -> dict[str, Any]:
    """See that what the service needs is there; returns which model it is to serve."""
    try:
        checking.require_known(dag_run.conf, dag.params)
        gates.check_available(gates.parse(params["gates"]), scores.ASKED)
        asked = exam.load(params["questions"], Path(dag.folder), confined=True)
        model = deploying.model_of(params, deploying.told(triggering_asset_events))
        with hooks.failing_at_once():
            claim = _ask_cluster(params, model, task_key({"ti": ti}))
    except _INVALID as invalid:
        raise AirflowFailException(str(invalid)) from invalid
    log.info("%s, to be asked %d questions; its files are on claim %s", model, len(asked), claim)
    return model


def _ask_cluster(params: Mapping[str, Any], model: dict[str, Any], key: naming.TaskKey) -> str:
    """See that the model is there and its service would be taken; returns the model's claim."""
    there = hooks.FairleadHook()
    namespace = params["namespace"] or there.default_namespace()
    try:
        claim = deploying.claim_of(model, _job(there, namespace, model))
    except deploying.Absent as absent:
        others = deploying.instead(namespace, room.jobs(there, namespace))
        raise plan.InvalidPlan(f"{absent}; {others}") from absent
    for line in deploying.quota_lines(room.quotas(there, namespace)):
        log.info("%s", line)
    if not room.has_claim(there, namespace, claim):
        raise plan.InvalidPlan(f"claim {claim} is not there (namespace {namespace})")
    of = hooks.Target(names.MODELSERVICE, namespace, params["name"])
    rehearsal.require_taken(there, of, plan.modelservice(params, model), key)
    return claim


def register(model: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Write down what is deployed, its digest, and what serves before it."""
    there = hooks.FairleadHook()
    namespace = params["namespace"] or there.default_namespace()
    try:
        with hooks.failing_at_once():
            service = there.read(hooks.Target(names.MODELSERVICE, namespace, params["name"]))
            job = _job(there, namespace, model)
        record = deploying.record(params, model, job, service)
    except _INVALID as invalid:
        raise AirflowFailException(str(invalid)) from invalid
    log.info("to serve %s, %s", record["uri"], record["digest"] or "of a digest not known yet")
    log.info("serves now: %s", record["before"]["model"] if record["before"] else "nothing")
    return record


def validate(examined: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Judge the answers of the endpoint."""
    try:
        verdict = deploying.require_good(examined, params["gates"])
    except (deploying.NotGood, gates.MissingScore) as bad:
        raise AirflowFailException(str(bad)) from bad
    log.info("%s", verdict)
    return verdict


def traffic(served: Mapping[str, Any], uri: str, digest: str) -> int:
    """See that all traffic goes to the new model; returns how many replicas there are.

    Traffic moves as the rollout does: pod by pod. Shares of it (canaries) are not there yet.
    """
    there = hooks.FairleadHook()
    of = hooks.Target(names.MODELSERVICE, served["namespace"], served["name"])
    found = there.read(of)
    if found is None:
        raise AirflowFailException(f"{of} was deleted since it was asked")
    log.info("%s: %s", of, deploying.require_settled(found, uri, digest))
    return int(found["spec"]["replicas"])


def _job(
    there: hooks.FairleadHook, namespace: str, model: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The FineTuneJob that a model is from, if it is named so."""
    if "fineTuneJobRef" not in model:
        return None
    name = model["fineTuneJobRef"]["name"]
    return there.read(hooks.Target(names.FINETUNEJOB, namespace, name))
