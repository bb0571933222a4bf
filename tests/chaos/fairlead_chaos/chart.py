"""The chart's own RBAC for an operator of one release, as helm renders it.

May run helm, and may build it into the programs' cache first; never speaks to a cluster.
"""

import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from fairlead_cluster import programs, settings

CHART: Final = Path(__file__).resolve().parents[3] / "charts/fairlead"
TEMPLATES: Final = ("templates/operator/rbac.yaml", "templates/operator/serviceaccount.yaml")


def helm() -> Path:
    """The pinned helm; takes minutes where it has to be built."""
    return programs.open_cache(settings.load().cache_dir).build(["helm"])["helm"]


def rbac(
    program: Path, namespace: str, *served: str, release: str = "fairlead"
) -> list[dict[str, Any]]:
    """The operator's ServiceAccount, roles and bindings.

    Args:
        program: A helm.
        namespace: Where the release lies.
        served: The namespaces whose resources it serves; all where none is named.
        release: Its name.

    Raises:
        RuntimeError: helm refuses; the text is its own.
    """
    words = [str(program), "template", release, str(CHART), "-n", namespace]
    words += ["--set", "image.registry=unused"]
    if served:
        words += ["--set", f"operator.watchNamespaces={{{','.join(served)}}}"]
    for template in TEMPLATES:
        words += ["--show-only", template]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return [each for each in yaml.safe_load_all(done.stdout) if each]
