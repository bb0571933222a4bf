"""The limit on tokens: how many one request may ask for, and what it gets when it doesn't say.

Pure. A request asks for max_tokens of each of its ``n`` choices for each of its prompts.
"""

import json
from http import HTTPStatus
from typing import Any, Final

from fairlead_server.middleware.replies import Refused
from fairlead_server.middleware.routes import PATH_COMPLETIONS

_CHAT_FIELDS: Final = ("max_completion_tokens", "max_tokens")
_COMPLETIONS_FIELDS: Final = ("max_tokens",)  # vLLM passes over the other one there
_COMPLETIONS_DEFAULT: Final = 16  # OpenAI's, and vLLM's


def bounded(content: bytes, path: str, limit: int, context: int | None) -> bytes:
    """The body to pass on, rewritten only where it named no maximum; raises Refused.

    ``context`` is the longest prompt and answer together, beyond which vLLM refuses a maximum.
    """
    body = _parse(content)
    num_answers = _num_answers(body)
    fields = _COMPLETIONS_FIELDS if path == PATH_COMPLETIONS else _CHAT_FIELDS
    asked = {field: body[field] for field in fields if body.get(field) is not None}
    for field, value in asked.items():
        _check(field, value, num_answers, limit)
    if asked:
        return content
    share = limit // num_answers
    if share < 1:
        raise _bad(
            "n",
            f"{num_answers} answers were asked for, but this service gives at most {limit} "
            "tokens a request (spec.limits.maxTokens): ask for fewer",
        )
    # vLLM takes an explicit null for all that the context holds.
    absent = "max_tokens" not in body
    if path == PATH_COMPLETIONS and absent and share >= _COMPLETIONS_DEFAULT:
        return content
    body["max_tokens"] = share if context is None else min(share, context)
    return json.dumps(body).encode()


def _parse(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _bad(None, f"the request's body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise _bad(None, "the request's body is not a JSON object")
    return body


def _check(field: str, value: Any, num_answers: int, limit: int) -> None:
    # vLLM would read "500", 500.0 and true as numbers.
    if not isinstance(value, int) or isinstance(value, bool):
        raise _bad(field, f"{field} must be an integer")
    if value * num_answers > limit:
        asked = f"{field} is {value}" + (f" for {num_answers} answers" if num_answers > 1 else "")
        raise _bad(
            field,
            f"{asked}, but this service gives at most {limit} tokens a request "
            "(spec.limits.maxTokens): ask for fewer",
        )


def _num_answers(body: dict[str, Any]) -> int:
    n = body.get("n")
    if n is not None and (not isinstance(n, int) or isinstance(n, bool) or n < 1):
        raise _bad("n", "n must be a positive integer")
    return (1 if n is None else n) * max(1, sum(map(_num_prompts, _prompts(body))))


def _prompts(body: dict[str, Any]) -> tuple[Any, Any]:
    return body.get("prompt"), body.get("prompt_embeds")


def _num_prompts(prompt: Any) -> int:
    """Prompts in a completion's prompt: a list of token ids is one, other lists are many."""
    if prompt is None:
        return 0
    if not isinstance(prompt, list) or not prompt or isinstance(prompt[0], int):
        return 1
    return len(prompt)


def _bad(param: str | None, message: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, message, param)
