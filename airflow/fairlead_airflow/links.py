"""Buttons at a task in Airflow's UI, that lead to its resource.

Airflow asks for them when a task ends or begins to be deferred: so they are there while it waits.
"""

from typing import Any, Final
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

from fairlead_airflow import hooks

URL_PREFIX: Final = "/fairlead"


def address(of: hooks.Target, conn_id: str, anchor: str = "") -> str:
    """Where the status page shows a resource."""
    place = {"kind": of.kind, "name": of.name, "namespace": of.namespace, "connection": conn_id}
    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"{base}{URL_PREFIX}/resource?{urlencode(place)}{anchor}"


class ResourceLink(BaseOperatorLink):
    """Leads to the resource that a task waits for."""

    name = "Fairlead"
    anchor = ""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Empty where the task came to its end before it had a resource."""
        of: hooks.Target | None = operator.target
        return address(of, operator.fairlead_conn_id, self.anchor) if of is not None else ""


class ReportLink(ResourceLink):
    """Leads to what came of it: stages, conditions, the trained model."""

    name = "Report"
    anchor = "#report"


LINKS: Final = (ResourceLink(), ReportLink())
