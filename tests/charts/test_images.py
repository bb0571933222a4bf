"""The images that the chart asks for are those that `make images push` pushes."""

import re
from pathlib import Path

import pytest
import yaml

from fairlead_cluster import __main__, imageengine, images, programs, release, toolchain


class FullEngine(imageengine.Engine):
    """An engine that has built every image; what it pushes is written down."""

    def __init__(self):
        super().__init__("buildah")
        object.__setattr__(self, "pushed", [])

    def has(self, reference):
        return True

    def push(self, reference, destination):
        self.pushed.append(destination)


@pytest.fixture
def engine(monkeypatch, tmp_path) -> FullEngine:
    made = FullEngine()
    go = toolchain.Go(program=Path("/bin/false"), version="go1.26.8")
    workshop = images.Workshop(made, programs.Cache(tmp_path, go), "example.org/python:3.11")
    monkeypatch.setattr(images, "open_workshop", lambda *_: workshop)
    return made


def test_what_the_chart_asks_for_by_its_registry_alone_is_what_was_pushed(rendered, engine):
    asked = set(re.findall(r"\breg/[\w./-]+[:@][\w.:-]+", yaml.safe_dump_all(rendered)))
    assert len(asked) == len(release.RELEASED)
    assert __main__.main(["images", "push", "--registry", "reg"]) == 0
    assert asked - set(engine.pushed) == set()
