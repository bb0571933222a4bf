"""The task that tells people what a run can't mend."""

import logging
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow.pipelines.assessing import FIRST, JUDGED, SECOND, WHY

log = logging.getLogger(__name__)


def notify(**options: Any) -> PythonOperator:
    """The task."""
    return PythonOperator(task_id="notify", python_callable=tell_of_scores, retries=0, **options)


def tell_of_scores(**context: Any) -> None:
    """Say which gates the model failed, and fail: it serves nowhere."""
    from fairlead_airflow.notifier import FairleadNotifier  # aiohttp: not in a DAG file

    ti, params = context["ti"], context["params"]
    decided = FIRST if ti.xcom_pull(f"{FIRST}.gate", key=JUDGED) else SECOND
    why = ti.xcom_pull(f"{decided}.gate", key=WHY)
    message = f"{params['name']}: {why}"
    log.warning(message)
    notifier: Any = FairleadNotifier(webhook_conn_id=params["notify_conn_id"], text=message)
    notifier.notify(context)
    raise AirflowFailException(message)
