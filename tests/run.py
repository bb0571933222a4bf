"""Run the project's tests in tiers on a machine that may have nothing yet.

``python tests/run.py gates fast cluster e2e`` compiles the cluster's programs in the background
while gates and fast tests run, and builds the images while the cluster tier runs; that goes on
beside the e2e tier, since much of its time is waiting. Each tier is a pytest run of its own; a
failed one is the exit code. The last lines are pytest's own summary.

What hangs ends with a report: a test after half an hour, the whole run after 82 minutes.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from fairlead_cluster import imagetable, pins, progress

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
UNBUFFERED = os.environ | {"PYTHONUNBUFFERED": "1"}
TEST_SECONDS = 1800
"""Longest for one test; the longest known takes a third of it on two busy cores."""
LIMIT_SECONDS = 82 * 60
"""Longest for a whole run: then what still runs is interrupted and tells where it was."""
GRACE_SECONDS = 120.0
"""To an interrupted process for its report and its clean-up."""
PYTEST = [
    sys.executable, "-m", "pytest", "--durations=10", "--durations-min=2",
    f"--timeout={TEST_SECONDS}", "--timeout-method=signal",
]  # fmt: skip
DEADLINE = time.monotonic() + LIMIT_SECONDS


def finish(process: subprocess.Popen[bytes], deadline: float, seconds: float = 60) -> int | None:
    """Wait for a process's end for some seconds; interrupt it at the deadline.

    Returns its exit code, a failure where it was interrupted; None while it goes on.
    """
    left = deadline - time.monotonic()
    try:
        return process.wait(timeout=max(0.0, min(seconds, left)))
    except subprocess.TimeoutExpired:
        if seconds < left:
            return None
    print(f"== out of time: {process.args!r} is interrupted", flush=True)
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(timeout=GRACE_SECONDS) or 1
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class Background:
    """A command that runs beside others; what it says goes to a file."""

    def __init__(self, title: str, *command: str) -> None:
        self.title = title
        self.log = tempfile.NamedTemporaryFile("w+", prefix="fairlead-", suffix=".log")  # noqa: SIM115
        self.began = time.monotonic()
        print(f"== {title}: begun in the background, log in {self.log.name}", flush=True)
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=self.log, stderr=subprocess.STDOUT, env=UNBUFFERED
        )

    def said(self) -> list[str]:
        """Lines that it has printed so far."""
        return Path(self.log.name).read_text().splitlines()

    def wait(self) -> int:
        """Wait for its end, telling its last line each minute; returns its exit code."""
        while (code := finish(self.process, DEADLINE)) is None:
            last = (self.said() or ["(no output yet)"])[-1]
            print(f"   {self.title}: {time.monotonic() - self.began:.0f} s: {last}", flush=True)
        return code


def usually(seconds: float) -> str:
    """How long it takes once, in words; the tests beside it make it longer."""
    return f"once, {progress.duration(seconds)} where nothing else runs"


def run(*command: str) -> int:
    """Run a command in the foreground."""
    process = subprocess.Popen(command, cwd=ROOT)
    while (code := finish(process, DEADLINE)) is None:
        pass
    return code


def gates() -> int:
    """Format, lint, types, import rules: all of them, so that one run shows every complaint."""
    codes = [
        run(str(BIN / "ruff"), "format", "--check", "--quiet", "."),
        run(str(BIN / "ruff"), "check", "--quiet", "."),
        run(str(BIN / "mypy"), "--no-error-summary"),
        run(str(BIN / "lint-imports")),
    ]
    return max(codes)


PYTEST_RUNS = {
    "fast": [*PYTEST, "-n", "auto", "--maxprocesses=8", "-m", "not cluster and not e2e"],
    "cluster": [*PYTEST, "-m", "cluster"],
    "e2e": [*PYTEST, "-m", "e2e"],
}
"""Python and helm only; a real API server and the embedded cluster itself; whole with images."""
TIERS = ("gates", *PYTEST_RUNS)


class Run:
    """One call of this script: what runs in the background, and the seconds that parts took."""

    def __init__(self) -> None:
        self.jobs: list[Background] = []
        self.seconds: dict[str, float] = {}

    def fairlead_cluster(self, title: str, verb: str, *more: str) -> Background:
        """Begin a command of the cluster tool that a later tier waits for."""
        # The tests beside it come first: nobody waits for it yet.
        command = ("nice", "-n", "5", sys.executable, "-m", "fairlead_cluster", verb, *more)
        return self.begin(title, *command)

    def begin(self, title: str, *command: str) -> Background:
        """Begin a command in the background."""
        self.jobs.append(Background(title, *command))
        return self.jobs[-1]

    def front(self, title: str, action: Callable[[], int]) -> None:
        """Do one part; its failure ends the run."""
        began = time.monotonic()
        print(f"== {title}", flush=True)
        code = action()
        self.seconds[title] = time.monotonic() - began
        if code:
            self.fail(title, code)

    def wait(self, job: Background) -> None:
        """Wait for what a later tier needs; its failure shows the log's end and ends the run."""
        code = job.wait()
        self.seconds[job.title] = time.monotonic() - job.began
        if code:
            print("\n".join(job.said()[-60:]))
            self.fail(job.title, code)

    def fail(self, title: str, code: int) -> NoReturn:
        """End the run and what still runs in the background."""
        for job in self.jobs:
            job.process.terminate()
        for job in self.jobs:
            job.process.wait()
        print(f"== {title} failed with exit code {code}; its report is above")
        sys.exit(code)

    def side_by_side(self, *jobs: Background) -> None:
        """Wait for tiers that run at once and show what they said, a failed one's last."""
        ended = []
        for job in jobs:
            code = job.wait()
            self.seconds[job.title] = time.monotonic() - job.began
            print(f"== {job.title}: ended with exit code {code}, its report follows", flush=True)
            ended.append((code, job))
        self.tell_seconds()
        ended.sort(key=lambda end: end[0] != 0)
        for _, job in ended:
            print(f"== {job.title}", *job.said(), sep="\n", flush=True)
        code, job = ended[-1]
        if code:
            self.fail(job.title, code)

    def tell_seconds(self) -> None:
        """Print how long each part took."""
        for title, spent in self.seconds.items():
            print(f"   {spent:7.1f} s  {title}", flush=True)


def build_images(run_: Run) -> None:
    """Build what is missing of the images, and wait."""
    title = f"building the images ({usually(imagetable.USUAL_SECONDS)})"
    run_.wait(run_.fairlead_cluster(title, "images", "build"))


def main() -> int:
    """Run the named tiers; the first failure is the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tiers", nargs="+", choices=TIERS, help="tiers to run")
    tiers = parser.parse_args().tiers
    # A shell's background ignores it, and so would all that is started from here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_ = Run()
    compiled = None
    if {"cluster", "e2e"} & set(tiers):
        title = f"compiling the cluster's programs ({usually(pins.USUAL_SECONDS)})"
        compiled = run_.fairlead_cluster(title, "build")
    if "gates" in tiers:
        run_.front("gates", gates)
    if "fast" in tiers:
        run_.front("fast", lambda: run(*PYTEST_RUNS["fast"]))
    if compiled is not None:
        run_.wait(compiled)
    if {"cluster", "e2e"} <= set(tiers):
        begun = run_.begin("cluster", *PYTEST_RUNS["cluster"])
        build_images(run_)
        run_.side_by_side(begun, run_.begin("e2e", *PYTEST_RUNS["e2e"]))
    elif "cluster" in tiers:
        run_.front("cluster", lambda: run(*PYTEST_RUNS["cluster"]))
    elif "e2e" in tiers:
        build_images(run_)
        run_.front("e2e", lambda: run(*PYTEST_RUNS["e2e"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
