"""What Airflow's processes load of us: the status page, links and macros.

Every process loads it, workers too: the page's application is made by the first request for it,
which only the API server gets.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import cached_property
from typing import Any, Final

from airflow.sdk.plugins_manager import AirflowPlugin

from fairlead_airflow import links, naming

URL_PREFIX: Final = links.URL_PREFIX
_Scope = MutableMapping[str, Any]


class StatusPage:
    """The application of the page, made by the first request."""

    @cached_property
    def app(self) -> Any:
        """Needs Airflow's API server around it."""
        from fairlead_airflow import statuspage

        return statuspage.make()

    async def __call__(
        self,
        scope: _Scope,
        receive: Callable[[], Awaitable[_Scope]],
        send: Callable[[_Scope], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        await self.app(scope, receive, send)


def resource_name(ti: Any) -> str:
    """Name of the resource that a task instance makes, where it is given none."""
    map_index = -1 if ti.map_index is None else ti.map_index
    return naming.resource_name(naming.TaskKey(ti.dag_id, ti.task_id, ti.run_id, map_index))


def artifact_uri(result: Mapping[str, Any]) -> str:
    """Uri of the model in what a FineTuneOperator handed on; says so where there is none."""
    artifact = (result or {}).get("artifact")
    if not artifact:
        raise ValueError(f"artifact_uri: no artifact in {result!r}; did the task that trains run?")
    return str(artifact["uri"])


class FairleadPlugin(AirflowPlugin):
    """Found by the entry point airflow.plugins."""

    name = "fairlead"
    macros = [resource_name, artifact_uri]
    fastapi_apps = [{"app": StatusPage(), "url_prefix": URL_PREFIX, "name": "Fairlead"}]
    external_views = [
        {
            "name": "Fairlead",
            "href": f"{URL_PREFIX.lstrip('/')}/",  # relative: Airflow may be below a path
            "destination": "nav",
            "url_route": "fairlead",
            "nav_top_level": True,
        }
    ]
