"""The status page: a small web application that Airflow's API server mounts.

Loaded by the first request, in the API server only. Airflow guards none of a plugin's
applications: each request here asks Airflow's own login who it is and what it may read.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import jinja2
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from airflow.models.connection import Connection as StoredConnection
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse

from fairlead_airflow import hooks, looking, overview, provider
from fairlead_api import names

PAGE_SIZE: Final = 50
LARGEST_PAGE: Final = 500
_CONN_TYPES: Final = (provider.CONNECTION_TYPE, "kubernetes")
_NAME: Final = r"^[A-Za-z0-9_.\-]{1,250}$"
_LABEL: Final = r"^[a-z0-9]([\-a-z0-9]{0,61}[a-z0-9])?$"
"""Browsers read it too, by rules that take a bare dash in brackets for an error."""
_LABEL_IN_WORDS: Final = "lower-case letters, digits and dashes between them, at most 63"
_MEANT: Final = {
    "connection": "letters, digits, dots, dashes and underscores, at most 250",
    "namespace": _LABEL_IN_WORDS,
    "name": _LABEL_IN_WORDS,
    "kind": f"{names.FINETUNEJOB} or {names.MODELSERVICE}",
    "limit": f"a number from 1 to {LARGEST_PAGE}",
}
"""What a field of a query may be, for who reads the page."""
_LONGEST_QUOTE: Final = 80
_RESOURCE: Final = "/resource"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

ConnectionName = Annotated[str, Query(pattern=_NAME)]
Namespace = Annotated[str, Query(pattern=rf"^$|{_LABEL}")]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE)]
Token = Annotated[str, Query(max_length=4096)]


def may_read(user: GetUserDep, connection: ConnectionName = hooks.DEFAULT_CONNECTION) -> None:
    """Refuse who may not read the connection with whose rights the page looks."""
    details = ConnectionDetails(conn_id=connection, team_name=_team(connection))
    if not get_auth_manager().is_authorized_connection(method="GET", details=details, user=user):
        raise HTTPException(403, f"You may not read connection {connection}.")


def make() -> FastAPI:
    """The application, guarded as a whole: no page without the login."""
    app = FastAPI(
        title="Fairlead",
        dependencies=[Depends(requires_access_dag("GET")), Depends(may_read)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_api_route("/", show_all, response_class=HTMLResponse)
    app.add_api_route(_RESOURCE, show_one, response_class=HTMLResponse)
    app.exception_handler(RequestValidationError)(show_refusal)
    return app


async def show_refusal(request: Request, refused: RequestValidationError) -> HTMLResponse:
    """The page with what is wrong in its address; FastAPI asks the guard before it raises this."""
    query = request.query_params
    told = {box: query.get(box, "") for box in ("namespace", "kind", "name")}
    told["connection"] = query.get("connection", hooks.DEFAULT_CONNECTION)
    trouble = "; ".join(_refusal(error, query) for error in refused.errors())
    is_one = request.url.path.endswith(_RESOURCE)
    return page("resource.html" if is_one else "overview.html", told | {"trouble": trouble}, 422)


def _refusal(error: Mapping[str, Any], query: Mapping[str, str]) -> str:
    field = str(error["loc"][-1])
    if field not in query:
        return f"{field} is missing"
    given = query[field][:_LONGEST_QUOTE]
    return f"{field} “{given}” can't be: {_MEANT.get(field, error['msg'])}"


async def show_all(
    connection: ConnectionName = hooks.DEFAULT_CONNECTION,
    namespace: Namespace = "",
    limit: Limit = PAGE_SIZE,
    jobs: Token = "",
    services: Token = "",
) -> HTMLResponse:
    """A page of the jobs and one of the services."""
    told: dict[str, Any] = {"connection": connection, "namespace": namespace, "limit": limit}
    try:
        there = await asyncio.to_thread(stored, connection)
        told["namespace"] = namespace = namespace or there.namespace
    except looking.NoLook as why:
        return page("overview.html", told | {"trouble": str(why)})
    place = {"connection": connection, "namespace": namespace}
    here = place | {"limit": limit, "jobs": jobs, "services": services}
    seen_jobs, seen_services = await asyncio.gather(
        _seen(there, here, names.FINETUNEJOB, "jobs"),
        _seen(there, here, names.MODELSERVICE, "services"),
    )
    if seen_jobs.trouble == seen_services.trouble != "":
        return page("overview.html", told | {"trouble": seen_jobs.trouble})
    return page(
        "overview.html",
        told
        | {
            "jobs": seen_jobs,
            "services": seen_services,
            "first": f"?{urlencode(place | {'limit': limit})}",
            "is_first": not (jobs or services),
            "link": lambda kind, name: (
                f"resource?{urlencode(place | {'kind': kind, 'name': name})}"
            ),
        },
    )


async def show_one(
    kind: Annotated[str, Query(pattern=f"^({names.FINETUNEJOB}|{names.MODELSERVICE})$")],
    name: Annotated[str, Query(pattern=_LABEL)],
    connection: ConnectionName = hooks.DEFAULT_CONNECTION,
    namespace: Namespace = "",
) -> HTMLResponse:
    """One resource with its conditions, stages and result: the report that links lead to."""
    told = {"connection": connection, "namespace": namespace, "kind": kind, "name": name}
    try:
        there = await asyncio.to_thread(stored, connection)
        told["namespace"] = namespace = namespace or there.namespace
        body = await there.one(hooks.Target(kind, namespace, name))
    except looking.NoLook as why:
        return page("resource.html", told | {"trouble": str(why)})
    place = {"connection": connection, "namespace": namespace}
    told["back"] = f"./?{urlencode(place)}"
    if body is None:
        trouble = f"There is no {kind} {name} in namespace {namespace}: it may be deleted."
        return page("resource.html", told | {"trouble": trouble}, 404)
    row = overview.row({"kind": kind} | body, datetime.now(UTC))
    return page("resource.html", told | {"row": row})


@dataclass(frozen=True)
class _Seen:
    """What the page shows of one kind."""

    rows: Sequence[overview.Row] = ()
    num_left: int = 0
    following: str = ""
    """Where the next page is; empty on the last."""
    trouble: str = ""
    """Why there is nothing."""


async def _seen(there: looking.Connection, here: Mapping[str, Any], kind: str, pages: str) -> _Seen:
    """A page of one kind, or why not: who may see one kind only still sees that."""
    try:
        found = await there.jobs_or_services(kind, here["namespace"], here["limit"], here[pages])
    except looking.NoLook as why:
        return _Seen(trouble=str(why))
    now = datetime.now(UTC)
    following = f"?{urlencode({**here, pages: found.following})}" if found.following else ""
    return _Seen([overview.row(body, now) for body in found.items], found.left, following)


def stored(conn_id: str) -> looking.Connection:
    """The connection of a name; without one of the default's name, where this process runs."""
    try:
        found = StoredConnection.get_connection_from_secrets(conn_id, _team(conn_id))
    except AirflowNotFoundException:
        if conn_id == hooks.DEFAULT_CONNECTION:
            return looking.Connection(conn_id, {})
        raise looking.NoLook(f"There is no connection {conn_id}.") from None
    if found.conn_type not in _CONN_TYPES:
        raise looking.NoLook(
            f"Connection {conn_id} is of type {found.conn_type}, not {' or '.join(_CONN_TYPES)}."
        )
    return looking.Connection(conn_id, found.extra_dejson)


def _team(conn_id: str) -> str | None:
    if not conf.getboolean("core", "multi_team"):
        return None
    return StoredConnection.get_team_name(conn_id)


@cache
def templates() -> jinja2.Environment:
    """The pages, escaped whatever they show."""
    folder = str(resources.files("fairlead_airflow") / "pages")
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(template: str, told: dict[str, Any], status: int = 200) -> HTMLResponse:
    """A page, which no cache may keep and no other site may frame."""
    shared = {
        "gpu_hours_in_words": overview.GPU_HOURS,
        "trouble": "",
        "patterns": {"connection": _NAME, "namespace": _LABEL},
        "meant": _MEANT,
    }
    text = templates().get_template(template).render(shared | told)
    return HTMLResponse(text, status_code=status, headers=_HEADERS)
