"""Requests to the OpenAI-compatible API and what is kept of its answers; pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from fairlead_airflow.fields import InvalidField

OWN_PARAMETERS: Final = frozenset({"model", "prompt", "messages", "max_tokens", "n", "stream"})
"""Set by us: a DAG may not."""


class BadAnswer(ValueError):
    """An answer without a text."""


@dataclass(frozen=True)
class Request:
    """One request."""

    path: str
    body: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """What tells it from others; not the model's name, which doesn't tell the model."""
        rest = {key: value for key, value in self.body.items() if key != "model"}
        text = json.dumps([self.path, rest], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def request(asked: Mapping[str, Any], parameters: Mapping[str, Any]) -> Request:
    """The request of a prompt, ``{"prompt": …}`` or ``{"messages": …}``."""
    path = "/v1/completions" if "prompt" in asked else "/v1/chat/completions"
    return Request(path, {**parameters, **asked})


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Whether a DAG may set these.

    Raises:
        InvalidField: Naming those that it may not.
    """
    if taken := sorted(OWN_PARAMETERS & set(parameters)):
        raise InvalidField(f"parameters: {', '.join(taken)} can't be set here")


def read(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of an answer of either API.

    Raises:
        BadAnswer: When there is no text in it.
    """
    try:
        choice = document["choices"][0]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        usage = document.get("usage") or {}
        return {
            "answer": _text(text or ""),
            "finish_reason": choice.get("finish_reason") or "",
            "prompt_tokens": usage.get("prompt_tokens"),
            "answer_tokens": usage.get("completion_tokens"),
        }
    except (LookupError, TypeError, AttributeError):
        raise BadAnswer(f"an answer without a text: {json.dumps(document)[:500]}") from None


def _text(given: str) -> str:
    return given.encode("utf-8", "replace").decode()  # half a character can't be written
