"""The chart's CRDs are those of the typed resources, and outlive the release."""

from pathlib import Path

import pytest
import yaml

from fairlead_cli import crds

FOLDER = Path(__file__).resolve().parents[2] / "charts/fairlead/templates/crds"


def test_committed_crds_are_what_the_models_say():
    committed = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert committed == crds.chart_files(), "run `make crds`"


@pytest.mark.parametrize("name", ["finetunejobs.yaml", "modelservices.yaml"])
def test_uninstalling_keeps_the_crd(name):
    body = yaml.safe_load((FOLDER / name).read_text())
    assert body["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.cluster
def test_helm_renders_the_crds_unchanged(rendered):
    made = {d["metadata"]["name"]: d["spec"] for d in rendered if d["kind"].endswith("Definition")}
    assert made == {d["metadata"]["name"]: d["spec"] for d in crds.documents()}
