"""Asks the HTTP API of Prometheus, or of what speaks like it, for one number.

Whoever asks is told by the kind of failure what to do: ``NoData`` and ``Away`` may mend
themselves, ``QueryRefused`` and ``NotOneNumber`` don't. Each names the query.
"""

import json
from typing import Any, Final

import aiohttp

from fairlead_airflow.httpconnection import HttpConnection

QUERY_PATH: Final = "/api/v1/query"
TIMEOUT_SECONDS: Final = 30.0


class NoData(Exception):
    """Nothing is known of what is asked for: no such series, or none now."""


class Away(Exception):
    """No answer now."""


class QueryRefused(Exception):
    """Prometheus doesn't take the query, or whoever asks it."""


class NotOneNumber(QueryRefused):
    """The query is for more than one number."""


async def value(
    connection: HttpConnection, query: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> float:
    """The number that a query gives now; it may be NaN.

    Raises:
        NoData: Nothing is known now.
        Away: No answer, or not yet.
        QueryRefused: Also as NotOneNumber.
        InvalidConnection: When its certificates can't be read.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    try:
        async with (
            aiohttp.ClientSession(headers=connection.headers, timeout=timeout) as session,
            session.post(
                connection.url + QUERY_PATH, data={"query": query}, ssl=connection.tls(),
                allow_redirects=False,  # a login page is no answer
            ) as answer,
        ):  # fmt: skip
            status, text = answer.status, await answer.text(errors="replace")
    except TimeoutError:
        raise Away(_of(query, f"no answer within {timeout_seconds:g} s")) from None
    except (aiohttp.ClientError, OSError) as broken:
        raise Away(_of(query, f"{connection.url} doesn't answer: {broken}")) from broken
    return read(query, status, text)


def read(query: str, status: int, text: str) -> float:
    """The number in an answer; raises as ``value`` does."""
    document = _document(text)
    if status in (408, 429) or status >= 500:
        raise Away(_of(query, f"{status}: {_said(document, text)}"))
    if status != 200 or document.get("status") != "success":
        raise QueryRefused(_of(query, f"{status}: {_said(document, text)}"))
    return _number(query, document.get("data"))


def _number(query: str, data: Any) -> float:
    """One number of a scalar, or of a vector of one series."""
    match data:
        case {"resultType": "scalar", "result": [_, number]}:
            return float(number)
        case {"resultType": "vector", "result": []}:
            raise NoData(_of(query, "no data"))
        case {"resultType": "vector", "result": [{"value": [_, number]}]}:
            return float(number)
        case {"resultType": "vector", "result": [*series]}:
            raise NotOneNumber(_of(query, f"gives {len(series)} series: aggregate them, as by avg"))
        case {"resultType": other}:
            raise NotOneNumber(_of(query, f"gives a {other}, not one number"))
    raise QueryRefused(_of(query, "the answer isn't one of Prometheus"))


def _of(query: str, what: str) -> str:
    return f"Prometheus, {query}: {what}"


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(document: dict[str, Any], text: str) -> str:
    return str(document.get("error") or text.strip() or "(nothing)")[:500]
