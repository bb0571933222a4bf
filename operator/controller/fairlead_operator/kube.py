"""What the operator asks of an API server: its kinds, its errors, its calls.

Data and one Protocol, no I/O: ``cluster`` speaks to a real API server, ``testing`` keeps one in
memory, everything else knows only this module.

Errors::

    ClusterError                 a call that did not do what was asked; ``status`` is HTTP's
    ├── NotFound                 404: no such object, or its kind isn't served
    ├── Conflict                 409: stale resourceVersion or uid: read again
    │   └── AlreadyExists        409 on create
    ├── Forbidden                403: RBAC, quota, admission
    │   └── NamespaceTerminating 403: the namespace is on its way out
    ├── Unauthorized             401
    ├── Invalid                  400, 422: the object is wrong, or has an unknown field
    ├── Expired                  410: the rest of a listing isn't kept any more: list anew
    └── Unavailable              429, 5xx, timeout, no connection: the same call may succeed later
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from fairlead_api import names
from fairlead_operator.plan import Manifest

_HEAD: Final = ("namespace", "name", "uid", "resourceVersion", "ownerReferences")


@dataclass(frozen=True)
class Kind:
    """A kind of object and where the API server keeps it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    child: bool = False
    """Made by us and watched by our label only."""

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]

    @property
    def root(self) -> str:
        """Path of the group's version, which also answers discovery."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """Path of a collection, an object or a subresource."""
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        parts = (self.root + scope, self.plural, name, subresource)
        return "/".join(part for part in parts if part)


FINETUNEJOB: Final = Kind(names.API_VERSION, names.FINETUNEJOB, names.FINETUNEJOB_PLURAL)
MODELSERVICE: Final = Kind(names.API_VERSION, names.MODELSERVICE, names.MODELSERVICE_PLURAL)
JOB: Final = Kind("batch/v1", "Job", "jobs", child=True)
POD: Final = Kind("v1", "Pod", "pods", child=True)
CONFIG_MAP: Final = Kind("v1", "ConfigMap", "configmaps", child=True)
SERVICE: Final = Kind("v1", "Service", "services", child=True)
DEPLOYMENT: Final = Kind("apps/v1", "Deployment", "deployments", child=True)
REVISION: Final = Kind("apps/v1", "ControllerRevision", "controllerrevisions", child=True)
HTTP_ROUTE: Final = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes", child=True)

GATEWAY: Final = Kind("gateway.networking.k8s.io/v1", "Gateway", "gateways")
CLAIM: Final = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SECRET: Final = Kind("v1", "Secret", "secrets")
LEASE: Final = Kind("coordination.k8s.io/v1", "Lease", "leases")
TOKEN_REVIEW: Final = Kind(
    "authentication.k8s.io/v1", "TokenReview", "tokenreviews", namespaced=False
)
CRD: Final = Kind(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
)

PARENTS: Final = (FINETUNEJOB, MODELSERVICE)
WRITTEN: Final = (JOB, CONFIG_MAP, SERVICE, DEPLOYMENT, REVISION, HTTP_ROUTE)
"""Children that we make ourselves."""
CHILDREN: Final = (*WRITTEN, POD)
WATCHED: Final = PARENTS + CHILDREN
OPTIONAL: Final = (HTTP_ROUTE,)
"""Watched kinds that a cluster may lack."""
FIRST_VERSION: Final = "1"
"""The store's own before anything was written to it, so that no object ever has it.

An apply with this resourceVersion brings in what isn't there and is a Conflict where anything is.
"""
_KINDS: Final = {
    (kind.api_version, kind.kind): kind
    for kind in (*WATCHED, GATEWAY, CLAIM, SECRET, LEASE, TOKEN_REVIEW, CRD)
}


class ClusterError(Exception):
    """A call to the API server that did not do what was asked."""

    def __init__(self, message: str, status: int = 0, retry_after_seconds: float = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class NotFound(ClusterError):
    """404: there is no such object, or its kind isn't served."""


class Conflict(ClusterError):
    """409: the object isn't the one that was seen; read it again."""


class AlreadyExists(Conflict):
    """409 on create: an object of that name is there."""


class Forbidden(ClusterError):
    """403: refused by RBAC, quota or admission."""


class NamespaceTerminating(Forbidden):
    """403 on create: the namespace is being deleted, nothing can be made in it."""


class Unauthorized(ClusterError):
    """401: our credentials were not taken."""


class Invalid(ClusterError):
    """400 or 422: the object breaks a rule or has an unknown field."""


class Expired(ClusterError):
    """410: the rest of a listing isn't kept any more."""


class Unavailable(ClusterError):
    """429, 5xx, a timeout or no connection: the same call may succeed later."""


_BY_STATUS: Final[dict[int, type[ClusterError]]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: Invalid,
    409: Conflict,
    410: Expired,
    415: Invalid,
    422: Invalid,
    429: Unavailable,
}


def error(call: str, status: int, body: Manifest, retry_after_seconds: float = 0) -> ClusterError:
    """Name a refusal from its code and its ``metav1.Status``."""
    reason = body.get("reason", "")
    causes = (body.get("details") or {}).get("causes") or []
    class_ = _BY_STATUS.get(status, Unavailable if status >= 500 else ClusterError)
    if reason == "AlreadyExists":
        class_ = AlreadyExists
    elif any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        class_ = NamespaceTerminating
    elif any(cause.get("field") == "metadata.uid" for cause in causes):
        class_ = Conflict  # an apply to a successor of the same name is told as 422
    text = body.get("message") or reason or "no message"
    return class_(f"{call}: {status}: {text}", status, retry_after_seconds)


def kind_of(manifest: Manifest) -> Kind:
    """The kind of an object; raises LookupError for one that the operator has no business with."""
    return find_kind(manifest["apiVersion"], manifest["kind"])


def find_kind(api_version: str, kind: str) -> Kind:
    """The kind of that name; raises LookupError for one that the operator doesn't know."""
    try:
        return _KINDS[api_version, kind]
    except KeyError:
        raise LookupError(
            f"{api_version} {kind} is not in the operator's table of kinds (fairlead_operator.kube)"
        ) from None


class Cluster(Protocol):
    """The calls that the operator makes. Every write is checked strictly for unknown fields."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest:
        """Read one object; raises NotFound."""
        ...

    async def exists(self, kind: Kind, namespace: str, name: str) -> bool:
        """Whether an object is there, without reading its content."""
        ...

    async def list_heads(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        """The head of every object of a kind; of our children only, where the kind is one.

        ``labels`` are those that the objects must have besides.
        """
        ...

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object; raises AlreadyExists."""
        ...

    async def apply(
        self,
        manifest: Manifest,
        *,
        subresource: str = "",
        manager: str = names.MANAGER_OPERATOR,
    ) -> Manifest:
        """Server-side apply, forced; a uid or resourceVersion in metadata is a precondition."""
        ...

    async def replace(self, manifest: Manifest) -> Manifest:
        """Write a whole object over the resourceVersion that it carries; raises Conflict."""
        ...

    async def delete(
        self, kind: Kind, namespace: str, name: str, uid: str, version: str = ""
    ) -> Manifest | None:
        """Delete in the background if uid and version match; raises NotFound, Conflict.

        Returns the object as it waits for its end, None where it is gone already.
        """
        ...

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server knows the kind now."""
        ...


def metadata(manifest: Manifest) -> dict[str, Any]:
    """The metadata of an object."""
    found: dict[str, Any] = manifest.get("metadata") or {}
    return found


def head(manifest: Manifest) -> Manifest:
    """Who an object is and whose: the rest of its metadata, managed fields above all, is large."""
    found = metadata(manifest)
    return {"metadata": {field: found[field] for field in _HEAD if field in found}}


def version(manifest: Manifest) -> int:
    """The resourceVersion as a number: since Kubernetes 1.35 they compare."""
    text = str(metadata(manifest).get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0
