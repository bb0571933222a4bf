"""One version everywhere: pyprojects, chart and changelog agree."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PYPROJECTS = sorted(
    path
    for path in ROOT.glob("**/pyproject.toml")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("path", PYPROJECTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_distribution_has_the_version(path):
    project = tomllib.loads(path.read_text())["project"]
    assert project["version"] == VERSION
    own = [name for name in project.get("dependencies", []) if name.startswith("fairlead-")]
    assert own == [name for name in own if name.endswith(f"=={VERSION}")]


def test_chart_has_the_version():
    chart = yaml.safe_load((ROOT / "charts/fairlead/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def test_changelog_begins_with_the_version():
    heads = re.findall(r"^## \[?([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == VERSION
