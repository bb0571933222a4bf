"""What an API server says when it refuses: ``metav1.Status`` with its reason, as Kubernetes 1.37.

Pure data.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from fairlead_chaos.faults import Refuse
from fairlead_chaos.requests import Asked


@dataclass(frozen=True)
class Answer:
    """A reply that the proxy gives itself."""

    code: int
    headers: dict[str, str]
    body: bytes


_SAYS: Final = {
    409: (
        "Conflict",
        'Operation cannot be fulfilled on {what} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
    ),
    429: ("TooManyRequests", "Too many requests, please try again later."),
    500: ("InternalError", "Internal error occurred: the chaos proxy refuses {what}"),
    504: (
        "Timeout",
        "Timeout: request did not complete within the allotted timeout",
    ),
}


def refusal(asked: Asked, fault: Refuse) -> Answer:
    """The reply to a request that never reaches the API server."""
    reason, text = _SAYS[fault.code]
    message = text.format(what=asked.plural, name=asked.name)
    details: dict[str, Any] = {"name": asked.name, "kind": asked.plural}
    headers = {"Content-Type": "application/json"}
    if fault.retry_after_seconds is not None:
        details["retryAfterSeconds"] = fault.retry_after_seconds
        headers["Retry-After"] = str(fault.retry_after_seconds)
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": fault.code,
    }
    return Answer(fault.code, headers, json.dumps(status).encode() + b"\n")
