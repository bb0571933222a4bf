"""What stories create besides our two kinds: quotas, ConfigMaps, Gateways, things of strangers.

Pure builders. Our own two kinds are built by ``jobs`` and ``services``, beside what may be done
to them.
"""

from typing import Any, Final

from fairlead_chaos import routing
from fairlead_chaos.admin import QUOTA
from fairlead_chaos.scenario import Manifest
from fairlead_operator.kube import CONFIG_MAP, GATEWAY, HTTP_ROUTE, JOB, SERVICE, Kind

ROWS: Final = '{"text": "a"}'


def quota(name: str, **hard: str) -> Manifest:
    """A ResourceQuota; underscores stand for dots, double ones for a slash."""
    return _made(QUOTA, name, spec={"hard": limits(**hard)})


def limits(**hard: str) -> dict[str, str]:
    """The ``hard`` of a quota: ``count__jobs_batch`` is ``count/jobs.batch``."""
    return {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}


def config_map(name: str, **data: str) -> Manifest:
    """A ConfigMap of somebody else's."""
    return _made(CONFIG_MAP, name, data=data)


def foreign_service(name: str) -> Manifest:
    """A Service of somebody else's."""
    return _made(SERVICE, name, spec={"ports": [{"port": 80}]})


def foreign_job(name: str) -> Manifest:
    """A Job of somebody else's that never runs."""
    container = {"name": "stranger", "image": "localhost/stranger"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return _made(JOB, name, spec={"suspend": True, "template": template})


def gateway(name: str, **listener: Any) -> Manifest:
    """A Gateway like the chart's own; what is given replaces fields of its listener."""
    return _made(GATEWAY, name, spec={"gatewayClassName": routing.CLASS} | listeners(**listener))


def listeners(**listener: Any) -> dict[str, Any]:
    """The part of a Gateway's spec that says what comes in by it."""
    everywhere = {"namespaces": {"from": "All"}}
    chosen = {"name": "http", "protocol": "HTTP", "port": 80, "allowedRoutes": everywhere}
    return {"listeners": [chosen | listener]}


def foreign_route(name: str) -> Manifest:
    """An HTTPRoute of somebody else's that leads nowhere."""
    return _made(HTTP_ROUTE, name, spec={"hostnames": ["stranger.example.com"]})


def _made(kind: Kind, name: str, **body: Any) -> Manifest:
    head = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}}
    return {**head, **body}
