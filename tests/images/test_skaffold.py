"""skaffold builds the same images from the same files, and sets values that the chart has."""

import re
from pathlib import Path

import pytest
import yaml

from fairlead_cluster import imagefile, imagetable

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
ARTIFACTS = {artifact["image"]: artifact for artifact in CONFIG["build"]["artifacts"]}
EMBEDDED = {"addons", "postgres"}
BUILT = [image for image in imagetable.IMAGES.values() if image.name not in EMBEDDED]
RELEASE = CONFIG["deploy"]["helm"]["releases"][0]


def test_skaffold_builds_every_image_but_the_local_clusters_own():
    assert list(ARTIFACTS) == [image.repository for image in BUILT]


@pytest.mark.parametrize("image", BUILT, ids=lambda image: image.name)
def test_artifact_is_built_like_the_tool_builds_it(image):
    artifact = ARTIFACTS[image.repository]
    docker = artifact["docker"]
    assert docker["dockerfile"] == f"images/{image.folder}/Dockerfile"
    assert docker["target"] == image.target("cpu")
    assert set(docker) <= {"dockerfile", "target", "buildArgs"}
    required = {need["alias"]: need["image"] for need in artifact.get("requires", [])}
    assert required == {
        argument: imagetable.IMAGES[parent].repository for argument, parent in image.parents.items()
    }


@pytest.mark.parametrize("image", BUILT, ids=lambda image: image.name)
def test_every_argument_is_declared_by_the_dockerfile(image):
    artifact = ARTIFACTS[image.repository]
    text = (ROOT / artifact["docker"]["dockerfile"]).read_text()
    declared = set(imagefile.parse(text).arguments) | set(re.findall(r"^ARG (\w+)", text, re.M))
    given = {need["alias"] for need in artifact.get("requires", [])}
    assert given | set(artifact["docker"].get("buildArgs", {})) <= declared


def test_chart_has_every_value_that_is_set():
    values = yaml.safe_load((ROOT / RELEASE["chartPath"] / "values.yaml").read_text())
    for name in RELEASE["setValueTemplates"]:
        found = values
        for word in name.split("."):
            assert word in found, f"{name} is no value of the chart"
            found = found[word]


def test_chart_names_the_repositories_that_are_pushed():
    values = yaml.safe_load((ROOT / RELEASE["chartPath"] / "values.yaml").read_text())
    for name, image in values["images"].items():
        assert image["repository"] == imagetable.IMAGES[name].repository


def test_every_template_names_an_artifact():
    known = {name.replace("-", "_") for name in ARTIFACTS}
    for template in RELEASE["setValueTemplates"].values():
        found = re.fullmatch(r"\{\{\.IMAGE_(?:DOMAIN|REPO_NO_DOMAIN|TAG)_(\w+)\}\}", template)
        assert found is not None
        assert found[1] in known
