"""The tasks that find out how good a model is, and what becomes of it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow.providers.standard.operators.hitl import HITLEntryOperator
from airflow.providers.standard.operators.python import BranchPythonOperator
from airflow.sdk import BaseOperator, Param, TaskGroup, TriggerRule

from fairlead_airflow import gates, scores
from fairlead_airflow.operators.evaluating import EvaluateOperator
from fairlead_airflow.pipelines.plan import CANDIDATE, beside
from fairlead_airflow.pipelines.serving import NAME, NAMESPACE, serve
from fairlead_airflow.pipelines.timing import HUMAN_TIMEOUT
from fairlead_airflow.scores import Metric

TASK_OF: Final = {
    gates.Branch.PROMOTE: "production",
    gates.Branch.STAGE: "staging",
    gates.Branch.RETRAIN: "retrain",
    gates.Branch.NOTIFY: "notify",
}
FIRST: Final = "assess"
SECOND: Final = "assess_again"
WHY: Final = "why"
"""XCom of a gate: the reason in words."""
JUDGED: Final = "judged"
"""XCom of a gate: the job whose model the run goes on with; empty where it is trained again."""
SCORE: Final = "score"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assessment:
    """A group of tasks, the last of which decides."""

    group: TaskGroup
    gate: BaseOperator


def assess(group_id: str, trained_by: str, checked: Any, num_retrains: int) -> Assessment:
    """Serve a trained model beside the one in production, ask it, and decide.

    Args:
        group_id: Of the group.
        trained_by: Id of the task that handed on what the FineTuneJob came to.
        checked: What the task ``check`` handed on.
        num_retrains: How often it may be trained again.
    """
    job = f"{{{{ ti.xcom_pull('{trained_by}')['name'] }}}}"
    with TaskGroup(group_id) as group:
        service = beside(NAME, CANDIDATE)
        served = serve("serve", service, job, checked)
        evaluated = EvaluateOperator(
            task_id="evaluate",
            service=service,
            namespace=NAMESPACE,
            questions="{{ params.questions }}",
            confined=True,
            judge="{{ params.judge or '' }}",
        )
        asks = BranchPythonOperator(
            task_id="choose_judges", python_callable=choose_judges, op_args=[group_id]
        )
        person = _ask_person(service)
        decides = BranchPythonOperator(
            task_id="gate",
            python_callable=gate,
            op_args=[group_id, trained_by, num_retrains],
            trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        )
        served >> evaluated >> asks >> [person, decides]
        person >> decides
    return Assessment(group, decides)


def _ask_person(service: str) -> BaseOperator:
    score = Param(0.5, type="number", minimum=0, maximum=1, title="Score", description="0 to 1")
    return HITLEntryOperator(
        task_id="ask_person",
        subject=f"How good is {service}?",
        body="Ask it as you like; its other scores:"
        " {{ ti.xcom_pull(ti.task_id.replace('ask_person', 'evaluate'))['scores'] }}",
        options=[HITLEntryOperator.OK],
        params={SCORE: score},
        response_timeout=HUMAN_TIMEOUT,
        execution_timeout=None,  # of the answer it is the line above
        retries=0,  # else who doesn't answer is waited for as long again, and the candidate serves
    )


def choose_judges(group_id: str, params: Mapping[str, Any]) -> str:
    """Whether a person is asked, too."""
    return f"{group_id}.ask_person" if params["ask_human"] else f"{group_id}.gate"


def gate(
    group_id: str, trained_by: str, num_retrains: int, params: Mapping[str, Any], ti: Any
) -> str:
    """Decide by the gates what becomes of the model."""
    measured = dict(ti.xcom_pull(f"{group_id}.evaluate")["scores"])
    if params["ask_human"]:
        answer = ti.xcom_pull(f"{group_id}.ask_person")
        measured[Metric.HUMAN] = scores.of_human(answer, {}, SCORE)
    decision = gates.decide(
        measured,
        gates.parse(params["production_gates"], "production_gates"),
        gates.parse(params["staging_gates"], "staging_gates"),
        num_retrains if params["retrain"] else 0,
    )
    log.info("%s: %s", decision.branch, decision.why)
    ti.xcom_push(WHY, decision.why)
    # Later tasks ask for this, not for what was trained: what a second training handed on stays
    # where the first gate is cleared and, this time, needs none.
    is_judged = decision.branch is not gates.Branch.RETRAIN
    ti.xcom_push(JUDGED, ti.xcom_pull(trained_by)["name"] if is_judged else "")
    return TASK_OF[decision.branch]
