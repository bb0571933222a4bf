"""Taking down by name and all at once, in a state folder of the test's own."""

import dataclasses
import os

import pytest

from fairlead_cluster import down, layout, registry, settings, state, verbs

pytestmark = pytest.mark.cluster


@pytest.fixture
def chosen(as_root, tmp_path, monkeypatch):
    # The registry of the machine serves other clusters: it is told to stop, not stopped.
    stopped = []
    monkeypatch.setattr(registry, "stop", stopped.append)
    made = dataclasses.replace(settings.load(), state_dir=tmp_path, name="fl-test-a")
    for slot, name in enumerate(["fl-test-a", "fl-test-b"]):
        state.write(layout.Layout(name, tmp_path / name).state_file, state.State(name, slot))
    return made, stopped


def test_the_registry_stays_while_another_cluster_needs_it(chosen):
    made, stopped = chosen
    down.down(made)
    assert state.names(made.state_dir) == ["fl-test-b"]
    assert stopped == []
    down.down(dataclasses.replace(made, name="fl-test-b"))
    assert stopped == [made.state_dir]


def test_all_means_all(chosen):
    made, stopped = chosen
    (verb,) = [found for found in verbs.VERBS if found.name == "down"]
    given = verbs.Arguments(all=True, volumes=False)
    assert verb.run(made, given) == 0
    assert state.names(made.state_dir) == []
    assert stopped
    assert [path.name for path in made.state_dir.iterdir()] == [".locks"]


def test_a_cluster_that_is_not_there_is_no_error(chosen):
    made, _ = chosen
    down.down(dataclasses.replace(made, name="fl-test-never"))
    assert os.listdir(made.state_dir)
