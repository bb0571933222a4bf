"""A day from the file of prompts to the table, through refusals, kills and a second try.

The steps are those of the tasks; a stand-in server answers, in a process of its own.
"""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from airflow.sdk import BaseHook

from fairlead_airflow import generation, jsonl
from fairlead_airflow.endpoint import Endpoint
from fairlead_airflow.journal import Key
from fairlead_airflow.operators import (
    FilterAnswersOperator,
    LoadAnswersOperator,
    PreparePromptsOperator,
)

PATIENCE_SECONDS = 120
KEY = Key("team", "units", "pvc://work/units@sha256:0")
DAY = "2026-01-31"
PUBLISH = """
import sys, json, time
from pathlib import Path
from fairlead_airflow import generation, jsonl
from fairlead_airflow.endpoint import Endpoint
from fairlead_airflow.journal import Key
prompts, folder, url, key = json.loads(sys.argv[1])
write = jsonl.Output.write
def slowly(output, document):
    write(output, document)
    if output.path.name == "answers.jsonl":
        print("publishing", flush=True)
        time.sleep(0.05)
jsonl.Output.write = slowly
work = generation.Work(Path(prompts), Path(folder), Key(*key), Endpoint(url, "units"))
generation.run(work, lambda: None)
"""


@pytest.fixture(scope="module")
def url():
    program = Path(__file__).with_name("stand_in_server.py")
    started = subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with started:
        yield f"http://127.0.0.1:{int(started.stdout.readline())}"
        started.stdin.close()
        started.wait(PATIENCE_SECONDS)


@pytest.fixture(autouse=True)
def anew(url):
    httpx.post(f"{url}/control?reset=1", json={}, timeout=PATIENCE_SECONDS).raise_for_status()


@pytest.fixture
def warehouse(tmp_path, monkeypatch):
    path = tmp_path / "warehouse.db"
    described = json.dumps({"conn_type": "sqlite", "host": str(path)})
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", described)
    assert BaseHook.get_connection("warehouse").conn_type == "sqlite"

    def rows():
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT id, answer FROM answers ORDER BY line").fetchall()

    return rows


@pytest.fixture
def prepared(tmp_path):
    """Writes the day's file and prepares it; where the prompts are."""

    def prepare(*rows):
        source = tmp_path / "day.jsonl"
        source.write_text("".join(f"{row}\n" for row in rows))
        task = PreparePromptsOperator(
            task_id="prepare", prompts=str(source), folder=str(tmp_path / DAY)
        )
        return Path(task.execute({})["prompts"])

    return prepare


@pytest.fixture
def work(url, tmp_path):
    def make(prompts):
        return generation.Work(prompts, tmp_path / "out", KEY, Endpoint(url, "units"))

    return make


def load(work):
    answers = FilterAnswersOperator(task_id="filter", answers=str(work.answers)).execute({})
    return LoadAnswersOperator(
        task_id="load", answers=answers["accepted"], table="answers", day=DAY, conn_id="warehouse"
    ).execute({})


def row(name, prompt):
    return json.dumps({"id": name, "prompt": prompt})


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_row_of_a_day_ends_where_its_fate_is_told(prepared, work, warehouse, tmp_path):
    chat = {"id": "chat", "messages": [{"role": "user", "content": "How are you?"}]}
    asked = work(
        prepared(
            row("a", "one"),
            "{broken",
            row("b", "too long for the model"),
            row("c", "again and again " * 20),
            json.dumps(chat),
            row("d", "größer"),
            row("e", " one"),
        )
    )
    generation.run(asked, lambda: None)
    assert load(asked)["num_rows"] == 3
    assert warehouse() == [("a", "ONE"), ("chat", "HOW ARE YOU?"), ("d", "GRÖSSER")]
    broken = lines(tmp_path / DAY / "broken.jsonl")
    assert [(fault["line"], fault["reason"]) for fault in broken] == [
        (2, "NotJSON"),
        (7, "DuplicatePrompt"),
    ]
    assert [(fault["id"], fault["line"]) for fault in lines(asked.errors)] == [("b", 3)]
    (rejected,) = lines(asked.folder / "rejected.jsonl")
    assert (rejected["id"], rejected["reason"]) == ("c", "Repetitive")


def test_day_that_is_run_again_with_more_rows_asks_these_only(prepared, work, warehouse, url):
    asked = work(prepared(row("a", "one"), row("b", "two")))
    generation.run(asked, lambda: None)
    load(asked)
    asked = work(prepared(row("c", "three"), row("b", "two"), row("a", "changed")))
    tally = generation.run(asked, lambda: None)
    load(asked)
    assert (tally.num_answers, tally.num_resumed) == (3, 1)
    assert warehouse() == [("c", "THREE"), ("b", "TWO"), ("a", "CHANGED")]
    answered = httpx.get(f"{url}/counts", timeout=PATIENCE_SECONDS).json()["answered"]
    assert answered == {"one": 1, "two": 1, "three": 1, "changed": 1}


def test_kill_while_answers_are_written_leaves_the_old_ones_whole(prepared, work, url):
    prompts = prepared(*(row(f"p{n}", f"prompt {n}") for n in range(200)))
    asked = work(prompts)
    with jsonl.Output(asked.answers) as old:
        old.write({"answer": "of yesterday's try"})
    key = [KEY.namespace, KEY.service, KEY.model]
    given = json.dumps([str(prompts), str(asked.folder), url, key])
    command = [sys.executable, "-c", PUBLISH, given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "publishing\n"
        killed.send_signal(signal.SIGKILL)
    assert lines(asked.answers) == [{"answer": "of yesterday's try"}]

    tally = generation.run(asked, lambda: None)
    assert tally.num_resumed == 200
    assert [answer["id"] for answer in lines(asked.answers)] == [f"p{n}" for n in range(200)]
    assert not list(asked.folder.glob("*.partial"))


def test_second_try_does_not_ask_beside_a_first_that_still_runs(prepared, work, url):
    prompts = prepared(row("a", "one"), row("b", "two"))
    asked = work(prompts)
    httpx.post(f"{url}/control", json={"delay_seconds": 60}, timeout=PATIENCE_SECONDS)
    key = [KEY.namespace, KEY.service, KEY.model]
    given = json.dumps([str(prompts), str(asked.folder), url, key])
    with subprocess.Popen([sys.executable, "-c", PUBLISH, given]) as first:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not httpx.get(f"{url}/counts", timeout=PATIENCE_SECONDS).json()["num_requests"]:
            assert first.poll() is None
            assert time.monotonic() < deadline
        with pytest.raises(jsonl.Busy, match=r"journal-.*an earlier try"):
            generation.run(asked, lambda: None)
        first.kill()
    httpx.post(f"{url}/control", json={"delay_seconds": 0}, timeout=PATIENCE_SECONDS)
    assert generation.run(asked, lambda: None).num_answers == 2


def test_day_without_prompts_is_an_empty_file(tmp_path, work):
    empty = tmp_path / "prompts.jsonl"
    empty.write_text("")
    asked = work(empty)
    assert generation.run(asked, lambda: None).num_prompts == 0
    assert asked.answers.read_text() == asked.errors.read_text() == ""
