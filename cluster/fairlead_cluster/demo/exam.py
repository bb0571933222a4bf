"""Put questions to served models over HTTP, through the gateway, as any client would."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from fairlead_cluster import errors

_TIMEOUT_SECONDS = 120.0
_PATIENCE_SECONDS = 180.0  # longer than one try
_PAUSE_SECONDS = 0.5
_PARALLEL = 4
_ROUTE_NOT_THERE_YET = frozenset({404, 500, 503})


@dataclass(frozen=True)
class Examinee:
    """A model behind the gateway."""

    model: str
    """Name that requests give."""
    url: str
    """status.url of its ModelService: the gateway routes by its host."""
    gateway: str
    """Address of the gateway, http://HOST:PORT."""

    def answer(self, question: str, max_tokens: int) -> str:
        """The model's most likely answer.

        Raises:
            OSError: When there is no answer, or it is a refusal.
        """
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        request = urllib.request.Request(
            f"{self.gateway}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Host": urlsplit(self.url).netloc},
        )
        # The gateway is on this machine or in the user's cluster, never behind a proxy.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            text: str | None = json.load(answer)["choices"][0]["message"]["content"]
            return (text or "").strip()


def wait_until_answering(examinee: Examinee, question: str) -> None:
    """Give the gateway a moment to learn of a new route.

    Raises:
        ClusterError: When it doesn't route there after three minutes, with what it says.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            examinee.answer(question, 1)
            return
        except OSError as problem:
            code = getattr(problem, "code", None)
            is_new = code is None or code in _ROUTE_NOT_THERE_YET
            if not is_new or time.monotonic() > deadline:
                raise errors.ClusterError(
                    f"{examinee.url} does not answer through {examinee.gateway}: {problem}",
                    f"see `kubectl describe modelservice,httproute {examinee.model}`",
                ) from problem
        time.sleep(_PAUSE_SECONDS)


def ask_all(examinee: Examinee, questions: Sequence[str], max_tokens: int) -> list[str]:
    """Ask everything, a few at a time; the answers are in the questions' order.

    Raises:
        ClusterError: When a question gets no answer.
    """

    def ask(question: str) -> str:
        return examinee.answer(question, max_tokens)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        try:
            return list(pool.map(ask, questions))
        except OSError as problem:
            raise errors.ClusterError(
                f"{examinee.model} gave no answer: {problem}",
                f"see `kubectl describe modelservice {examinee.model}` and run `make demo` again",
            ) from problem
