"""A key changes when, and only when, what the image is made of changes."""

from pathlib import Path

import pytest

from fairlead_cluster import errors, imagefile, imagekeys

DOCKERFILE = """\
# A comment.
ARG BASE_IMAGE=fairlead/base
ARG OTHER_IMAGE=fairlead/other

FROM ${BASE_IMAGE} AS tools
COPY tools/ /opt/tools/

FROM ${BASE_IMAGE} AS environment
COPY lock.txt /opt/lock.txt
RUN --mount=type=bind,from=tools,source=/opt/tools,target=/opt/tools \\
    /opt/tools/install

FROM ${BASE_IMAGE} AS app
COPY --from=environment /opt/venv /opt/venv
COPY api app /src/
ARG LEVEL=1

FROM ${OTHER_IMAGE} AS unrelated
COPY other.txt /other.txt
"""
FILES = {
    "lock.txt": "lock",
    "tools/install": "install",
    "api/a.py": "a",
    "app/b.py": "b",
    "other.txt": "other",
}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        write(tmp_path, name, text)
    return tmp_path


def write(context: Path, name: str, text: str) -> None:
    (context / name).parent.mkdir(parents=True, exist_ok=True)
    (context / name).write_text(text)


def key_of(context: Path, target: str = "app", text: str = DOCKERFILE, **arguments: str) -> str:
    dockerfile = imagefile.parse(text)
    found = imagekeys.fingerprints(dockerfile, target, context)
    return imagekeys.key(dockerfile, target, arguments, found)


@pytest.mark.parametrize(
    "name",
    ["lock.txt", "tools/install", "api/a.py", "app/b.py", "app/deep/new.py"],
    ids=["lock of a stage", "tool that is mounted", "own code", "other own code", "a new file"],
)
def test_change_in_what_the_target_copies_changes_its_key(context, name):
    before = key_of(context)
    write(context, name, "changed")
    assert key_of(context) != before


@pytest.mark.parametrize(
    "name",
    [
        "other.txt",
        "unknown/file.py",
        "app/__pycache__/b.cpython-311.pyc",
        "app/tests/test_b.py",
        "app/fairlead_app.egg-info/PKG-INFO",
    ],
    ids=["another stage's file", "nobody's file", "bytecode", "tests", "egg-info"],
)
def test_change_elsewhere_keeps_the_key(context, name):
    before = key_of(context)
    write(context, name, "changed")
    assert key_of(context) == before


def test_folder_called_tests_above_the_context_hides_nothing(tmp_path):
    context = tmp_path / "tests"
    for name, text in FILES.items():
        write(context, name, text)
    before = key_of(context)
    write(context, "app/b.py", "changed")
    assert key_of(context) != before


def test_execute_bit_counts_because_the_image_keeps_it(context):
    before = key_of(context)
    (context / "tools/install").chmod(0o755)
    assert key_of(context) != before


def test_modification_time_does_not_count(context):
    before = key_of(context)
    (context / "lock.txt").touch()
    assert key_of(context) == before


@pytest.mark.parametrize(
    ("old", "new", "is_changed"),
    [
        ("# A comment.", "# Another comment.", False),
        ("/opt/tools/install", "/opt/tools/install --quiet", True),
        ("ARG LEVEL=1", "ARG LEVEL=2", True),
        ("ARG BASE_IMAGE=fairlead/base", "ARG BASE_IMAGE=fairlead/floor", True),
        ("ARG OTHER_IMAGE=fairlead/other", "ARG OTHER_IMAGE=fairlead/more", False),
        ("COPY other.txt /other.txt", "COPY other.txt /another.txt", False),
    ],
    ids=[
        "comment",
        "instruction of a used stage",
        "argument of a stage",
        "argument that the target stands on",
        "argument of another target",
        "instruction of another target",
    ],
)
def test_key_follows_the_instructions_that_the_target_reaches(context, old, new, is_changed):
    changed = DOCKERFILE.replace(old, new)
    assert changed != DOCKERFILE
    assert (key_of(context, text=changed) != key_of(context)) is is_changed


def test_build_argument_changes_the_key(context):
    assert key_of(context, BASE_IMAGE="x:1") != key_of(context, BASE_IMAGE="x:2")


def test_missing_file_is_named(context):
    (context / "lock.txt").unlink()
    with pytest.raises(errors.ImageMissing, match=r"copies lock\.txt"):
        key_of(context)


def test_missing_stage_is_named(context):
    with pytest.raises(errors.ClusterError, match="it has tools, environment, app, unrelated"):
        key_of(context, target="nothing")


@pytest.mark.parametrize("line", ['COPY ["a b", "/c"]', "ADD ${WHAT} /c"], ids=["JSON", "variable"])
def test_copy_that_cannot_be_read_is_refused(context, line):
    with pytest.raises(errors.ClusterError, match="write plain paths"):
        key_of(context, target="x", text=f"FROM scratch AS x\n{line}\n")


def test_stages_arguments_and_copies_are_read():
    dockerfile = imagefile.parse(DOCKERFILE)
    assert dockerfile.arguments == {"BASE_IMAGE": "fairlead/base", "OTHER_IMAGE": "fairlead/other"}
    assert [stage.name for stage in dockerfile.reached("app")] == ["tools", "environment", "app"]
    assert dockerfile.stages["app"].copied() == ["api", "app"]
    assert dockerfile.asked("app") == {"BASE_IMAGE"}
