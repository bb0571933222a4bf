"""Engines are found by what answers, and each is called in its own spelling."""

from pathlib import Path

import pytest

from fairlead_cluster import errors, host, imageengine

BUILD = imageengine.Build(
    reference="localhost/fairlead-x:1",
    dockerfile=Path("/tree/images/x/Dockerfile"),
    target="x",
    context=Path("/tree"),
    arguments={"BASE_IMAGE": "base:1"},
    secrets={"fairlead-ca": Path("/ca.crt")},
    log=Path("/log"),
)
SHARED = [
    *("--build-arg", "BASE_IMAGE=base:1"),
    *("--secret", "id=fairlead-ca,src=/ca.crt"),
    *("--target", "x", "--tag", "localhost/fairlead-x:1"),
    *("--file", "/tree/images/x/Dockerfile", "/tree"),
]
LAYERED = ["--layers", "--force-rm", "--timestamp", "315532800", "--pull=false"]


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """A PATH on which nothing is but what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("docker", ["build", "--network", "host", *SHARED]),
        ("podman", ["build", "--network", "host", *LAYERED, *SHARED]),
        ("buildah", ["build", "--network", "host", "--isolation", "chroot", *LAYERED, *SHARED]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_build_is_spelled_for(kind, expected):
    assert imageengine.Engine(kind).command(BUILD) == [kind, *expected]


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        (
            "127.0.0.1:5000/fairlead-x:1",
            "push --quiet --tls-verify=false --format oci --compression-format zstd",
        ),
        (
            "198.18.255.1:5000/fairlead-x:1",
            "push --quiet --tls-verify=false --format oci --compression-format zstd",
        ),
        ("ghcr.io/team/fairlead-x:1", "push --quiet"),
        ("127.example.org/fairlead-x:1", "push --quiet"),
    ],
    ids=["loopback", "the machine's registry", "a public registry", "a name that looks local"],
)
def test_registry_of_this_machine_is_pushed_to_without_tls(path, destination, expected):
    program(path, "buildah", f'echo "$@" >> {path}/said')
    imageengine.Engine("buildah").push("localhost/fairlead-x:1", destination)
    said = (path / "said").read_text()
    assert said == f"{expected} localhost/fairlead-x:1 docker://{destination}\n"


def test_docker_pushes_under_a_tag_of_the_registry(path):
    program(path, "docker", f'echo "$@" >> {path}/said')
    imageengine.Engine("docker").push("localhost/fairlead-x:1", "ghcr.io/team/fairlead-x:1")
    assert (path / "said").read_text().splitlines() == [
        "tag localhost/fairlead-x:1 ghcr.io/team/fairlead-x:1",
        "push --quiet ghcr.io/team/fairlead-x:1",
    ]


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"docker": "exit 0", "podman": "exit 0", "buildah": "exit 0"}, "docker"),
        ({"docker": "exit 1", "podman": "exit 0", "buildah": "exit 0"}, "podman"),
        ({"docker": "exit 1", "buildah": "exit 0"}, "buildah"),
    ],
    ids=["all answer", "docker has no daemon", "docker has no daemon and there is no podman"],
)
def test_first_engine_that_answers_is_taken(path, installed, expected):
    for name, script in installed.items():
        program(path, name, script)
    assert imageengine.find().kind == expected


def test_buildah_is_installed_where_there_is_no_engine(path, monkeypatch):
    asked = []
    monkeypatch.setattr(host, "ensure_packages", asked.append)
    assert imageengine.find().kind == "buildah"
    assert asked == [{"buildah": "buildah"}]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("docker", "docker doesn't answer; start it: `docker info`"),
        ("kaniko", "no engine 'kaniko'; use docker, podman, buildah"),
    ],
    ids=["without its daemon", "unknown"],
)
def test_engine_that_was_asked_for_is_never_replaced(path, wanted, message):
    program(path, "docker", "exit 1")
    program(path, "buildah", "exit 0")
    with pytest.raises(errors.ClusterError, match=message):
        imageengine.find(wanted)


def failing(path: Path, output: str, log: Path) -> errors.ClusterError:
    program(path, "buildah", f"echo '{output}'; exit 3")
    with pytest.raises(errors.ClusterError) as raised:
        imageengine.Engine("buildah").build(
            imageengine.Build("x:1", Path("/f"), "", Path("/"), {}, {}, log)
        )
    return raised.value


def test_failed_build_says_its_last_lines_and_where_the_rest_is(path, tmp_path):
    log = tmp_path / "logs" / "image.log"
    failed = failing(path, "STEP 1/2\nno such package: g+++", log)
    assert "can't build the image x:1 (exit status 3)" in failed.problem
    assert "no such package: g+++" in failed.problem
    assert str(log) in failed.way_out
    assert "STEP 1/2" in log.read_text()


def test_full_disk_has_a_name_of_its_own(path, tmp_path):
    failed = failing(path, "write /x: No space left on device", tmp_path / "log")
    assert isinstance(failed, errors.HostUnfit)
    assert "the disk is full" in failed.problem
