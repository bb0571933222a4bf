"""Training rows from where Airflow can open them: an http(s) address or an object store.

Never a file of the worker: who may start a run could have its content told.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from airflow.sdk import Connection, ObjectStoragePath

from fairlead_airflow import httpconnection
from fairlead_airflow.pipelines import rows
from fairlead_airflow.pipelines.plan import InvalidPlan
from fairlead_api import uris

MAX_BYTES: Final = 4 * (rows.MAX_CHARS + 1)
"""Of more text than is allowed: UTF-8 takes four bytes a character at most."""
TIMEOUT_SECONDS: Final = 120.0
_HTTP: Final = ("http://", "https://")
_STORES: Final = ("s3://", "gs://")
_CHAIN: Final = "::"
"""fsspec's sign for a storage behind another; it would lead to a second address."""
LATER: Final = frozenset({408, 425, 429})
"""Statuses below 500 that another try may mend."""


class Away(OSError):
    """The address gives no answer now; the task's next try may find it."""


def training_rows(form: Mapping[str, Any]) -> str | None:
    """The rows that a run brings along, checked one by one; None: the cluster has them.

    Raises:
        InvalidPlan: For an address that nobody here can open, or that refuses.
        rows.BrokenRows: Naming the lines.
        Away: When it gives no answer now.
    """
    if form["rows"]:
        rows.check("rows", form["rows"], form["data_format"])
        return str(form["rows"])
    source, conn_id = form["dataset"], form["dataset_conn_id"]
    if source.startswith("pvc://"):
        uris.parse(source)
        return None
    is_http = source.startswith(_HTTP)
    if not is_http and (not source.startswith(_STORES) or _CHAIN in source):
        raise InvalidPlan(
            f"dataset: {source} must be one address that begins with pvc://, http://, https://,"
            " s3:// or gs://"
        )
    data = asyncio.run(_download(source, conn_id)) if is_http else _read(source, conn_id)
    text = _decode(source, data)
    rows.check(source, text, form["data_format"])
    return text


def _decode(source: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as broken:
        line = data[: broken.start].count(b"\n") + 1
        if broken.reason == "unexpected end of data" and len(data) > MAX_BYTES:
            return data[: broken.start].decode("utf-8")  # it is too long anyway
        raise rows.BrokenRows(f"{source}, line {line}: no UTF-8") from broken


def _read(source: str, conn_id: str | None) -> bytes:
    """What lies in an object store, and one byte more than is allowed at most."""
    try:
        path: Any = ObjectStoragePath(source, conn_id=conn_id)
        with path.open("rb") as stream:
            data: bytes = stream.read(MAX_BYTES + 1)
    except (ValueError, ImportError, FileNotFoundError) as refused:
        raise InvalidPlan(f"dataset: {source} can't be opened: {refused}") from refused
    return data


def _require_same_origin(
    source: str, login: httpconnection.HttpConnection, conn_type: str | None
) -> None:
    """Keep a login from servers that it isn't for: who fills in the form names both.

    Where the server sends the client on to another one, aiohttp leaves the login behind.
    """
    if conn_type != "http":
        raise InvalidPlan(
            f"dataset_conn_id: {login.conn_id} must be of type http, it is {conn_type}"
        )
    if _origin(source) != _origin(login.url):
        raise InvalidPlan(
            f"dataset_conn_id: {login.conn_id} leads to {login.url}, not to where the dataset is,"
            f" {source}"
        )


def _origin(url: str) -> tuple[str, str | None, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as invalid:
        raise InvalidPlan(f"dataset: {url} is no address: {invalid}") from invalid
    return parts.scheme, parts.hostname, port


async def _download(source: str, conn_id: str | None) -> bytes:
    import aiohttp  # not when a DAG file is read

    options: dict[str, Any] = {}
    if conn_id:
        described = await Connection.async_get(conn_id)
        login = httpconnection.of(described, await described.aextra_dejson())
        _require_same_origin(source, login, described.conn_type)
        options = {"headers": login.headers, "ssl": login.tls()}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(source, **options) as answer,
        ):
            if answer.status >= 500 or answer.status in LATER:
                raise Away(f"{source} answers {answer.status} {answer.reason}")
            if answer.status != 200:
                raise InvalidPlan(f"dataset: {source} answers {answer.status} {answer.reason}")
            return await _first(answer.content)
    except (aiohttp.ClientError, TimeoutError) as failure:
        raise Away(f"{source} doesn't answer: {failure!r}") from failure


async def _first(content: Any) -> bytes:
    """A body, or one byte more than is allowed of it."""
    data = b""
    while len(data) <= MAX_BYTES and (piece := await content.read(MAX_BYTES + 1 - len(data))):
        data += piece
    return data
