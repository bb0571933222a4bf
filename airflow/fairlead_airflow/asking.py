"""How a task asks a service: many requests at once, patient where patience helps.

A request is answered, refused (``Refused``: no retry mends it), or the service is away
(``ServiceAway``), which says nothing against the request. Where one request fails again and again
by an error of the server, a greeting tells which of the two it is.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import tenacity

from fairlead_airflow.endpoint import Endpoint

GREETING: Final = "/v1/models"
OVERLOADED: Final = frozenset({429, 503})
"""The service says: later."""
AWAY: Final = frozenset({502, 504})
"""The gateway says: nobody there."""
TRIES_OF_ONE: Final = 3
"""Errors of the server about one request, after which the server itself is asked whether it is
well."""
GREETING_SECONDS: Final = 30.0
"""For the answer to a greeting, whatever the answer to a request may take."""
LONGEST_PAUSE_SECONDS: Final = 60.0

log = logging.getLogger(__name__)


class Refused(Exception):
    """This request will not be answered; ``status`` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ServiceAway(Exception):
    """The service gave no answer in all the time that was allowed."""


class NotNow(Exception):
    """No answer now; ``pause_seconds`` is what the server asks for, if it does."""

    def __init__(self, message: str, pause_seconds: float | None = None) -> None:
        super().__init__(message)
        self.pause_seconds = pause_seconds


class ServerError(NotNow):
    """The server failed at this request: by its fault, or by the request's."""


class Client:
    """Asks one service; an asynchronous context manager.

    Args:
        endpoint: Where.
        concurrency: Requests on their way at once; one that waits to be sent again counts.
        timeout_seconds: For the whole answer to one request.
        patience_seconds: How long a request is sent again before the service counts as away.
        say: Told why a request is sent again.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        concurrency: int = 8,
        timeout_seconds: float = 300,
        patience_seconds: float = 600,
        say: Callable[..., object] = log.info,
    ) -> None:
        self.endpoint = endpoint
        self._places = asyncio.Semaphore(concurrency)
        self._concurrency = concurrency
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=30)
        self._patience_seconds = patience_seconds
        self._say = say
        self._session: aiohttp.ClientSession | None = None
        self.num_sent = 0
        """Requests sent, those sent again included."""

    async def __aenter__(self) -> "Client":
        self._session = aiohttp.ClientSession(
            headers=self.endpoint.headers,
            timeout=self._timeout,
            connector=aiohttp.TCPConnector(limit=self._concurrency, ssl=self.endpoint.tls()),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            Refused: The request is at fault.
            ServiceAway: The service is, for longer than ``patience_seconds``.
        """
        num_errors = 0
        async with self._places:
            async for attempt in self._patiently():
                with attempt:
                    try:
                        return await self._send(path, body)
                    except ServerError as error:
                        num_errors += 1
                        if num_errors >= TRIES_OF_ONE and await self.is_well():
                            raise Refused(f"{error}, {num_errors} times", 500) from error
                        raise
        raise AssertionError("tenacity gives up by raising")

    async def is_well(self) -> bool:
        """Whether the service answers a greeting."""
        allowed = aiohttp.ClientTimeout(total=GREETING_SECONDS)
        try:
            async with self._open.get(self.endpoint.url + GREETING, timeout=allowed) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is an asynchronous context manager: enter it first")
        return self._session

    async def _send(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        url = self.endpoint.url + path
        self.num_sent += 1
        try:
            async with self._open.post(url, json=body) as answer:
                text = await answer.text(errors="replace")
        except TimeoutError as late:
            raise ServerError(f"{url} gave no answer within {self._timeout.total:.0f} s") from late
        except (aiohttp.ClientError, OSError) as broken:
            raise NotNow(f"{url} doesn't answer: {broken!r}") from broken
        return read(url, answer.status, answer.headers, text)

    def _patiently(self) -> tenacity.AsyncRetrying:
        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(NotNow),
            stop=tenacity.stop_after_delay(self._patience_seconds),
            wait=_pause,
            before_sleep=self._tell,
            retry_error_callback=self._give_up,
        )

    def _tell(self, state: tenacity.RetryCallState) -> None:
        pause = state.next_action.sleep if state.next_action else 0.0
        self._say("%s; again in %.1f s", _failure(state), pause)

    def _give_up(self, state: tenacity.RetryCallState) -> None:
        raise ServiceAway(f"{_failure(state)} (tried for {self._patience_seconds:.0f} s)")


def read(url: str, status: int, headers: Mapping[str, str], text: str) -> dict[str, Any]:
    """What an answer means.

    Raises:
        Refused: A status of the 4xx that no retry mends.
        NotNow: The service, or the gateway before it, is busy or away.
        ServerError: It failed at this request.
    """
    document = _document(text)
    said = f"{url} answers {status}: {_message(document, text)}"
    if status in OVERLOADED:
        raise NotNow(said, _retry_after(headers.get("Retry-After", "")))
    if status in AWAY or (status == 404 and document is None):  # a gateway's, without a route yet
        raise NotNow(said)
    if status >= 500 or document is None:
        raise ServerError(said)
    if status >= 400:
        raise Refused(said, status)
    return document


def _failure(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _pause(state: tenacity.RetryCallState) -> float:
    """What the server asks for, and a little more so that not all come at once."""
    failure = _failure(state)
    jittered: float = tenacity.wait_random_exponential(multiplier=0.5, max=15)(state)
    asked = failure.pause_seconds if isinstance(failure, NotNow) else None
    if asked is None:
        return jittered
    return min(asked, LONGEST_PAUSE_SECONDS) + min(jittered, 1.0)


def _retry_after(text: str) -> float | None:
    """Seconds of a Retry-After header, which may be a number or a date."""
    if text.isascii() and text.strip().isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000": UTC of unknown origin
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _document(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # the latter of an answer that is nested too deep
        return None
    return found if isinstance(found, dict) else None


def _message(document: Mapping[str, Any] | None, text: str) -> str:
    """What the server says, whether in OpenAI's form, vLLM's or none."""
    if document is None:
        return text.strip()[:500] or "(nothing)"
    error = document.get("error", document)
    message = error.get("message") if isinstance(error, Mapping) else error
    return str(message or text)[:2000]
