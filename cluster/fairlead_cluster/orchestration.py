"""Airflow on this machine: `airflow standalone` of this environment, as one session of processes.

It starts, watches and ends processes and knows nothing of a cluster: what a connection holds is
the caller's. Everything of one Airflow (database, logs, password) lies in one folder.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fairlead_cluster import errors, processes

USER: Final = "admin"
USUAL_SECONDS: Final = 45
_PATIENCE_SECONDS: Final = 600.0
_GRACE_SECONDS: Final = 20.0
_KILL_SECONDS: Final = 5.0
_ASK_SECONDS: Final = 20.0
_SECOND_LOOK_SECONDS: Final = 1.0
"""After one that misses a part, which may be just about to take its name."""
_LOCK_WAIT: Final = "timeout=300"
"""Seconds that a writer waits for another, which may wait for a disk that images are written to.

Afterwards the scheduler or the triggerer would end; at SQLite's usual 5 the API answers 500 too.
"""
_RECORD: Final = "session.json"
_COMPONENTS: Final = ("metadatabase", "scheduler", "triggerer", "dag_processor")
_PROCESSES: Final = ("scheduler", "dag-processor", "api-server", "triggerer")
"""As `airflow standalone` starts them, each once; it neither sees one end nor starts it again."""
_HTTP: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Never by a proxy: it is asked on the loopback address."""

Connections = Mapping[str, Mapping[str, Any]]
"""Connection id to its type and fields, as Airflow reads them from JSON."""


@dataclass(frozen=True)
class Server:
    """One Airflow; SQLite, the simple auth manager with one user, no example DAGs."""

    home: Path
    """AIRFLOW_HOME."""
    port: int
    dags: tuple[Path, ...]
    """Folders of DAG files; their last two names must differ."""
    connections: Connections = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """Where its pages and its API are."""
        return f"http://localhost:{self.port}"

    @property
    def log(self) -> Path:
        """What its components print."""
        return self.home / "standalone.log"

    def password(self) -> str:
        """The user's password; made, and kept in a file of its owner's, when there is none."""
        file = self.home / "passwords.json"
        if not file.exists():
            write_private(file, json.dumps({USER: secrets.token_urlsafe(12)}) + "\n")
        kept: str = json.loads(file.read_text())[USER]
        return kept

    def environment(self, log_ports: tuple[int, int]) -> dict[str, str]:
        """What its processes get besides our own environment.

        Args:
            log_ports: Where workers and triggerer hand out logs of tasks that still run.
        """
        options = {
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "8",  # processes of one machine
            "CORE__DAGBAG_IMPORT_TIMEOUT": "120",  # on a busy machine; too late is a broken file
            "CORE__TEST_CONNECTION": "Enabled",  # the button of the connection form
            "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "WORKERS__EXECUTION_API_TIMEOUT": "60",  # at 5 a task asks again beside its wait
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}?{_LOCK_WAIT}",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "API__WORKERS": "1",
            "LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[0]),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[1]),
            "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(self._bundles),
            "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "180",  # the import, and its end
            "DAG_PROCESSOR__REFRESH_INTERVAL": "30",  # a file that is new is seen soon
        }
        return {
            "AIRFLOW_HOME": str(self.home),
            # Its components are started by name.
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            # Its log is read: lines are there at once, and begin with their part's bare name.
            "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1",
            **{f"AIRFLOW__{name}": value for name, value in options.items()},
            **{f"AIRFLOW_CONN_{id_.upper()}": json.dumps(c) for id_, c in self.connections.items()},
        }

    def start(self) -> None:
        """Start it, after the end of one that an earlier run left.

        Raises:
            ClusterError: When the port or a folder of DAGs will not do.
        """
        self.stop()
        self.require_port()
        for folder in self.dags:
            if not folder.is_dir():
                raise errors.ClusterError(f"{folder} is no folder of DAGs", "restore it from git")
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)
        self.password()
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                [Path(sys.executable).parent / "airflow", "standalone"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    **self.environment(_free_ports()),
                    **_connections_of_the_user(),
                },
                cwd=self.home,
                start_new_session=True,
            )
        process.returncode = 0  # it is found by its record from here on
        write_private(
            self.home / _RECORD, json.dumps([process.pid, processes.start_time(process.pid)])
        )

    def wait_healthy(self) -> None:
        """Wait until all of it works.

        Raises:
            ComponentFailed: When it ends on the way, or takes longer than its patience.
        """
        way_out = f"read {self.log}, then run the command again"
        processes.wait(lambda: self.is_healthy() or not self.is_running(), _PATIENCE_SECONDS)
        if not self.is_running():
            words = processes.last_words(self.log)
            raise errors.ComponentFailed(f"Airflow ended by itself: {words}", way_out)
        if not self.is_healthy():
            raise errors.ComponentFailed(
                f"Airflow was not healthy within {_PATIENCE_SECONDS:.0f} s", way_out
            )

    def is_running(self) -> bool:
        """Whether the process that leads it is there."""
        pid, began = _recorded(self.home)
        return began is not None and processes.start_time(pid) == began

    def require_whole(self) -> None:
        """Refuse an Airflow that has ended, or a part of it: its runs would stand still for ever.

        Raises:
            ComponentFailed: Which part, and what that printed at last.
        """
        way_out = f"read {self.log}, then run the command again: runs go on where they were"
        gone = self._missing() if self.is_running() else []
        if gone:
            time.sleep(_SECOND_LOOK_SECONDS)
            gone = [name for name in self._missing() if name in gone]
        if not self.is_running():
            raise errors.ComponentFailed("Airflow ended by itself", way_out)
        if gone:
            words = processes.last_words(self.log, of=f"{gone[0]} ")
            raise errors.ComponentFailed(f"Airflow's {gone[0]} ended by itself: {words}", way_out)

    def _missing(self) -> list[str]:
        """Parts of which there is no process."""
        leader, _ = _recorded(self.home)
        children = [pid for pid, parent in processes.session(leader).items() if parent == leader]
        # Once started, a part may tell its name with an underscore.
        lines = [processes.command_line(pid).replace("_", "-") for pid in children]
        return [name for name in _PROCESSES if not any(f"airflow {name}" in line for line in lines)]

    def is_healthy(self) -> bool:
        """Whether its API answers and says that every component works."""
        try:
            with _HTTP.open(f"{self._api}/monitor/health", timeout=_ASK_SECONDS) as answer:
                health = json.load(answer)
        except (OSError, ValueError):
            return False
        return all((health.get(name) or {}).get("status") == "healthy" for name in _COMPONENTS)

    def stop(self) -> None:
        """End every process of it, also of a run that was killed."""
        end(self.home)

    def require_port(self) -> None:
        """Refuse a port that something listens on.

        Raises:
            ClusterError: With the way to another one.
        """
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as taken:
                raise errors.ClusterError(
                    f"port {self.port} can't be used ({taken.strerror})",
                    f"give another: make airflow PORT={self.port + 1}",
                ) from taken

    @property
    def _bundles(self) -> list[dict[str, object]]:
        """The folders of DAG files, as Airflow is told of them."""
        return [
            {
                "name": "-".join(folder.parts[-2:]),
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(folder)},
            }
            for folder in self.dags
        ]

    @property
    def _api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2"


def end(home: Path) -> None:
    """End the Airflow of a folder; none there is fine.

    Tasks that still run are killed at last, not asked to end: asked, they would end their work
    in the cluster. The next start finds them again.
    """
    leader, began = _recorded(home)
    if began is None or processes.start_time(leader) not in (began, None):
        return
    for pid, parent in processes.session(leader).items():
        if leader in (pid, parent):
            _signal(pid, signal.SIGTERM)
    processes.wait(lambda: not processes.session(leader), _GRACE_SECONDS)
    for pid in processes.session(leader):
        _signal(pid, signal.SIGKILL)
    processes.wait(lambda: not processes.session(leader), _KILL_SECONDS)
    (home / _RECORD).unlink(missing_ok=True)


def _recorded(home: Path) -> tuple[int, int | None]:
    """Pid of the process that leads the session, and when that began; None: none is known."""
    try:
        pid, began = json.loads((home / _RECORD).read_text())
    except (FileNotFoundError, ValueError):  # a torn record is as good as none
        return 0, None
    return pid, began


def _connections_of_the_user() -> dict[str, str]:
    """Connections of our own environment: they win over those of the same name."""
    return {name: text for name, text in os.environ.items() if name.startswith("AIRFLOW_CONN_")}


def _signal(pid: int, sign: signal.Signals) -> None:
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return


def _free_ports() -> tuple[int, int]:
    """Two ports below those of outgoing connections: Airflow binds them late."""
    free = filter(_is_free, random.sample(range(20_000, 32_768), 1_000))
    return next(free), next(free)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.new")
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    aside.write_text(text)
    os.replace(aside, file)
