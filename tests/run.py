"""Run the project's tests in tiers on a machine that may have nothing yet.

``python tests/run.py gates fast cluster e2e`` compiles the cluster's programs in the background
while gates and fast tests run, and builds the images while the cluster tier runs; each tier is a
pytest run of its own, and a failed tier ends the run with its exit code. The last lines are
pytest's own summary of the last tier.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fairlead_cluster import imagetable, pins, progress

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PYTEST = [sys.executable, "-m", "pytest", "--durations=10", "--durations-min=2"]


class Background:
    """A command that runs beside the tests; its output is shown when it fails."""

    def __init__(self, title: str, *command: str) -> None:
        self.title = title
        self.log = tempfile.NamedTemporaryFile("w+", prefix="fairlead-", suffix=".log")  # noqa: SIM115
        self.began = time.monotonic()
        print(f"== {title}: begun in the background, log in {self.log.name}", flush=True)
        self.process = subprocess.Popen(
            ["nice", "-n", "5", *command], cwd=ROOT, stdout=self.log, stderr=subprocess.STDOUT
        )

    def wait(self) -> int:
        """Wait for its end; returns its exit code and shows the log's end when that isn't 0."""
        while self.process.poll() is None:
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                lines = Path(self.log.name).read_text().splitlines() or ["(no output yet)"]
                print(f"   {self.title}: {time.monotonic() - self.began:.0f} s: {lines[-1]}")
                sys.stdout.flush()
        if self.process.returncode:
            print("\n".join(Path(self.log.name).read_text().splitlines()[-60:]))
            print(f"== {self.title}: failed with exit code {self.process.returncode}")
        return self.process.returncode


def usually(seconds: float) -> str:
    """How long it takes once, in words; the tests beside it make it longer."""
    return f"once, {progress.duration(seconds)} where nothing else runs"


def run(*command: str) -> int:
    """Run a command in the foreground."""
    return subprocess.run(command, cwd=ROOT).returncode


def gates() -> int:
    """Format, lint, types, import rules: all of them, so that one run shows every complaint."""
    codes = [
        run(str(BIN / "ruff"), "format", "--check", "--quiet", "."),
        run(str(BIN / "ruff"), "check", "--quiet", "."),
        run(str(BIN / "mypy"), "--no-error-summary"),
        run(str(BIN / "lint-imports")),
    ]
    return max(codes)


def fast() -> int:
    """Tests that need Python only."""
    return run(*PYTEST, "-m", "not cluster and not e2e")


def cluster() -> int:
    """Tests against a real API server, and of the embedded cluster itself."""
    return run(*PYTEST, "-m", "cluster")


def e2e() -> int:
    """Tests against the whole cluster with images."""
    return run(*PYTEST, "-m", "e2e")


TIERS: dict[str, Callable[[], int]] = {
    "gates": gates,
    "fast": fast,
    "cluster": cluster,
    "e2e": e2e,
}
REAL = ("cluster", "e2e")
"""Tiers that need the cluster's programs."""


class Run:
    """One call of this script: background jobs, and the seconds that each part took."""

    def __init__(self, tiers: list[str]) -> None:
        self.tiers = tiers
        self.jobs: list[Background] = []
        self.seconds: dict[str, float] = {}

    def background(self, title: str, *arguments: str) -> None:
        """Begin a fairlead-cluster command that a later tier waits for."""
        self.jobs.append(Background(title, sys.executable, "-m", "fairlead_cluster", *arguments))

    def timed(self, title: str, action: Callable[[], int]) -> None:
        """Do one part; its failure ends the run."""
        began = time.monotonic()
        print(f"== {title}", flush=True)
        code = action()
        self.seconds[title] = time.monotonic() - began
        if code:
            for job in self.jobs:
                job.process.terminate()
            print(f"== {title} failed with exit code {code}; its report is above")
            sys.exit(code)

    def tier(self, name: str) -> None:
        """Do one tier, after what it needs is there."""
        if name in REAL:
            while self.jobs:
                job = self.jobs[0]
                self.timed(f"waiting for {job.title}", job.wait)
                self.jobs.remove(job)
        if name == "cluster" and "e2e" in self.tiers:
            self.background(
                f"building the images ({usually(imagetable.USUAL_SECONDS)})", "images", "build"
            )
        if name == self.tiers[-1]:
            for title, spent in self.seconds.items():
                print(f"   {spent:7.1f} s  {title}")
        self.timed(name, TIERS[name])


def main() -> int:
    """Run the named tiers in order; the first failure is the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tiers", nargs="+", choices=TIERS, help="tiers to run, in this order")
    run_ = Run(parser.parse_args().tiers)
    if set(REAL) & set(run_.tiers):
        title = f"compiling the cluster's programs ({usually(pins.USUAL_SECONDS)})"
        run_.background(title, "build")
    for tier in run_.tiers:
        run_.tier(tier)
    return 0


if __name__ == "__main__":
    sys.exit(main())
