"""The record of a cluster: whole or absent, refused when it is not ours."""

import dataclasses
import json
import subprocess
import sys

import pytest

from fairlead_cluster import errors, state

RECORD = state.State(name="one", slot=3, num_simulated_gpu_nodes=7)


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "one" / "state.json"
    state.write(path, RECORD)
    assert state.read(path) == RECORD
    state.write(path, dataclasses.replace(RECORD, complete=True))
    assert state.read(path).complete
    assert [file.name for file in path.parent.iterdir()] == ["state.json"]


def test_no_record_is_none(tmp_path):
    assert state.read(tmp_path / "state.json") is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param('{"name": "one"', id="torn"),
        pytest.param('{"name": "one"}', id="a-field-missing"),
        pytest.param(json.dumps({**dataclasses.asdict(RECORD), "colour": 1}), id="unknown-field"),
        pytest.param(json.dumps({**dataclasses.asdict(RECORD), "format": 9}), id="other-format"),
    ],
)
def test_a_broken_record_names_the_file_and_the_way_out(tmp_path, text):
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(errors.ClusterError, match=str(path)) as refused:
        state.read(path)
    assert f"down --name {tmp_path.name}" in refused.value.way_out


def test_slots_are_those_of_the_other_clusters(tmp_path):
    for name, slot in (("one", 3), ("two", 0), ("three", 5)):
        state.write(tmp_path / name / "state.json", state.State(name=name, slot=slot))
    (tmp_path / ".registry").mkdir()
    assert state.names(tmp_path) == ["one", "three", "two"]
    assert state.slots(tmp_path, besides="one") == {0: "two", 5: "three"}


def test_a_broken_record_of_another_cluster_has_no_slot(tmp_path):
    state.write(tmp_path / "one" / "state.json", RECORD)
    for name, text in (("torn", "{"), ("later", '{"name": "later", "slot": 1, "format": 9}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state.json").write_text(text)
    assert state.slots(tmp_path, besides="two") == {1: "later", 3: "one"}


def test_a_missing_folder_holds_no_cluster(tmp_path):
    assert state.names(tmp_path / "none") == []


HOLDER = """
import pathlib, sys
from fairlead_cluster import state
with state.lock(pathlib.Path(sys.argv[1]), "one", "busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_killed_holder_frees_the_lock(tmp_path, holder, capsys):
    holder.kill()
    holder.wait(60)
    with state.lock(tmp_path, "one", "busy"):
        assert capsys.readouterr().err == ""


def test_the_second_holder_says_so_and_waits(tmp_path, holder, monkeypatch):
    said = []

    def hear(line, **_):
        said.append(line)
        holder.stdin.close()  # only now does the first one let go

    monkeypatch.setattr("builtins.print", hear)
    with state.lock(tmp_path, "one", "busy"):
        assert said == ["busy"]
    assert holder.wait(60) == 0
