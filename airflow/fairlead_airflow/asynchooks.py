"""The connection to a cluster for triggers, on the cncf provider's asynchronous hook."""

from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook

from fairlead_airflow.hooks import FairleadHook


class AsyncFairleadHook(AsyncKubernetesHook):
    """The connection that FairleadHook takes, by the same rules."""

    default_conn_name = FairleadHook.default_conn_name

    def __init__(self, fairlead_conn_id: str, **kwargs: Any) -> None:
        super().__init__(conn_id=fairlead_conn_id, **kwargs)
