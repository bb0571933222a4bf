"""What runs have found so far, part by part, and what has to be known beside each part.

A part is one number of jobs, or the memory run. A run adds its parts to those that stand, or takes
their place: the whole takes longer than a machine may be quiet.
"""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pages

from fairlead_cluster import pins

ROOT = Path(__file__).resolve().parents[3]
MEASURED = ("operator", "cluster", "tests/bench")
RESULT, PAGE = "operator.json", "operator.md"


class Results:
    """All parts that are known; kept in a folder, if there is one."""

    def __init__(self, folder=None):
        self._folder = folder
        self.parts = {"sizes": {}, "memory": None}
        if folder and (folder / RESULT).exists():
            self.parts = json.loads((folder / RESULT).read_text())

    def of_size(self, num_jobs, found, begun):
        """What is known of a number of jobs: a run that is cut short has not been for nothing."""
        sizes = self.parts["sizes"] | {str(num_jobs): found | ended(begun)}
        self.parts["sizes"] = dict(sorted(sizes.items(), key=lambda item: int(item[0])))
        self._save()

    def of_memory(self, found, begun):
        """What the memory run found."""
        self.parts["memory"] = found | ended(begun)
        self._save()

    def page(self):
        """The page that tells of them."""
        return pages.page(self.parts)

    def _save(self):
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / RESULT).write_text(json.dumps(self.parts, indent=1) + "\n")
            (self._folder / PAGE).write_text(self.page())


def circumstances(seed, **more):
    """What has to be known beside a part, at its begin; ``more`` is how it was run."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    modules = (ROOT / "cluster" / "go.mod").read_text()
    return more | {
        "commit": _git("rev-parse", "HEAD"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "seed": seed,
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "load_before": os.getloadavg()[0],
        "kubernetes": pins.KUBERNETES_VERSION,
        "kwok": re.search(r"sigs.k8s.io/kwok (v\S+)", modules).group(1),
        "kopf": importlib.metadata.version("kopf"),
        "client": importlib.metadata.version("kubernetes"),
        "python": platform.python_version(),
    }


def ended(begun):
    """The circumstances of a part that has ended.

    Each course starts the operator anew, as it is at that moment: it is said where that is no more
    what stood in the commit at the begin.
    """
    is_changed = bool(
        _git("diff", "--name-only", begun["commit"], "--", *MEASURED)
        or _git("status", "--porcelain", "--", *MEASURED)
    )
    return {"circumstances": begun | {"load_after": os.getloadavg()[0], "is_changed": is_changed}}


def _git(*asked):
    """What git tells of this repository."""
    command = ["git", "-C", str(ROOT), *asked]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
