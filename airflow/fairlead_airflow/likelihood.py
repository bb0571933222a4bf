"""How likely a model finds an expected answer, by two requests to vLLM's OpenAI API; pure.

The answer's tokens are found as SFT finds them in training: tokens of the question and of both
together are made by the server, with its BOS and its chat template, and those of the answer begin
where the two part. So a token that the tokenizer makes across the border counts as the answer's,
and a chat is scored as the same text is. The end of the answer is not part of it.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from fairlead_airflow import completions
from fairlead_airflow.completions import Request
from fairlead_airflow.exam import Question
from fairlead_airflow.fields import InvalidField

OWN_PARAMETERS: Final = frozenset({"temperature", "return_token_ids", "prompt_logprobs", "echo"})
"""Set here, beside those of every request."""
_OF_TOKENS: Final = ("add_special_tokens", "chat_template", "chat_template_kwargs")
"""Parameters that decide which tokens a text becomes."""
_OPEN_ENDED: Final = {"add_generation_prompt": False, "continue_final_message": True}


class NoLogprobs(ValueError):
    """The server doesn't tell what a likelihood is made of."""


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Whether a DAG may set these.

    Raises:
        InvalidField: Naming those that it may not.
    """
    completions.check_parameters(parameters)
    if taken := sorted(OWN_PARAMETERS & set(parameters)):
        raise InvalidField(f"parameters: {', '.join(taken)} can't be set here")


def answering(
    question: Question, model: str, max_tokens: int, parameters: Mapping[str, Any], tells_ids: bool
) -> Request:
    """Ask for the likeliest answer, and for the question's tokens where ``tells_ids``."""
    own: dict[str, Any] = {"model": model, "temperature": 0, "max_tokens": max_tokens}
    if tells_ids:
        own["return_token_ids"] = True
    return completions.request(question.asked, {**parameters, **own})


def scoring(question: Question, model: str, parameters: Mapping[str, Any]) -> Request:
    """Ask for the tokens of question and expected answer together, each with its likelihood."""
    own = {key: parameters[key] for key in _OF_TOKENS if key in parameters}
    own |= {"model": model, "temperature": 0, "max_tokens": 1}
    own |= {"return_token_ids": True, "prompt_logprobs": 0}
    if not question.is_chat:
        return completions.request({"prompt": question.asked["prompt"] + question.expected}, own)
    answer = {"role": "assistant", "content": question.expected}
    whole = {"messages": [*question.asked["messages"], answer]}
    return completions.request(whole, own | _OPEN_ENDED)


def token_ids(document: Mapping[str, Any]) -> list[int]:
    """Tokens of what was asked.

    Raises:
        NoLogprobs: When the server doesn't tell them.
    """
    found = _field(document, "prompt_token_ids")
    if not isinstance(found, list) or not found:
        raise NoLogprobs("the server tells no prompt_token_ids: perplexity needs vLLM")
    return found


def of_answer(asked_ids: Sequence[int], document: Mapping[str, Any]) -> list[float]:
    """Logarithms of the answer's tokens' probabilities; none where it has no token.

    Args:
        asked_ids: Tokens of the question alone.
        document: What the server says to ``scoring``.

    Raises:
        NoLogprobs: When the server doesn't tell them.
    """
    ids, logprobs = token_ids(document), _field(document, "prompt_logprobs")
    if not isinstance(logprobs, list) or len(logprobs) != len(ids):
        raise NoLogprobs("the server tells no prompt_logprobs: perplexity needs vLLM")
    pairs = zip(asked_ids, ids, strict=False)
    num_shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    first = max(num_shared, 1)  # nothing comes before a first token that it could follow from
    return [_logprob(logprobs[index], ids[index]) for index in range(first, len(ids))]


def _field(document: Mapping[str, Any], name: str) -> object:
    """Of a chat it stands in the document, of a completion in its choice."""
    if document.get(name) is not None:
        return document[name]
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice.get(name) if isinstance(choice, Mapping) else None


def _logprob(candidates: object, token_id: int) -> float:
    """Of the token that stands there: a server may tell of likelier ones beside it."""
    try:
        found = float(candidates[str(token_id)]["logprob"])  # type: ignore[index]
    except (LookupError, TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise NoLogprobs(f"the server tells no logprob of token {token_id}")
    return found
