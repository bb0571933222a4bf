"""What was answered is on disk, whole, and is nobody else's."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from fairlead_airflow import jsonl
from fairlead_airflow.journal import ForeignJournal, Journal, Key

KEY = Key("team", "units", "pvc://work/units@sha256:0")
ANSWER = {"answer": "3.5 kg", "finish_reason": "stop"}
HOLD = """
import sys
from pathlib import Path
from fairlead_airflow.journal import Journal, Key
with Journal(Path(sys.argv[1]), Key(*sys.argv[2:])) as journal:
    journal.add("a", "digest", {"answer": "held"})
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def written(tmp_path):
    """A journal with answers to a and b."""
    with Journal(tmp_path, KEY) as journal:
        journal.add("a", "digest", ANSWER)
        journal.add("b", "digest", {"answer": "größer"})
    return journal.path


def test_answers_are_found_again(written, tmp_path):
    with Journal(tmp_path, KEY) as journal:
        assert len(journal) == 2
        assert journal.has("a", "digest")
        assert journal.answer("a") == ANSWER
        assert journal.answer("b") == {"answer": "größer"}
        assert not journal.has("c", "digest")


def test_answer_counts_for_its_request_only(written, tmp_path):
    with Journal(tmp_path, KEY) as journal:
        assert not journal.has("a", "another digest")
        journal.add("a", "another digest", {"answer": "7 kg"})
    with Journal(tmp_path, KEY) as journal:
        assert journal.has("a", "another digest")
        assert not journal.has("a", "digest")
        assert journal.answer("a") == {"answer": "7 kg"}


@pytest.mark.parametrize(
    "key",
    [
        replace(KEY, model="pvc://work/units@sha256:1"),
        replace(KEY, service="tens"),
        replace(KEY, namespace="other"),
        Key("team/units", "", KEY.model),
    ],
    ids=["model", "service", "namespace", "joined alike"],
)
def test_another_key_has_another_journal(written, tmp_path, key):
    with Journal(tmp_path, key) as journal:
        assert not len(journal)
        assert journal.path != written


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_torn_last_line_costs_one_answer(written, tmp_path, cut):
    written.write_bytes(written.read_bytes()[:-cut])
    with Journal(tmp_path, KEY) as journal:
        assert journal.has("a", "digest")
        assert not journal.has("b", "digest")
        journal.add("b", "digest", ANSWER)
    with Journal(tmp_path, KEY) as journal:
        assert journal.answer("b") == ANSWER
    assert all(json.loads(line) for line in written.read_text().splitlines())


@pytest.mark.parametrize(
    "broken",
    [
        b"\0\0\0\0\n",
        b'{"id": "c"}\n',
        b"[]\n",
        b'{"id": "c", "request": "d", "answer": 1}\n',
        b"\n",
    ],
    ids=["zeros", "no answer", "a list", "no object", "blank"],
)
def test_broken_line_costs_no_other(written, tmp_path, broken, caplog):
    header, *entries = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join([header, entries[0], broken, entries[1]]))
    with Journal(tmp_path, KEY) as journal:
        assert len(journal) == 2
        assert journal.answer("b") == {"answer": "größer"}
    assert "1 broken lines" in caplog.text


def test_kill_while_the_first_line_is_written_is_no_loss(tmp_path):
    (tmp_path / KEY.file_name).write_bytes(b'{"version": 1, "ke')
    with Journal(tmp_path, KEY) as journal:
        journal.add("a", "digest", ANSWER)
    with Journal(tmp_path, KEY) as journal:
        assert journal.has("a", "digest")


@pytest.mark.parametrize("first", [b'{"version": 2}\n', b"prompts\n"], ids=["version", "no JSON"])
def test_file_of_something_else_is_not_touched(tmp_path, first):
    path = tmp_path / KEY.file_name
    path.write_bytes(first)
    with pytest.raises(ForeignJournal, match="move it away"), Journal(tmp_path, KEY):
        pass
    assert path.read_bytes() == first


def test_two_processes_do_not_write_one_journal_and_a_killed_one_lets_go(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path, KEY.namespace, KEY.service, KEY.model]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(jsonl.Busy, match="an earlier try"), Journal(tmp_path, KEY):
            pass
        other.kill()
    with Journal(tmp_path, KEY) as journal:
        assert journal.answer("a") == {"answer": "held"}


def test_discarded_journal_is_gone(written, tmp_path):
    with Journal(tmp_path, KEY) as journal:
        journal.discard()
        assert not journal.has("a", "digest")
    assert not written.exists()


def test_full_disk_leaves_no_torn_line_before_what_follows(written, tmp_path, monkeypatch):
    with Journal(tmp_path, KEY) as journal:
        stream = journal._stream

        class Full:
            def write(self, rest):
                stream.write(rest[:5])
                raise OSError(28, "No space left on device")

            def truncate(self, size):
                stream.truncate(size)

        with monkeypatch.context() as patch:
            patch.setattr(journal, "_stream", Full())
            with pytest.raises(OSError, match="No space left"):
                journal.add("c", "digest", ANSWER)
        assert not journal.has("c", "digest")
        journal.add("d", "digest", ANSWER)
    with Journal(tmp_path, KEY) as journal:
        assert [journal.has(name, "digest") for name in "abcd"] == [True, True, False, True]


def test_fsync_waits_for_the_caller_and_for_something_new(tmp_path, monkeypatch):
    synced = []
    with Journal(tmp_path, KEY) as journal:
        journal.sync()
        monkeypatch.setattr("os.fsync", synced.append)
        journal.sync()
        assert synced == []
        journal.add("a", "digest", ANSWER)
        journal.add("b", "digest", ANSWER)
        assert synced == []
        journal.sync()
        journal.sync()
        assert len(synced) == 1
        journal.add("c", "digest", ANSWER)
    assert len(synced) == 2


# --- files that appear whole ---------------------------------------------------------------


def test_output_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "answers.jsonl"
    with jsonl.Output(path) as output:
        output.write({"answer": "größer"})
        assert not path.exists()
    assert path.read_text() == '{"answer": "größer"}\n'
    assert [found.name for found in path.parent.iterdir()] == ["answers.jsonl"]


def test_output_that_fails_leaves_what_stood_there(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text("old\n")
    with pytest.raises(KeyError), jsonl.Output(path) as output:
        output.write({"answer": "new"})
        raise KeyError
    assert path.read_text() == "old\n"
    assert [found.name for found in tmp_path.iterdir()] == ["answers.jsonl"]


def test_output_of_a_killed_process_is_begun_anew(tmp_path):
    (tmp_path / "answers.jsonl.partial").write_text('{"answer": "half')
    with jsonl.Output(tmp_path / "answers.jsonl") as output:
        output.write({"answer": "whole"})
    assert (tmp_path / "answers.jsonl").read_text() == '{"answer": "whole"}\n'


def test_output_is_one_writers_at_a_time(tmp_path):
    path = tmp_path / "answers.jsonl"
    with jsonl.Output(path) as output:
        with pytest.raises(jsonl.Busy, match="answers.jsonl.partial"), jsonl.Output(path):
            pass
        output.write({"answer": "mine"})
    assert path.read_text() == '{"answer": "mine"}\n'


def test_output_that_is_stopped_as_it_opens_leaves_nothing_open(tmp_path, monkeypatch):
    held = []

    def stopped(stream, _):
        held.append(stream)
        raise SystemExit

    monkeypatch.setattr(jsonl, "hold", stopped)
    with pytest.raises(SystemExit), jsonl.Output(tmp_path / "answers.jsonl"):
        pass
    assert held[0].closed


def test_output_that_was_not_entered_says_so(tmp_path):
    with pytest.raises(RuntimeError, match="enter it first"):
        jsonl.Output(tmp_path / "answers.jsonl").write({})
