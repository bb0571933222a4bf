"""What a namespace has for a service: jobs that made models, claims, what its quotas leave."""

from __future__ import annotations

from typing import Any, Final

from fairlead_airflow import hooks
from fairlead_api import names

_SECONDS: Final = 60
_MAX_JOBS: Final = 100  # with training rows in it, a job takes 128 KiB


def has_claim(there: hooks.FairleadHook, namespace: str, name: str) -> bool:
    """Whether a PersistentVolumeClaim is there."""
    from kubernetes import client  # type: ignore[import-untyped]

    read = there.core_v1_client.read_namespaced_persistent_volume_claim
    try:
        read(name, namespace, _request_timeout=_SECONDS)
    except client.ApiException as refused:
        if refused.status == 404:
            return False
        raise _named(f"claim {name}", namespace, refused) from refused
    return True


def jobs(there: hooks.FairleadHook, namespace: str) -> list[dict[str, Any]] | None:
    """The FineTuneJobs of a namespace; None where there are many."""
    from kubernetes import client

    of = hooks.Target(names.FINETUNEJOB, namespace, "")
    try:
        found = there.custom_object_client.list_namespaced_custom_object(
            *of.place[:-1], limit=_MAX_JOBS, _request_timeout=_SECONDS
        )
    except client.ApiException as refused:
        raise _named(of.plural, namespace, refused) from refused
    items: list[dict[str, Any]] = found["items"]
    return None if found["metadata"].get("continue") else items


def quotas(there: hooks.FairleadHook, namespace: str) -> list[dict[str, Any]]:
    """The ResourceQuotas of a namespace as plain data."""
    from kubernetes import client

    try:
        found = there.core_v1_client.list_namespaced_resource_quota(
            namespace, _request_timeout=_SECONDS
        )
    except client.ApiException as refused:
        raise _named("resourcequotas", namespace, refused) from refused
    plain: list[dict[str, Any]] = there.api_client.sanitize_for_serialization(found)["items"]
    return plain


def _named(what: str, namespace: str, refused: Any) -> hooks.Refused | hooks.Unreachable:
    said = f"{what} of namespace {namespace}: the API server says {refused.status} {refused.reason}"
    if not refused.status or refused.status in hooks.TRANSIENT:
        return hooks.Unreachable(said)
    return hooks.Refused(said, refused.status)
