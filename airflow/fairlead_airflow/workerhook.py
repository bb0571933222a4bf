"""The connection to a cluster with Fairlead in it, for workers; triggers have ``stream``.

Every way to log in is the cncf provider's. Loads the clients of Kubernetes: take it by
``hooks.FairleadHook``.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import urllib3
from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from kubernetes import client, config, watch  # type: ignore[import-untyped]
from kubernetes.config import kube_config  # type: ignore[import-untyped]

from fairlead_airflow import endpoint as endpoints
from fairlead_airflow import extras, programs
from fairlead_airflow.hooks import (
    DEFAULT_CONNECTION,
    MERGE,
    PATIENCE_SECONDS,
    Refused,
    Target,
    Unauthorized,
    Unreachable,
    named,
    patiently,
)
from fairlead_airflow.manifests import Manifest
from fairlead_api import names, outcome

APPLY: Final = "application/apply-patch+yaml"
LOG_LINES: Final = 200
_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 60
LOGINS: Final = 3  # anew, before credentials that aren't accepted are given up


class FairleadHook(KubernetesHook):
    """A cluster with Fairlead in it.

    :param fairlead_conn_id: Connection of type fairlead; without one of the default's name the
        pod's service account or $KUBECONFIG is taken.
    """

    conn_name_attr = "fairlead_conn_id"
    default_conn_name = DEFAULT_CONNECTION
    conn_type = "fairlead"
    hook_name = "Fairlead"

    def __init__(self, fairlead_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(conn_id=fairlead_conn_id, **kwargs)

    def default_namespace(self) -> str:
        """Where a resource is made that names none."""
        return str(self.get_namespace() or self.DEFAULT_NAMESPACE)

    def read(self, of: Target, patience_seconds: float = PATIENCE_SECONDS) -> Manifest | None:
        """The resource as it stands; None where there is none.

        Raises:
            Refused: Also where the cluster doesn't know the kind.
        """
        try:
            found: Manifest = self._call(
                of, "get_namespaced_custom_object", patience_seconds=patience_seconds
            )
        except Refused as refused:
            if refused.status != 404:
                raise
            if "could not find the requested resource" in str(refused):
                raise Refused(
                    f"the cluster doesn't know {of.kind}: install the chart fairlead", 404
                ) from refused
            return None
        return found

    def endpoint(self, of: Target) -> endpoints.Endpoint:
        """Where a ModelService answers, by the connection's gateway if it names one.

        Raises:
            endpoints.NotServing: When there is no such service, or it has no address yet.
        """
        body = self.read(of)
        if body is None:
            raise endpoints.NotServing(f"{of} is not there (namespace {of.namespace})")
        gateway: str | None = self._get_field("gateway_address")  # type: ignore[no-untyped-call]
        return endpoints.of_body(body, gateway or "")

    def apply(self, body: Manifest, dry_run: bool = False) -> Manifest:
        """Server-side apply; what others have set otherwise is taken over.

        Args:
            body: The whole manifest.
            dry_run: Only find out whether it would be taken: rights, namespace and admission.
        """
        rehearsed: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
        answer = self._call(
            Target.of(body),
            "patch_namespaced_custom_object",
            body,
            field_manager=names.MANAGER_AIRFLOW,
            field_validation="Strict",
            force=True,
            _content_type=APPLY,
            **rehearsed,
            _preload_content=False,  # the client would drop the body of a 201
        )
        applied: Manifest = json.loads(answer.data)
        return applied

    def suspend(
        self,
        of: Target,
        uid: str,
        suspended: bool = True,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Manifest:
        """Suspend a FineTuneJob, or let it go on; refused where it isn't the one meant."""
        patch = {"metadata": {"uid": uid}, "spec": {"suspend": suspended}}
        return self.merge(of, patch, patience_seconds)

    def merge(
        self, of: Target, patch: Manifest, patience_seconds: float = PATIENCE_SECONDS
    ) -> Manifest:
        """Change some fields; a uid or resourceVersion in the patch must be the resource's."""
        patched: Manifest = self._call(
            of,
            "patch_namespaced_custom_object",
            patch,
            field_manager=names.MANAGER_AIRFLOW,
            _content_type=MERGE,
            patience_seconds=patience_seconds,
        )
        return patched

    def delete(self, of: Target, uid: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Delete the one meant and no other; it may be gone already, or another in its place."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        try:
            self._call(
                of,
                "delete_namespaced_custom_object",
                body=options,
                patience_seconds=patience_seconds,
            )
        except Refused as refused:
            if refused.status not in (404, 409):
                raise

    def follow(self, of: Target, version: str, seconds: int) -> Iterator[tuple[str, Manifest]]:
        """Yield (event type, body) of each change after a version, for some seconds at most."""
        with self._logging_in_anew(iter(range(LOGINS))), _named_failures(of):
            for event in watch.Watch().stream(
                self.custom_object_client.list_namespaced_custom_object,
                *of.place[:-1],
                field_selector=f"metadata.name={of.name}",
                resource_version=version,
                timeout_seconds=seconds,
                _request_timeout=(_CONNECT_SECONDS, seconds + _CONNECT_SECONDS),
            ):
                yield event["type"], event["object"]

    def failed_logs(self, of: Target, count: int = LOG_LINES) -> Iterator[tuple[str, str]]:
        """Yield (pod, its last lines) of the resource's pods that ended badly, newest first."""
        with _named_failures(of):
            found = self.core_v1_client.list_namespaced_pod(
                of.namespace, label_selector=f"{names.GROUP}/{of.kind.lower()}={of.name}"
            )
        plain = self.api_client.sanitize_for_serialization(found)["items"]
        for pod, container in outcome.failed_containers(plain):
            with _named_failures(of):
                # The client would take a log for JSON, or for the repr of its bytes.
                answer = self.core_v1_client.read_namespaced_pod_log(
                    pod, of.namespace, container=container, tail_lines=count,
                    _preload_content=False,
                )  # fmt: skip
            yield pod, answer.data.decode(errors="replace")

    def test_connection(self) -> tuple[bool, str]:
        """Whether the cluster answers, has our kinds and the namespace; for the form's button.

        Airflow's API server asks it: it runs no program of a kubeconfig there, and tries once.
        """
        unknown = ""
        try:
            unknown = extras.unknown(self.conn_extras)
            works, said = self._tested()
        except Exception as failure:  # the form shows whatever it is
            works, said = False, str(failure)
        return works, f"{said}; {unknown}" if unknown else said

    def _tested(self) -> tuple[bool, str]:
        if missing := extras.missing(self._setting("kube_config_path", self.config_file)):
            return False, missing
        if not programs.may_run() and (way := programs.of(self._user())):
            return False, (
                f"it logs in by a program ({way} in its kubeconfig), which Airflow's API server"
                " does not run; a worker does: POST /api/v2/connections/enqueue-test"
            )
        of = Target(names.FINETUNEJOB, self.default_namespace(), "is-fairlead-there")
        with _named_failures(of):
            version = client.VersionApi(self.api_client).get_code(
                _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS)
            )
        self.read(of, patience_seconds=0)
        if not self._has_namespace(of.namespace):
            return False, f"namespace {of.namespace} is not there"
        return True, (
            f"Kubernetes {version.git_version} with {names.API_VERSION}; namespace {of.namespace}"
        )

    def _has_namespace(self, namespace: str) -> bool:
        """Whether it is there; who may not ask may well use it."""
        try:
            self.core_v1_client.read_namespace(
                namespace, _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS)
            )
        except client.ApiException as refused:
            if refused.status not in (403, 404):
                raise
            return bool(refused.status == 403)
        return True

    def _user(self) -> Mapping[str, Any] | None:
        """Who its kubeconfig logs in, found as ``get_conn`` does; None in a pod."""
        if self._setting("in_cluster", self.in_cluster):
            return None
        file = self._setting("kube_config_path", self.config_file)
        given = self._setting("kube_config", self.config_dict)
        if not file and not given:
            with suppress(config.ConfigException):
                config.load_incluster_config(client_configuration=client.Configuration())
                return None
            file = kube_config.KUBE_CONFIG_DEFAULT_LOCATION
        text = io.StringIO(given if isinstance(given, str) else json.dumps(given))
        merged = kube_config.KubeConfigMerger(file or text).config
        context = self._setting("cluster_context", self.cluster_context)
        user: Mapping[str, Any] | None
        user = kube_config.KubeConfigLoader(merged, active_context=context)._user
        return user

    def _setting(self, name: str, own: Any) -> Any:
        stored = self._get_field(name)  # type: ignore[no-untyped-call]
        return stored if own is None else own

    def log_in_anew(self) -> None:
        """Forget the clients and with them the credentials that they hold."""
        for client_ in ("api_client", "core_v1_client", "custom_object_client"):
            self.__dict__.pop(client_, None)

    def _call(
        self,
        of: Target,
        method: str,
        *arguments: Any,
        patience_seconds: float = PATIENCE_SECONDS,
        **options: Any,
    ) -> Any:
        logins = iter(range(LOGINS))
        for attempt in patiently(patience_seconds):
            with attempt, self._logging_in_anew(logins), _named_failures(of):
                answer = getattr(self.custom_object_client, method)(
                    *of.place,
                    *arguments,
                    **options,
                    _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                )
        return answer

    @contextmanager
    def _logging_in_anew(self, logins: Iterator[int]) -> Iterator[None]:
        try:
            yield
        except Unauthorized as unauthorized:
            self.log_in_anew()
            if next(logins, None) is None:
                raise
            raise Unreachable(str(unauthorized)) from unauthorized


@contextmanager
def _named_failures(of: Target) -> Iterator[None]:
    try:
        yield
    except client.ApiException as refused:
        raise named(of, refused.status, refused.reason, str(refused.body or "")) from refused
    except (urllib3.exceptions.HTTPError, OSError) as broken:
        raise Unreachable(f"the API server doesn't answer: {broken}") from broken
