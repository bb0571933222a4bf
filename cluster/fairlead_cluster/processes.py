"""Start, find and stop the processes of a cluster; knows nothing of what they do.

Every process joins the cluster's cgroup before its program starts, and its network namespace:
whatever it starts itself stays inside, so `down` finds everything without any record. A record
of a component holds the start time beside the pid, so that a reused pid is never taken for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fairlead_cluster import cgroups, errors

LOG_LIMIT_BYTES = 50_000_000
POLL_SECONDS = 0.05
# Joins every cgroup given before `--`, then becomes the program. $$ is the pid that Popen knows.
_LAUNCH = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 90; shift; done; shift; exec "$@"'


@dataclass(frozen=True)
class Component:
    """One long-running process of the cluster."""

    name: str
    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    """Added to our own environment without the user's proxies."""


@dataclass(frozen=True)
class Record:
    """What is kept of a started component."""

    pid: int
    start_time: int | None
    """Clock ticks from boot, None for one that died at once."""
    command: list[str]


@dataclass(frozen=True)
class Supervisor:
    """The processes of one cluster."""

    pids: Path
    logs: Path
    cgroup: cgroups.Cgroup | None
    """None for a process that belongs to no cluster."""
    namespace: Path | None
    """File of the network namespace; None stays in the host's."""

    def log(self, name: str) -> Path:
        """Where the output of a component goes."""
        return self.logs / f"{name}.log"

    def pid(self, name: str) -> int | None:
        """Pid of a running component."""
        record = self._record(name)
        if record is None or record.start_time is None:
            return None
        return record.pid if start_time(record.pid) == record.start_time else None

    def start(self, component: Component) -> bool:
        """Start a component unless it runs with this very command; True when it was started."""
        record = self._record(component.name)
        if self.pid(component.name) is not None:
            if record is not None and record.command == list(component.command):
                return False
            self.stop(component.name)
        self.pids.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.log(component.name)
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            os.replace(log, log.with_suffix(".log.1"))
        with log.open("ab") as output:
            process = subprocess.Popen(
                self._wrapped(component),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_without_proxies(os.environ) | component.env,
                cwd="/",
                start_new_session=True,
            )
        self._write_record(component, process.pid)
        # The child outlives us on purpose; without this Python warns about it at exit.
        process.returncode = 0
        return True

    def stop(self, name: str, grace_seconds: float = 10.0) -> None:
        """End a component: SIGTERM, then SIGKILL after the grace time."""
        for sign, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
            pid = self.pid(name)
            if pid is None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
            wait(lambda: self.pid(name) is None, patience)
        (self.pids / f"{name}.json").unlink(missing_ok=True)

    def wait_ready(self, name: str, is_ready: Callable[[], bool], patience: float) -> None:
        """Wait until a component is ready.

        Raises:
            ComponentFailed: When it dies on the way or takes longer than `patience` seconds.
        """
        ready = False

        def is_decided() -> bool:
            nonlocal ready
            ready = is_ready()  # once: asked again, a busy server may fail to answer
            return ready or self.pid(name) is None

        wait(is_decided, patience)
        if ready:
            return
        died = self.pid(name) is None
        what = "ended by itself" if died else f"was not ready within {patience:.0f} s"
        raise errors.ComponentFailed(
            f"{name} {what}; its last words: {last_words(self.log(name))}",
            f"read {self.log(name)}, then run `up` again: it takes over from here",
        )

    def _wrapped(self, component: Component) -> list[str]:
        joins = [] if self.cgroup is None else [str(path) for path in self.cgroup.process_files()]
        enter = [] if self.namespace is None else ["nsenter", f"--net={self.namespace}", "--"]
        return ["sh", "-c", _LAUNCH, "launch", *joins, "--", *enter, *component.command]

    def _record(self, name: str) -> Record | None:
        try:
            document = json.loads((self.pids / f"{name}.json").read_text())
        except (FileNotFoundError, ValueError):  # a torn record is as good as none
            return None
        return Record(**document)

    def _write_record(self, component: Component, pid: int) -> None:
        record = Record(pid, start_time(pid), list(component.command))
        aside = self.pids / f"{component.name}.new"
        aside.write_text(json.dumps(asdict(record)))
        os.replace(aside, self.pids / f"{component.name}.json")


def _without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """No way leads out of a cluster: its parts would ask each other by a proxy, and in vain."""
    return {
        name: value
        for name, value in environment.items()
        if not name.lower().endswith(("http_proxy", "https_proxy", "all_proxy"))
    }


def start_time(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(") ")[2].split()
    if state in "ZX":
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return None
    return int(rest[18])


def session(leader: int) -> dict[int, int]:
    """Processes of a session that are no zombies, each with its parent."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "stat").read_text(errors="replace").rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(words[3]) == leader and words[0] not in "ZX":
            found[int(entry.name)] = int(words[1])
    return found


def command_line(pid: int) -> str:
    """A process's command as it tells it now; empty where it is gone."""
    try:
        told = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return told.replace(b"\0", b" ").decode(errors="replace")


def wait(condition: Callable[[], bool], patience: float) -> bool:
    """Wait until the condition holds; False when the patience (seconds) ran out."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def last_words(log: Path, num_lines: int = 3, of: str = "") -> str:
    """Return the last lines of a log as one, of those alone that begin with ``of``."""
    if not log.exists():
        return "(none)"
    lines = log.read_text(errors="replace").strip().splitlines()
    last = [line for line in lines if line.startswith(of)][-num_lines:]
    return " | ".join(line[:300] for line in last) or "(none)"
