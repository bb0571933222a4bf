"""A thin client of the cluster's own API server: readiness, reading and applying objects.

The only module that speaks to the API server; everything else passes objects to it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fairlead_cluster import commands, errors, kubeconfig, layout, pki, ranges

Object = dict[str, Any]
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Api:
    """The API server, reached with the administrator's certificate."""

    where: layout.Layout
    addresses: ranges.Ranges
    kubectl: Path

    def get(self, path: str) -> Object | None:
        """Read an object or a list; None when there is none or the server can't be reached."""
        try:
            status, body = self._request("GET", path)
        except OSError:
            return None
        found: Object | None = json.loads(body) if status == http.client.OK else None
        return found

    def is_ready(self) -> bool:
        """Tell whether the server serves, its start-up hooks included."""
        try:
            return self._request("GET", "/readyz")[0] == http.client.OK
        except OSError:
            return False

    def create(self, path: str, body: Object) -> bool:
        """Create an object; False when it is there already.

        Raises:
            CommandFailed: When the server refuses it.
        """
        return self.create_all(path, [body]) == 1

    def create_all(self, path: str, bodies: Iterable[Object]) -> int:
        """Create objects over one connection, and count those that were not there already.

        Raises:
            CommandFailed: When the server refuses one.
        """
        num_created = 0
        with contextlib.closing(self._connection()) as connection:
            for body in bodies:
                status, said = _exchange(connection, "POST", path, body)
                if status not in (http.client.CREATED, http.client.CONFLICT):
                    what = f"create {body['kind']} {body['metadata']['name']}"
                    raise _refused(what, status, said)
                num_created += status == http.client.CREATED
        return num_created

    def delete(self, path: str) -> None:
        """Delete an object, gone or not."""
        status, said = self._request("DELETE", path)
        if status not in (http.client.OK, http.client.ACCEPTED, http.client.NOT_FOUND):
            raise _refused(f"delete {path}", status, said)

    def apply(self, objects: Sequence[Object], what: str) -> None:
        """Apply objects by server-side apply, so that a second run changes nothing."""
        self.kubectl_run(
            ["apply", "--server-side", "--force-conflicts", "--field-manager=fairlead-cluster"]
            + ["-f", "-"],
            what=what,
            stdin=yaml.safe_dump_all(objects),
        )

    def kubectl_run(
        self, arguments: Sequence[str | Path], *, what: str, stdin: str | None = None
    ) -> str:
        """Run kubectl against this cluster."""
        return commands.ask_server(
            [self.kubectl, f"--kubeconfig={self.where.kubeconfig}", *arguments],
            what=what,
            way_out=f"see `fairlead-cluster status --name {self.where.name}`",
            stdin=stdin,
            # No cache of discovery answers under the user's HOME.
            env={"HOME": str(self.where.root), "PATH": "/usr/bin:/bin"},
        )

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        with contextlib.closing(self._connection()) as connection:
            return _exchange(connection, method, path, None)

    def _connection(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.where.pki / f"{pki.CLUSTER_CA}.crt")
        context.load_cert_chain(self.where.pki / "admin.crt", self.where.pki / "admin.key")
        return http.client.HTTPSConnection(
            str(self.addresses.node),
            kubeconfig.API_PORT,
            timeout=_TIMEOUT_SECONDS,
            context=context,
        )


def _exchange(
    connection: http.client.HTTPSConnection, method: str, path: str, body: Object | None
) -> tuple[int, bytes]:
    text = None if body is None else json.dumps(body)
    try:
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as broken:
        raise ConnectionError(str(broken)) from broken


def _refused(what: str, status: int, body: bytes) -> errors.CommandFailed:
    message = json.loads(body).get("message", body.decode(errors="replace"))
    return errors.CommandFailed(f"can't {what} (HTTP {status}): {message}", "correct it and retry")
