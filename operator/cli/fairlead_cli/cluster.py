"""Reading from the API server: the only module that knows the Kubernetes client.

Every failure comes out as an ``errors.CliError`` that says what the user can do; ``Unreachable``
alone is worth another try.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self

import urllib3
from kubernetes import client, config, watch  # type: ignore[import-untyped]
from kubernetes.config import kube_config  # type: ignore[import-untyped]

from fairlead_api import names
from fairlead_cli import errors, gateway, target

_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 60
_TRANSIENT: Final = frozenset({410, 429, 500, 502, 503, 504})


class Unreachable(errors.NoCluster):
    """No answer now; the API server may be restarting."""


class NotFound(errors.WrongUsage):
    """The resource, or its kind, isn't in the cluster."""


class Cluster:
    """One API server, with the rights of the user's kubeconfig or service account."""

    def __init__(self, api_client: Any, namespace: str) -> None:
        self.namespace = namespace
        self._core = client.CoreV1Api(api_client)
        self._custom = client.CustomObjectsApi(api_client)

    @classmethod
    def open(cls, context: str | None) -> Self:
        """Connect as kubectl would: $KUBECONFIG, ~/.kube/config, else the pod's own account.

        Raises:
            NoCluster: When there is no configuration, or not the named context.
        """
        try:
            contexts, active = config.list_kube_config_contexts()
        except config.ConfigException as missing:
            if context is None:
                return cls._in_pod(missing)
            raise errors.NoCluster(f"no context {context!r}: {missing}") from missing
        chosen = next((c for c in contexts if c["name"] == context), None) if context else active
        if chosen is None:
            known = ", ".join(sorted(c["name"] for c in contexts))
            raise errors.NoCluster(f"no context {context!r} in the kubeconfig, only: {known}")
        api_client = config.new_client_from_config(context=chosen["name"])
        return cls(api_client, chosen["context"].get("namespace") or "default")

    @classmethod
    def _in_pod(cls, missing: Exception) -> Self:
        try:
            config.load_incluster_config()
        except config.ConfigException:
            raise errors.NoCluster(
                f"no cluster to talk to ({kube_config.KUBE_CONFIG_DEFAULT_LOCATION}: {missing}):"
                " set KUBECONFIG, e.g. to the output of `fairlead-cluster kubeconfig`"
            ) from missing
        return cls(client.ApiClient(), "default")

    def get(self, of: target.Target) -> dict[str, Any]:
        """Read a resource.

        Raises:
            NotFound: When it, or its kind, isn't there.
            Unreachable: When the API server doesn't answer.
        """
        with _named_failures(of):
            body: dict[str, Any] = self._custom.get_namespaced_custom_object(
                names.GROUP,
                names.VERSION,
                of.namespace,
                of.plural,
                of.name,
                _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            )
        return body

    def gateway_of(self, service: target.Target) -> str | None:
        """Address of the gateway in front of a ModelService, as far as the user may see it."""
        try:
            route = self._gateway_object(gateway.HTTP_ROUTES, service.namespace, service.name)
            place = gateway.parent(route)
            if place is None:
                return None
            return gateway.address(self._gateway_object(gateway.GATEWAYS, *place))
        except client.ApiException:
            return None  # no Gateway API, no route yet, or no right to read it: ask without it
        except (urllib3.exceptions.HTTPError, OSError) as broken:
            raise Unreachable(f"the API server doesn't answer: {broken}") from broken

    def _gateway_object(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
        body: dict[str, Any] = self._custom.get_namespaced_custom_object(
            gateway.GROUP,
            gateway.VERSION,
            namespace,
            plural,
            name,
            _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
        )
        return body

    def follow(
        self, of: target.Target, resource_version: str, seconds: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (event type, body) of each change after a version, for some seconds at most.

        Raises:
            Unreachable: When the stream breaks; what was missed is seen by another ``get``.
        """
        with _named_failures(of):
            for event in watch.Watch().stream(
                self._custom.list_namespaced_custom_object,
                names.GROUP,
                names.VERSION,
                of.namespace,
                of.plural,
                field_selector=f"metadata.name={of.name}",
                resource_version=resource_version,
                timeout_seconds=seconds,
                _request_timeout=(_CONNECT_SECONDS, seconds + _CONNECT_SECONDS),
            ):
                yield event["type"], event["object"]

    def pods(self, of: target.Target) -> list[dict[str, Any]]:
        """Pods that the operator made for a resource."""
        with _named_failures(of):
            found = self._core.list_namespaced_pod(
                of.namespace,
                label_selector=f"{names.GROUP}/{of.kind.lower()}={of.name}",
                _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            )
        plain: dict[str, Any] = client.ApiClient().sanitize_for_serialization(found)
        return list(plain["items"])

    def last_lines(self, of: target.Target, pod: str, container: str, count: int) -> str:
        """The end of a container's log; what is said in its place when there is none."""
        try:
            # The client would take a log for JSON, or for the repr of its bytes.
            answer = self._core.read_namespaced_pod_log(
                pod,
                of.namespace,
                container=container,
                tail_lines=count,
                _preload_content=False,
                _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            )
            written: bytes = answer.data
            return written.decode(errors="replace")
        except (client.ApiException, urllib3.exceptions.HTTPError) as unreadable:
            return f"(no log: {getattr(unreadable, 'reason', unreadable)})"


@contextmanager
def _named_failures(of: target.Target) -> Iterator[None]:
    try:
        yield
    except client.ApiException as refused:
        raise _named(of, refused) from refused
    except (urllib3.exceptions.HTTPError, OSError) as broken:
        raise Unreachable(f"the API server doesn't answer: {broken}") from broken


def _named(of: target.Target, refused: Any) -> errors.CliError:
    body = str(refused.body or "")
    if refused.status == 404 and '"details"' not in body:
        return NotFound(
            f"the cluster doesn't know {of.kind}: install the chart, or run"
            " `fairlead crds | kubectl apply --server-side -f -`"
        )
    if refused.status == 404:
        return NotFound(
            f"no {of} in namespace {of.namespace}; `kubectl get {of.plural} -A` lists them all"
        )
    if refused.status in (401, 403):
        return errors.NoCluster(
            f"the API server refuses ({refused.status} {refused.reason}): reading {of.plural} in"
            f" {of.namespace} needs the rights get, list and watch (the chart adds them to `view`)"
        )
    if refused.status in _TRANSIENT or not refused.status:
        return Unreachable(f"the API server says {refused.status} {refused.reason}")
    return errors.NoCluster(f"the API server says {refused.status} {refused.reason}: {body[:300]}")
