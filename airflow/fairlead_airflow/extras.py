"""What may be wrong with a connection's extra, in the words of its test button.

Names fields and paths, never what stands in them otherwise: a kubeconfig is a secret.
"""

import difflib
import os
from collections.abc import Iterable
from typing import Any, Final

from fairlead_airflow import provider

_CNCF: Final = (
    "disable_verify_ssl",
    "disable_tcp_keepalive",
    "xcom_sidecar_container_image",
    "xcom_sidecar_container_resources",
    "xcom_sidecar_container_security_context",
)
"""Fields of the cncf provider's connection that our form leaves out."""
_OLD: Final = "extra__kubernetes__"
"""What the hook lets a field's name begin with, from before Airflow 2.3."""


def unknown(fields: Iterable[str]) -> str:
    """Which fields of an extra mean nothing, each with the one that may be meant; or empty."""
    known = (*provider.get_provider_info()["connection-types"][0]["conn-fields"], *_CNCF)
    said = []
    for field in fields:
        if field.removeprefix(_OLD) not in known:
            name = field.rpartition("__")[2].lower()
            close = difflib.get_close_matches(name, known, n=1)
            said.append(field + (f" (do you mean {close[0]}?)" if close else ""))
    return f"unknown in its extra: {', '.join(said)}" if said else ""


def missing(kube_config_path: Any) -> str:
    """Which kubeconfigs aren't there where none of those named is; or empty."""
    paths = [path for path in str(kube_config_path or "").split(os.pathsep) if path]
    if not paths or any(os.path.exists(os.path.expanduser(path)) for path in paths):
        return ""
    return f"kube_config_path: there is no {', no '.join(paths)} on this machine"
