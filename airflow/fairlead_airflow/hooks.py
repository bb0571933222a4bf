"""The connection to a cluster with Fairlead in it: what it is asked about, and how it fails.

Failures come out as ``Refused``, which a retry does not mend, or as ``Unreachable``, which one may.
``FairleadHook`` itself is loaded when it is first asked for: the clients of Kubernetes take two
seconds, and Airflow reads DAG files again and again.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import tenacity
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from fairlead_api import names

if TYPE_CHECKING:
    from fairlead_airflow.workerhook import FairleadHook as FairleadHook

DEFAULT_CONNECTION: Final = "fairlead_default"

PLURALS: Final = {
    names.FINETUNEJOB: names.FINETUNEJOB_PLURAL,
    names.MODELSERVICE: names.MODELSERVICE_PLURAL,
}
MERGE: Final = "application/merge-patch+json"
PATIENCE_SECONDS: Final = 600  # an API server that is upgraded is away for minutes
_ANONYMOUS: Final = "system:anonymous"  # who a failed exec plugin leaves us to be
TRANSIENT: Final = frozenset({408, 410, 429, 500, 502, 503, 504})
_FOR_GOOD: Final = frozenset({400, 403, 404, 422})
"""Not 401 nor 409: credentials are renewed, and who changes a resource at once comes to an end."""
_QUOTA: Final = ("exceeded quota", "status unknown for quota")
"""Words of a 403 that is no lack of rights: others' work ends, and a new quota is counted soon."""


class Refused(AirflowException):
    """The API server says no; ``status`` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_for_good(self) -> bool:
        """Whether the task's next try would be refused, too, unless a person does something."""
        return self.status in _FOR_GOOD and not _is_of_quota(str(self))


class Unauthorized(Refused):
    """The API server doesn't know who asks: logging in anew may help."""


class Unreachable(AirflowException):
    """No answer now."""


@dataclass(frozen=True)
class Target:
    """One resource of ours; without a name all of its kind in the namespace."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Target":
        """The resource that a manifest is about."""
        metadata = body["metadata"]
        return cls(body["kind"], metadata["namespace"], metadata["name"])

    @property
    def plural(self) -> str:
        """As in the API server's paths."""
        return PLURALS[self.kind]

    @property
    def place(self) -> tuple[str, str, str, str, str]:
        """What CustomObjectsApi asks for, in its order."""
        return names.GROUP, names.VERSION, self.namespace, self.plural, self.name

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}" if self.name else self.plural


def named(of: Target, status: int | None, reason: str, text: str) -> Refused | Unreachable:
    """What an answer of the API server means to whoever reads the task's log."""
    if not status or status in TRANSIENT:
        return Unreachable(f"the API server says {status} {reason}")
    try:
        message = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        message = text[:500] or reason
    if status == 401 or _ANONYMOUS in text:
        return Unauthorized(f"{of}: the connection's credentials are not accepted: {message}", 401)
    if status == 403 and not _is_of_quota(text):
        # So it answers for an unknown namespace, too, to whoever has rights in some only.
        message += (
            f" (namespace {of.namespace} may not exist; the account needs get, list, watch, create,"
            f" patch and delete of {of.plural} in it, which the chart adds to the ClusterRole"
            " `edit`: kubectl create rolebinding NAME --clusterrole=edit"
            f" --serviceaccount=NAMESPACE:ACCOUNT -n {of.namespace})"
        )
    return Refused(f"{of}: {message}", status)


def _is_of_quota(text: str) -> bool:
    return any(words in text for words in _QUOTA)


@contextmanager
def failing_at_once() -> Iterator[None]:
    """Fail the task without another try where the API server refuses for good."""
    try:
        yield
    except Refused as refused:
        if refused.is_for_good:
            raise AirflowFailException(str(refused)) from refused
        raise


def patiently(seconds: float = PATIENCE_SECONDS) -> tenacity.Retrying:
    """Tries again what was not answered."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Unreachable),
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=15),
        reraise=True,
    )


def __getattr__(name: str) -> Any:
    if name == "FairleadHook":
        from fairlead_airflow.workerhook import FairleadHook

        return FairleadHook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
