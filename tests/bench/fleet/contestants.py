"""The operators as processes of this machine, and what they take."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from manifests import TRAINER_IMAGE
from moments import FAIRLEAD, NAIVE
from plane import SYSTEM, Stuck, cpu_seconds, until

from fairlead_api import metrics
from fairlead_chaos import lifeline, ports

MIB = 2**20
QUIET_SHARE, QUIET_WINDOW_SECONDS = 0.1, 3.0
"""An operator is level when it used less of a core than this over so long."""
ASK_SECONDS = 60
MOST_DEATHS = 3
NAIVE_THREADS = 16
"""More than kopf's default of cores + 4: its handlers spend their time waiting for answers."""


@dataclass
class Memory:
    """Of a process, in MiB."""

    rss: float
    pss: float
    peak: float

    @classmethod
    def of(cls, pid):
        found = psutil.Process(pid).memory_full_info()
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (peak,) = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
        return cls(found.rss / MIB, found.pss / MIB, peak)


class Operator:
    """One operator; it may be killed and started again."""

    def __init__(self, kind, folder, kubeconfig, command, env):
        self.kind = kind
        self.log = folder / f"{kind.split()[0]}.log"
        self._command, self._env = command, os.environ | env | {"KUBECONFIG": str(kubeconfig)}
        self._process = None
        self._spent, self._seen_cpu = 0.0, 0.0
        self.num_deaths = 0
        """How often it ended by itself; it is started again, as a kubelet would."""

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdout=log, stderr=log,
                # A killed bench leaves no operator behind.
                preexec_fn=partial(lifeline.die_with_parent, os.getpid()),
            )  # fmt: skip
        self._seen_cpu = 0.0

    def kill(self, how=signal.SIGKILL):
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(120)
            self._retire()

    def cpu(self):
        """CPU seconds of all its processes so far."""
        self.check()
        self._seen_cpu = cpu_seconds(self.pid)
        return self._spent + self._seen_cpu

    def check(self):
        """Start one that has ended by itself again; fail with its last words at the third time."""
        code = self._process.poll()
        if code is None:
            return
        self.num_deaths += 1
        words = self.log.read_text()[-4000:]
        if self.num_deaths == MOST_DEATHS:
            raise Stuck(f"{self.kind} ended with {code}: {words}")
        self._retire()
        self.start()

    def _retire(self):
        self._spent += self._seen_cpu

    async def ready(self):
        """Return when it acts."""

    async def has_looked_at(self, num_objects):
        """Return when it has looked at so many objects, where it can tell."""

    async def level(self):
        """Wait until it has nothing to do; the moment when that began."""
        seen = [(time.monotonic(), self.cpu())]

        async def is_quiet():
            now = time.monotonic()
            seen.append((now, self.cpu()))
            while len(seen) > 2 and now - seen[1][0] >= QUIET_WINDOW_SECONDS:
                seen.pop(0)
            span = now - seen[0][0]
            is_long = span >= QUIET_WINDOW_SECONDS
            return is_long and seen[-1][1] - seen[0][1] < QUIET_SHARE * span

        await until(is_quiet, f"{self.kind} is level", pause=0.25)
        return seen[0][0]


class Fairlead(Operator):
    """`python -m fairlead_operator`, set up as the chart does it."""

    def __init__(self, folder, kubeconfig):
        drawn = {part: ports.draw() for part in ("metrics", "probes", "progress")}
        self._metrics = f"http://localhost:{drawn['metrics']}/metrics"
        self.progress_url = f"https://localhost:{drawn['progress']}"
        env = {f"FAIRLEAD_{part.upper()}_PORT": str(port) for part, port in drawn.items()}
        env |= {
            "FAIRLEAD_POD_NAME": "bench",
            "FAIRLEAD_PROGRESS_URL": self.progress_url,
            "FAIRLEAD_TRAINER_IMAGE": TRAINER_IMAGE,
            "FAIRLEAD_SERVER_IMAGE": "localhost/server",
            "FAIRLEAD_NAMESPACE": SYSTEM,
        }
        command = [sys.executable, "-m", "fairlead_operator"]
        super().__init__(FAIRLEAD, folder, kubeconfig, command, env)

    def sample(self, name, **labels):
        """The sum of the samples of a metric that carry these labels; None while it is down."""
        try:
            with urllib.request.urlopen(self._metrics, timeout=ASK_SECONDS) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return None
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.split("{")[0].split(" ")[0] == name and all(part in line for part in wanted)
        )

    async def ready(self):
        async def leads():
            self.check()
            return self.sample(metrics.LEADER)

        await until(leads, "Fairlead leads")

    async def has_looked_at(self, num_objects):
        async def has():
            self.check()
            return (self.sample(f"{metrics.RECONCILES}_total", outcome="done") or 0) >= num_objects

        await until(has, "Fairlead has looked at every object")


class Naive(Operator):
    """The naive operator by `kopf run`, with its own kubeconfig."""

    def __init__(self, folder, kubeconfig, templates):
        file = folder / "templates.json"
        file.write_text(templates)
        script = Path(__file__).with_name("naive.py")
        run = ["-m", "kopf", "run", "--all-namespaces", "--standalone", str(script)]
        command = [sys.executable, *run]
        super().__init__(NAIVE, folder, kubeconfig, command, {
            "NAIVE_TEMPLATES": str(file), "NAIVE_THREADS": str(NAIVE_THREADS),
        })  # fmt: skip
