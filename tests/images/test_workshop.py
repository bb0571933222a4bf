"""Nothing is built or pushed twice, nothing is built that nobody needs, and in the right order."""

import dataclasses
import fcntl
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from fairlead_cluster import (
    errors,
    imagebase,
    imageengine,
    images,
    imagetable,
    pins,
    programs,
    registry,
)

ALL = set(imagetable.IMAGES)


class MemoryRegistry(registry.Registry):
    """The machine's registry without its process."""

    def __init__(self, held=()):
        super().__init__(folder=Path("/nowhere"))
        object.__setattr__(self, "held", set(held))
        object.__setattr__(self, "names", {})
        object.__setattr__(self, "kept", {})

    def has(self, repository, tag):
        return f"{repository}:{tag}" in self.held

    def name_again(self, name, as_name):
        self.held.add(":".join(as_name))
        self.names[":".join(as_name)] = ":".join(name)

    def keep(self):
        self.kept.update(self.names)


def built(workshop: images.Workshop) -> list[str]:
    names = {workshop.reference(name): name for name in imagetable.IMAGES}
    return [names[build.reference] for build in workshop.engine.builds]


def again(workshop: images.Workshop, **changes) -> images.Workshop:
    return dataclasses.replace(workshop, _keys={}, **changes)


ABOVE_TORCH = {"torch", "trainer", "server"}
ABOVE_BUILD = {"build", "operator", "airflow", "postgres"}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("operator/api/fairlead_api/names.py", {"operator", "airflow", "trainer", "server"}),
        ("operator/controller/fairlead_operator/__init__.py", {"operator"}),
        ("operator/cli/README.md", set()),
        ("trainer/fairlead_trainer/__main__.py", {"trainer"}),
        ("trainer/tests/test_new.py", set()),
        ("server/fairlead_server/__main__.py", {"server"}),
        ("airflow/fairlead_airflow/hooks.py", {"airflow"}),
        ("airflow/dags/fine_tune.py", {"airflow"}),
        ("requirements/airflow.txt", {"airflow"}),
        ("requirements/operator.txt", {"operator"}),
        ("requirements/trainer.txt", {"trainer"}),
        ("requirements/server.txt", {"server"}),
        ("requirements/torch.txt", ABOVE_TORCH),
        ("requirements/torch.in", set()),
        ("requirements/dev.txt", set()),
        ("requirements/image-build.txt", ABOVE_BUILD | ABOVE_TORCH),
        ("images/trainer/install", {"trainer"}),
        ("images/torch/install", ABOVE_TORCH),
        ("images/addons/Dockerfile", {"addons"}),
        ("images/postgres/start", {"postgres"}),
        ("images/base/tools/uv-install", ABOVE_BUILD | ABOVE_TORCH),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_change_of_a_file_changes_the_keys_of_what_contains_it(workshop, tree, file, changed):
    before = {name: workshop.key(name) for name in ALL}
    path = tree / file
    path.parent.mkdir(parents=True, exist_ok=True)
    line = "RUN true\n" if path.name == "Dockerfile" else "# changed\n"
    path.write_text((path.read_text() if path.exists() else "") + line)
    after = again(workshop)
    assert {name for name in ALL if after.key(name) != before[name]} == changed


@pytest.mark.parametrize(
    ("changes", "unchanged"),
    [
        ({"base_image": "example.org/python:3.11.9"}, set()),
        ({"accelerator": "cuda"}, ALL - ABOVE_TORCH),
        ({"engine": imageengine.Engine("podman")}, ALL),
    ],
    ids=["base image", "accelerator", "engine"],
)
def test_choice_changes_the_keys_of_what_depends_on_it(workshop, changes, unchanged):
    other = again(workshop, **changes)
    assert {name for name in ALL if other.key(name) == workshop.key(name)} == unchanged


def test_new_program_changes_the_addons_only(workshop, cache):
    newer = dataclasses.replace(cache, go=dataclasses.replace(cache.go, version="go1.27.0"))
    other = again(workshop, cache=newer)
    assert {name for name in ALL if other.key(name) != workshop.key(name)} == {"addons"}


def test_parents_are_built_first_and_once(workshop):
    workshop.build(["trainer", "server"])
    assert built(workshop) == ["base", "build", "torch", "trainer", "server"]


@pytest.mark.parametrize("name", ["base", "build"])
def test_base_by_debootstrap_is_made_before(workshop, monkeypatch, name):
    made = []
    monkeypatch.setattr(imagebase, "ensure", lambda _, reference, log: made.append(reference))
    other = again(workshop, base_image=images.debian_reference())
    other.build([name])
    assert made == [images.debian_reference()]
    other.build([name])
    assert len(made) == 1


def test_second_build_does_nothing(workshop):
    tags = workshop.build(["operator"])
    workshop.engine.builds.clear()
    assert workshop.build(["operator"]) == tags
    assert built(workshop) == []


def test_changed_code_rebuilds_its_image_and_nothing_below(workshop, tree):
    workshop.build(["trainer"])
    workshop.engine.builds.clear()
    (tree / "trainer/fairlead_trainer/new.py").write_text("NEW = 1\n")
    other = again(workshop)
    other.build(["trainer"])
    assert built(other) == ["trainer"]


def test_image_in_the_registry_needs_neither_build_nor_parents(workshop):
    held = MemoryRegistry([images.tagged("trainer", workshop.key("trainer"))])
    assert workshop.push(["trainer"], held) == {
        "trainer": f"{registry.NODE_NAME}/fairlead-trainer:{workshop.key('trainer')}"
    }
    assert built(workshop) == []
    assert workshop.engine.pushed == []


def test_push_moves_what_the_registry_lacks_and_keeps_its_tags(workshop):
    held = MemoryRegistry([images.tagged("trainer", workshop.key("trainer"))])
    workshop.push(["trainer", "operator"], held)
    tagged = images.tagged("operator", workshop.key("operator"))
    shared = f"fairlead:operator-{workshop.key('operator')}"
    assert workshop.engine.pushed == [(f"localhost/{tagged}", f"{held.url_for_host}/{shared}")]
    assert tagged in held.held
    assert held.kept == {tagged: shared}


def test_push_to_another_registry_asks_it_nothing_and_names_it(workshop):
    references = workshop.push(["operator"], "registry.example.org/team")
    reference = f"registry.example.org/team/{images.tagged('operator', workshop.key('operator'))}"
    assert references == {"operator": reference}
    assert [destination for _, destination in workshop.engine.pushed] == [reference]


def test_release_tag_moves_to_what_was_pushed_last_and_is_kept(workshop, tree):
    held = MemoryRegistry()
    for content in ("one", "two"):
        (tree / "operator/controller/fairlead_operator/new.py").write_text(content)
        made = again(workshop)
        made.push(["operator"], held)
        made.tag(["operator"], held, "0.1.0")
        key = made.key("operator")
        assert held.names["fairlead-operator:0.1.0"] == f"fairlead-operator:{key}"
        assert held.kept["fairlead-operator:0.1.0"] == f"fairlead-operator:{key}"


def test_build_is_given_its_parents_by_key(workshop):
    workshop.build(["trainer"])
    by_name = dict(zip(built(workshop), workshop.engine.builds, strict=True))
    assert by_name["base"].arguments == {"BASE_IMAGE": "example.org/python:3.11"}
    assert by_name["torch"].arguments == {
        "ACCELERATOR": "cpu",
        "BASE_IMAGE": workshop.reference("base"),
        "BUILD_IMAGE": workshop.reference("build"),
    }
    assert by_name["trainer"].arguments == {
        "BUILD_IMAGE": workshop.reference("build"),
        "TORCH_IMAGE": workshop.reference("torch"),
    }


def test_server_for_gpus_needs_no_torch_layer_of_ours(workshop):
    other = again(workshop, accelerator="cuda")
    other.build(["server"])
    assert built(other) == ["build", "server"]


@pytest.mark.parametrize("accelerator", imagetable.ACCELERATORS)
def test_server_is_built_from_the_stage_of_its_accelerator(workshop, accelerator):
    other = again(workshop, accelerator=accelerator)
    other.build(["server"])
    assert other.engine.builds[-1].target == accelerator


def test_addons_are_built_beside_their_programs_alone(workshop, cache, monkeypatch, tmp_path):
    def build(_, names):
        made = {name: tmp_path / "programs" / name for name in names}
        for path in made.values():
            path.parent.mkdir(exist_ok=True)
            path.write_text(path.name)
        return made

    monkeypatch.setattr(programs.Cache, "build", build)
    workshop.build(["addons"])
    context = workshop.engine.builds[-1].context
    found = {str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()}
    assert found == {f"bin/{name}" for name in pins.ADDONS_IMAGE}


def test_image_that_another_process_built_meanwhile_is_not_built_again(workshop, cache):
    (cache.folder / "locks").mkdir(parents=True)
    with (cache.folder / "locks" / "image-base.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        builder = threading.Thread(target=workshop.build, args=(["base"],))
        builder.start()
        workshop.engine.store.append(workshop.reference("base"))
    builder.join(timeout=30)
    assert not builder.is_alive()
    assert built(workshop) == []


def test_image_is_built_while_another_process_builds_another(workshop, cache):
    (cache.folder / "locks").mkdir(parents=True)
    with (cache.folder / "locks" / "image-torch.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        workshop.build(["operator"])
    assert "operator" in built(workshop)


def test_torch_layer_is_not_begun_on_a_full_disk(workshop, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000_000))
    with pytest.raises(errors.HostUnfit, match=r"needs 12 GB of disk, 3 GB are free.*prune"):
        workshop.build(["trainer"])
    assert built(workshop) == []
    workshop.build(["operator"])
    assert "operator" in built(workshop)


def test_prune_removes_old_images_of_ours_only(workshop, tree):
    workshop.build(["operator"])
    old = workshop.reference("operator")
    foreign = ["docker.io/library/debian:12", "localhost/somebody-else:1"]
    workshop.engine.store.extend(foreign)
    (tree / "requirements/operator.txt").write_text("changed")
    other = again(workshop)
    other.build(["operator"])
    assert other.prune() == [old]
    assert set(other.engine.store) == {
        *foreign,
        *(other.reference(name) for name in ("base", "build", "operator")),
    }


@pytest.mark.parametrize(
    ("kind", "wanted", "expected"),
    [
        ("docker", None, imagetable.PUBLIC_BASE),
        ("podman", None, imagetable.PUBLIC_BASE),
        ("buildah", None, images.debian_reference()),
        ("docker", "debootstrap", images.debian_reference()),
        ("buildah", "example.org/python:3.11", "example.org/python:3.11"),
    ],
)
def test_base_image_is_public_unless_buildah_stands_alone(
    monkeypatch, tmp_path, kind, wanted, expected
):
    monkeypatch.setattr(imageengine, "find", lambda _: imageengine.Engine(kind))
    monkeypatch.setattr(programs, "open_cache", lambda folder: folder)
    opened = images.open_workshop(tmp_path, images.Options(base_image=wanted))
    assert opened.base_image == expected


def test_unknown_accelerator_is_refused(tmp_path):
    with pytest.raises(errors.ClusterError, match="no accelerator 'tpu'; use cpu or cuda"):
        images.open_workshop(tmp_path, images.Options(accelerator="tpu"))
