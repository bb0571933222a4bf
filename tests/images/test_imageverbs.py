"""`fairlead-cluster images` does what its words say, and says what it did."""

import argparse
from pathlib import Path

import pytest

from fairlead_cluster import errors, images, imagetable, imageverbs, registry, settings


@pytest.fixture
def call(workshop, cache, monkeypatch):
    """Run the verb on the workshop of the test."""
    options = []

    def open_workshop(_, given):
        options.append(given)
        return workshop

    monkeypatch.setattr(images, "open_workshop", open_workshop)

    def run(*words, foreign=None):
        parser = argparse.ArgumentParser()
        imageverbs.add_arguments(parser)
        env = {"FAIRLEAD_REGISTRY": foreign} if foreign else {}
        assert imageverbs.run(settings.load(env), parser.parse_args(words)) == 0
        return options[-1]

    return run


def pushed_to(workshop) -> set[str]:
    return {destination.split("/")[0] for _, destination in workshop.engine.pushed}


def test_build_makes_the_images_named_and_prints_their_references(call, workshop, capsys):
    call("build", "operator")
    assert [build.target for build in workshop.engine.builds] == ["base", "build", "operator"]
    assert f"operator: {workshop.reference('operator')}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "foreign", "expected"),
    [
        (["--registry", "a.example.org"], None, "a.example.org"),
        ([], "b.example.org", "b.example.org"),
        (["--registry", "a.example.org"], "b.example.org", "a.example.org"),
    ],
    ids=["argument", "environment", "the argument wins"],
)
def test_push_goes_to_the_registry_named(call, workshop, words, foreign, expected):
    call("push", "operator", *words, foreign=foreign)
    assert pushed_to(workshop) == {expected}


def test_push_goes_to_the_machines_own_registry_where_none_is_named(call, workshop, monkeypatch):
    own = registry.Registry(folder=Path("/nowhere"))
    monkeypatch.setattr(registry.Registry, "has", lambda *_: False)
    monkeypatch.setattr(registry.Registry, "name_again", lambda *_: None)
    monkeypatch.setattr(registry.Registry, "keep", lambda _: None)
    monkeypatch.setattr(registry, "ensure", lambda *_: own)
    call("push", "operator")
    assert pushed_to(workshop) == {own.url_for_host}


def test_list_shows_every_image_with_its_state(call, workshop, capsys):
    workshop.build(["operator"])
    capsys.readouterr()
    call("list")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(imagetable.IMAGES)
    states = {line.split(":")[0].split("fairlead-")[1]: line.split()[0] for line in lines}
    assert {name for name, state in states.items() if state == "built"} == {
        "base",
        "build",
        "operator",
    }


def test_prune_says_how_many_went(call, workshop, capsys):
    workshop.engine.store.append("localhost/fairlead-trainer:old")
    call("prune")
    assert capsys.readouterr().out == "removed 1 old images\n"


def test_options_reach_the_workshop(call):
    given = call("list", "--engine", "podman", "--base-image", "x:1", "--accelerator", "cuda")
    assert given == images.Options(engine="podman", base_image="x:1", accelerator="cuda")


def test_unknown_image_is_refused_by_name(call):
    with pytest.raises(errors.ImageMissing, match="no such image: trianer; there are base, build"):
        call("build", "trianer")
