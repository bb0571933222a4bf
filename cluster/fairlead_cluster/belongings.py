"""What we made in a cluster of the user's own: marked when it is made, so that it can be removed.

What carries no mark of ours was there before, and stays.
"""

from __future__ import annotations

import json

from fairlead_cluster import errors, fitness
from fairlead_cluster.access import Access
from fairlead_cluster.demo import example

_KEY, _VALUE = "app.kubernetes.io/managed-by", "fairlead-cluster"
MARK = f"{_KEY}={_VALUE}"
LABELS = {_KEY: _VALUE}
"""The mark, as manifests carry it."""
GATEWAY_CLASS = "fairlead"
"""The class that the chart's Gateway asks for."""
_ENVOY_GATEWAY_API = "/apis/gateway.envoyproxy.io/v1alpha1"
_ENVOY_GATEWAY = "gateway.envoyproxy.io/gatewayclass-controller"
_OUR_API = "/apis/fairlead.dev/v1alpha1"
_WAY_OUT = "see what it says, then run `down` again: it goes on from here"


def own_namespace(access: Access, name: str) -> None:
    """Make a namespace and mark it; one that is there is left as it is."""
    if _labels(access, name) is None:
        # Not by apply: the next one, of a manifest without the mark, would take it away.
        _create(access, "v1", "Namespace", name)


def own_gateway_class(access: Access) -> bool:
    """Have the class that the chart's Gateway asks for; False where nothing would serve it."""
    if not can_have_gateway(access):
        return False
    if not _has_gateway_class(access):
        spec = {"controllerName": _ENVOY_GATEWAY}
        _create(access, "gateway.networking.k8s.io/v1", "GatewayClass", GATEWAY_CLASS, spec=spec)
    return True


def can_have_gateway(access: Access) -> bool:
    """Whether the class that the chart's Gateway asks for is there, or could be made."""
    if _has_gateway_class(access):
        return True
    return access.read(_ENVOY_GATEWAY_API, "look for Envoy Gateway") is not None


def _has_gateway_class(access: Access) -> bool:
    classes = f"{fitness.GATEWAY_API}/gatewayclasses/{GATEWAY_CLASS}"
    return access.read(classes, "look for the gateway class") is not None


def require_own_release(access: Access) -> None:
    """Refuse to replace a release of the user's own.

    Raises:
        ClusterError: When there is one of our name that we didn't make.
    """
    release = access.release
    if release.is_there() and not release.is_there(MARK):
        raise errors.ClusterError(
            f"release {release.name} in namespace {release.namespace} was installed by somebody "
            "else, whose values would be lost",
            "upgrade it with helm as it was installed, or uninstall it first",
        )


def remove(access: Access, *, volumes: bool) -> list[str]:
    """Remove all that we made, and return what was kept and why, a line each."""
    kept = _remove_demo(access, volumes=volumes)
    release = access.release
    if release.is_there(MARK):
        release.uninstall()
    elif release.is_there():
        kept.append(f"release {release.name}, which somebody else installed")
    if fitness.has_gateway_api(access):
        _delete(access, "gatewayclass", "--selector", MARK)
    if _is_ours(access, release.namespace):
        _delete(access, "namespace", release.namespace)
    if access.read(_OUR_API, "look for our kinds") is not None:
        kept.append(_our_kinds(access))
    return kept


def _remove_demo(access: Access, *, volumes: bool) -> list[str]:
    """Remove what the demo made; its namespace stays as long as a claim lies in it."""
    namespace = example.NAMESPACE
    if _labels(access, namespace) is None:
        return []
    is_ours = _is_ours(access, namespace)
    place = ("-n", namespace)
    if access.read(_OUR_API, "look for our kinds") is not None:
        # In a namespace of the demo's own everything is the demo's.
        services = ("--all",) if is_ours else (example.BASE_SERVICE, example.TUNED_SERVICE)
        jobs = ("--all",) if is_ours else (example.FINE_TUNE_JOB,)
        _delete(access, "modelservices", *services, *place)
        _delete(access, "finetunejobs", *jobs, *place)
    _delete(access, f"job/{example.BASE_JOB}", f"configmap/{example.BASE_JOB}", *place)
    _delete(access, "rolebindings,serviceaccounts", "--selector", MARK, *place)  # Airflow's
    if volumes:
        _delete(access, f"persistentvolumeclaim/{example.CLAIM}", *place)
    claims = _names(access, "persistentvolumeclaims", *place)
    if is_ours and (volumes or not claims):
        _delete(access, "namespace", namespace)
    elif claims and not volumes:
        return [
            f"namespace {namespace} with its volumes: claim {', '.join(claims)} "
            "(`make down VOLUMES=1` removes them)"
        ]
    return []


def _our_kinds(access: Access) -> str:
    lines = _names(access, "finetunejobs,modelservices", "--all-namespaces")
    count = f"{len(lines)} of them" if lines else "none of them is left"
    return (
        f"the kinds FineTuneJob and ModelService ({count}): "
        "`kubectl delete crd finetunejobs.fairlead.dev modelservices.fairlead.dev` removes both"
    )


def _create(access: Access, api_version: str, kind: str, name: str, **more: dict[str, str]) -> None:
    """Make an object with our mark."""
    manifest = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "labels": LABELS},
        **more,
    }
    access.run("create", "-f", "-", what=f"make {kind} {name}", stdin=json.dumps(manifest))


def _labels(access: Access, namespace: str) -> dict[str, str] | None:
    """Labels of a namespace; None where there is none."""
    found = access.read(f"/api/v1/namespaces/{namespace}", f"look for namespace {namespace}")
    return None if found is None else found["metadata"].get("labels", {})


def _is_ours(access: Access, namespace: str) -> bool:
    return (_labels(access, namespace) or {}).get(_KEY) == _VALUE


def _names(access: Access, kinds: str, *where: str) -> list[str]:
    path = "jsonpath={range .items[*]}{.metadata.name}{'\\n'}{end}"
    return access.run("get", kinds, *where, "--output", path, what=f"list {kinds}").split()


def _delete(access: Access, *words: str) -> None:
    access.run(
        *("delete", "--ignore-not-found", "--timeout=300s", *words),
        what=f"delete {words[0]}",
        way_out=_WAY_OUT,
    )
