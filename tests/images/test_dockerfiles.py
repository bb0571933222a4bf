"""Every Dockerfile keeps the rules that make it safe, small and buildable anywhere."""

import re
import tomllib
from pathlib import Path

import pytest

from fairlead_cluster import imagefile, imagetable

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "images").glob("*/Dockerfile"))
PARSED = {file.parent.name: imagefile.parse(file.read_text()) for file in FILES}
STAGES = [(folder, stage) for folder, parsed in PARSED.items() for stage in parsed.stages.values()]
STAGE_IDS = [f"{folder}-{stage.name}" for folder, stage in STAGES]
OWN = {
    "base": {"images/base"},
    "torch": {"images/torch"},
    "operator": {"operator/api", "operator/controller"},
    "trainer": {"operator/api", "trainer", "images/trainer"},
    "server": {"operator/api", "server", "images/server"},
    "airflow": {"operator/api", "airflow"},
    "addons": {"bin"},
    "postgres": {"images/postgres"},
}
FINAL = [
    (image.name, accelerator)
    for image in imagetable.IMAGES.values()
    for accelerator in (imagetable.ACCELERATORS if image.by_accelerator else ("cpu",))
    if image.name != "build"
]


def chain(folder: str, target: str) -> list[str]:
    """Instructions of a target and of the stages it is made FROM, the deepest first."""
    stages = PARSED[folder].stages
    stage = stages[target]
    below = chain(folder, stage.parent) if stage.parent in stages else []
    return below + stage.lines


def test_there_is_one_dockerfile_for_each_image_and_no_other():
    assert {image.folder for image in imagetable.IMAGES.values()} == set(PARSED) == set(OWN)


@pytest.mark.parametrize(("name", "accelerator"), FINAL)
def test_image_ends_as_user_65532(name, accelerator):
    image = imagetable.IMAGES[name]
    users = [
        line.split()[1]
        for line in chain(image.folder, image.target(accelerator))
        if line.startswith("USER ")
    ]
    assert users[-1] == "65532:65532"


@pytest.mark.parametrize(("folder", "stage"), STAGES, ids=STAGE_IDS)
def test_stage_stands_on_a_build_argument_or_a_stage_above(folder, stage):
    parsed = PARSED[folder]
    argument = re.fullmatch(r"\$\{(\w+)\}", stage.parent)
    if argument is None:
        names = list(parsed.stages)
        assert stage.parent in names[: names.index(stage.name)]
    else:
        assert parsed.arguments[argument[1]], "the argument has a default"


@pytest.mark.parametrize("folder", PARSED)
def test_default_base_is_pinned_to_a_version(folder):
    for name, default in PARSED[folder].arguments.items():
        assert not default.endswith(":latest")
        if not default.startswith("fairlead-"):
            assert re.search(r":v?\d+\.\d+", default), f"{name}={default} names a version"


@pytest.mark.parametrize(("folder", "stage"), STAGES, ids=STAGE_IDS)
def test_stage_copies_its_own_folders_and_locks_only(folder, stage):
    for source in stage.copied():
        path = source.rstrip("/")
        is_lock = re.fullmatch(r"requirements/[a-z-]+\.txt", path) is not None
        assert is_lock or any(path == own or path.startswith(f"{own}/") for own in OWN[folder])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_file_uses_only_what_every_engine_knows(file):
    text = file.read_text()
    assert "<<" not in text, "here-documents are unknown to older buildah"
    assert not re.search(r"COPY\s+--(link|chmod|parents)", text)
    assert "ADD http" not in text


@pytest.mark.parametrize(("folder", "stage"), STAGES, ids=STAGE_IDS)
def test_step_that_downloads_gets_the_hosts_settings_as_secrets_only(folder, stage):
    downloading = re.compile(r"uv-install|apt-install|/install(?!-)|pip install")
    for line in stage.lines:
        assert not re.match(r"(ENV|ARG) .*(INDEX|PROXY|proxy|CERT)", line)
        if line.startswith("RUN ") and downloading.search(line):
            assert "id=fairlead-env" in line
            assert "id=fairlead-ca" in line


@pytest.mark.parametrize("name", ["trainer", "server"])
def test_torch_is_the_same_layer_for(name):
    image = imagetable.IMAGES[name]
    parsed = PARSED[image.folder]
    assert image.parents["TORCH_IMAGE"] == "torch"
    assert parsed.stages[image.target("cpu")].parent == "${TORCH_IMAGE}"


@pytest.mark.parametrize("name", ["operator", "airflow", "trainer", "server"])
def test_own_code_is_the_last_layer_of(name):
    image = imagetable.IMAGES[name]
    layers = [
        line
        for line in chain(image.folder, image.target("cpu"))
        if line.split()[0] in ("COPY", "RUN", "ADD")
    ]
    assert layers[-1] == "COPY --from=ours /opt/ours /opt/venv"


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", ["trainer.txt", "server.txt"])
def test_lock_agrees_with_the_torch_layer_below_it(name):
    torch, above = locked("torch.txt"), locked(name)
    assert {package: above.get(package, version) for package, version in torch.items()} == torch


def test_airflow_in_the_image_is_the_one_that_tests_run():
    dev, inside = locked("dev.txt"), locked("airflow.txt")
    common = set(dev) & set(inside)
    assert {name: inside[name] for name in common} == {name: dev[name] for name in common}


def test_airflow_in_the_image_has_all_that_the_provider_asks_for():
    project = tomllib.loads((ROOT / "airflow/pyproject.toml").read_text())["project"]
    asked = {re.match(r"[a-z0-9-]+", each)[0] for each in project["dependencies"]}
    assert asked - set(locked("airflow.txt")) == {"fairlead-api"}


def test_every_context_folder_passes_the_ignore_file():
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source.split("/")[0]
        for folder, stage in STAGES
        if folder != "addons"
        for source in stage.copied()
    }
    assert copied == allowed
