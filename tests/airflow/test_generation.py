"""Prompts are asked once each, through busy services, kills and services that go away.

Against stand_in_server.py in a process of its own, which counts the calls of each prompt.
"""

import gc
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from fairlead_airflow import asking, completions, fields, generation, jsonl
from fairlead_airflow.endpoint import Endpoint
from fairlead_airflow.generation import Work
from fairlead_airflow.journal import Journal, Key
from fairlead_airflow.tally import Progress, Tally

PATIENCE_SECONDS = 120
KEY = Key("team", "units", "pvc://work/units@sha256:0")
RUN = """
import json, sys
from pathlib import Path
from fairlead_airflow import generation
from fairlead_airflow.endpoint import Endpoint
from fairlead_airflow.journal import Key
prompts, folder, url, key = json.loads(sys.argv[1])
work = generation.Work(
    Path(prompts), Path(folder), Key(*key), Endpoint(url, "units"), concurrency=16
)
print(json.dumps(generation.run(work, lambda: None).__dict__))
"""


class Server:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def control(self, **values):
        self.post("/control", **values).raise_for_status()

    def post(self, path, **values):
        return httpx.post(self.url + path, json=values, timeout=PATIENCE_SECONDS)

    def counts(self):
        return httpx.get(f"{self.url}/counts", timeout=PATIENCE_SECONDS).json()

    @property
    def answered(self):
        return self.counts()["answered"]


@pytest.fixture(scope="module")
def process():
    program = Path(__file__).with_name("stand_in_server.py")
    started = subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with started:
        yield Server(int(started.stdout.readline()))
        started.stdin.close()
        started.wait(PATIENCE_SECONDS)


@pytest.fixture
def server(process):
    process.post("/control?reset=1").raise_for_status()
    return process


def write(path, rows):
    with jsonl.Output(path) as output:
        for line, row in enumerate(rows, 1):
            asked = {"prompt": row} if isinstance(row, str) else row
            output.write({"id": f"p{line}", "line": line, **asked})
    return path


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def work(server, tmp_path):
    def make(rows, **changes):
        prompts = write(tmp_path / "prompts.jsonl", rows)
        given = Work(prompts, tmp_path / "out", KEY, Endpoint(server.url, "units"))
        return replace(given, **{"patience_seconds": 30, **changes})

    return make


def run(work, check=lambda: None, **more):
    return generation.run(work, check, **more)


def changed():
    raise generation.ModelChanged("another model is served")


def test_answers_come_in_the_prompts_order_and_say_whose_they_are(server, work):
    asked = work(["one", "two words", {"messages": [{"role": "user", "content": "three"}]}])
    tally = run(asked)
    assert (tally.num_prompts, tally.num_answers, tally.num_errors) == (3, 3, 0)
    answers = read(asked.answers)
    assert [answer["answer"] for answer in answers] == ["ONE", "TWO WORDS", "THREE"]
    assert answers[1] == {
        "id": "p2",
        "line": 2,
        "service": "team/units",
        "model": KEY.model,
        "prompt": "two words",
        "answer": "TWO WORDS",
        "finish_reason": "stop",
        "prompt_tokens": 2,
        "answer_tokens": 2,
    }
    assert read(asked.errors) == []


def test_busy_service_is_asked_until_each_prompt_has_its_answer(server, work):
    server.control(busy_every=7)
    prompts = [f"prompt {n}" for n in range(100)]
    tally = run(work(prompts))
    counts = server.counts()
    assert tally.num_answers == 100
    assert counts["answered"] == dict.fromkeys(prompts, 1)
    assert counts["num_requests"] > 110


def test_no_more_prompts_are_on_their_way_than_allowed(server, work):
    server.control(delay_seconds=0.02)
    run(work([f"prompt {n}" for n in range(30)], concurrency=3))
    assert server.counts()["most_at_once"] == 3


def test_refused_prompt_is_recorded_and_the_others_are_answered(server, work, caplog):
    caplog.set_level(logging.INFO)
    server.control(broken=["empty"])
    asked = work(["one", "too long for it", "two", "empty", "three"])
    tally = run(asked)
    assert (tally.num_answers, tally.num_errors) == (3, 2)
    refused, empty = sorted(read(asked.errors), key=lambda row: row["line"])
    assert (refused["id"], refused["status"], refused["reason"]) == ("p2", 400, "Refused")
    assert "4096 tokens at most" in refused["message"]
    assert (empty["id"], empty["reason"]) == ("p4", "BadAnswer")
    assert "prompt 'p2' (line 2)" in caplog.text


def test_refused_prompt_ends_a_run_that_records_none(work):
    with pytest.raises(generation.PromptRefused, match=r"prompt 'p2' \(line 2\).*4096 tokens"):
        run(work(["one", "too long"], records_errors=False))


def test_more_refusals_than_allowed_fail_the_run_and_can_be_read(server, work):
    asked = work(["one", "too long 1", "too long 2"])
    with pytest.raises(generation.TooManyRefused, match=r"2 of 3 .* more than 50%: .*4096 tokens"):
        run(asked)
    assert len(read(asked.errors)) == 2
    assert not asked.answers.exists()
    assert run(replace(asked, max_errors=0.7)).num_answers == 1
    assert server.answered == {"one": 1}


def test_service_that_refuses_everything_is_not_asked_for_ever(server, work):
    with pytest.raises(generation.ServiceRefuses, match=r"first 100 prompts.*4096 tokens"):
        run(work([f"too long {n}" for n in range(500)]))
    assert server.counts()["num_requests"] < 150


def test_wrong_model_name_is_no_fault_of_a_prompt(server, work):
    asked = work(["one", "two"], endpoint=Endpoint(server.url, "tens"))
    with pytest.raises(generation.ServiceRefuses, match="no such model"):
        run(asked)
    assert not asked.errors.exists()


def test_service_that_goes_away_leaves_no_prompt_as_error_and_the_rest_is_asked_later(server, work):
    prompts = [f"prompt {n}" for n in range(60)]
    asked = work(prompts, patience_seconds=1)
    server.control(away_after=55)
    with pytest.raises(asking.ServiceAway):
        run(asked)
    assert not asked.errors.exists()
    assert not asked.answers.exists()
    server.control(away_after=None)
    tally = run(asked)
    assert (tally.num_answers, tally.num_resumed, tally.num_errors) == (60, 55, 0)
    assert server.answered == dict.fromkeys(prompts, 1)


def test_run_that_is_done_asks_nothing_again(server, work):
    asked = work(["one", "two"])
    run(asked)
    before = asked.answers.read_bytes()
    assert run(asked).num_resumed == 2
    assert asked.answers.read_bytes() == before
    assert server.answered == {"one": 1, "two": 1}


@pytest.mark.parametrize(
    ("change", "num_again"),
    [
        ({"key": replace(KEY, model="pvc://work/units@sha256:1")}, 2),
        ({"key": replace(KEY, namespace="other")}, 2),
        ({"max_tokens": 7}, 2),
        ({"parameters": {"temperature": 0.5}}, 2),
        ({"concurrency": 2, "timeout_seconds": 60}, 0),
    ],
    ids=["another model", "another namespace", "max_tokens", "a parameter", "how it is asked"],
)
def test_answers_to_something_else_are_not_taken_up(server, work, change, num_again):
    asked = work(["one", "two"])
    run(asked)
    assert run(replace(asked, **change)).num_resumed == 2 - num_again
    assert sum(server.answered.values()) == 2 + num_again


def test_prompt_that_changed_under_its_id_is_asked_anew(server, work):
    run(work(["one", "two"]))
    asked = work(["one", "three"])
    assert run(asked).num_resumed == 1
    assert [answer["answer"] for answer in read(asked.answers)] == ["ONE", "THREE"]


def test_answers_given_while_the_model_changed_are_forgotten(server, work):
    asked = work(["one", "two"])
    with pytest.raises(generation.ModelChanged):
        run(asked, changed)
    assert not asked.answers.exists()
    run(asked)
    assert server.answered == {"one": 2, "two": 2}


def test_parameters_reach_the_service(server, work):
    asked = work(["one"], max_tokens=7, parameters={"temperature": 0.5, "stop": ["."]})
    request = asked.request(next(iter(generation._read(asked.prompts))))
    answer = server.post(request.path, **request.body).json()
    assert answer["asked"] == {
        "model": "units", "prompt": "one", "max_tokens": 7, "temperature": 0.5, "stop": ["."],
    }  # fmt: skip


def test_progress_tells_rate_and_what_is_left(clock):
    said = []
    tally = Tally(num_prompts=100, num_resumed=20, num_answers=20)
    progress = Progress(tally, lambda words, *of: said.append(words % of), clock)
    progress.tell()
    clock.now += 10
    tally.num_answers, tally.num_errors = 58, 2
    progress.tell()
    tally.num_answers, tally.num_waits = 98, 7
    progress.tell()
    assert said == [
        "20 of 100 prompts answered, 0 refused; 0.0 a second, no answer yet",
        "58 of 100 prompts answered, 2 refused; 4.0 a second, 10 s left",
        "98 of 100 prompts answered, 2 refused; 8.0 a second, done, 7 times told to wait",
    ]


def test_long_run_says_how_far_it_is(server, work, monkeypatch):
    monkeypatch.setattr(generation, "SYNC_SECONDS", 0.05)
    monkeypatch.setattr(generation, "PROGRESS_SECONDS", 0.1)
    server.control(delay_seconds=0.05)
    said = []

    def say(words, *of):
        said.append(words % of)
        if len([line for line in said if "left" in line]) == 2:
            server.control(delay_seconds=0)

    run(work([f"prompt {n}" for n in range(1000)]), say=say)
    assert len([line for line in said if "left" in line]) >= 2
    assert "1000 of 1000 prompts answered" in said[-1]


def test_busy_service_and_many_refusals_do_not_fill_the_log(server, work):
    server.control(busy_every=3)
    said = []
    texts = [f"too long {n}" for n in range(30)] + [f"prompt {n}" for n in range(60)]
    tally = run(work(texts[::-1]), say=lambda words, *of: said.append(words % of))
    assert tally.num_waits > 20
    assert len([line for line in said if "again in" in line]) == 1
    assert len([line for line in said if "tokens at most" in line]) == generation.FEW
    assert len([line for line in said if "further refusals stand in" in line]) == 1


@pytest.mark.parametrize(
    "row",
    ['{"prompt": "one"}', '{"id": "a", "line": 1}', "{", "[]", '"one"'],
    ids=["no id", "no prompt", "no JSON", "a list", "text"],
)
def test_prompts_that_were_not_prepared_are_named(work, row):
    asked = work(["one"])
    with asked.prompts.open("a") as stream:
        stream.write(row + "\n")
    with pytest.raises(generation.NotPrepared, match=r"prompts\.jsonl, line 2: no prompt as"):
        run(asked)


class TimeIsOver(BaseException):
    """As Airflow's own AirflowTaskTimeout, raised by a signal's handler."""


@pytest.mark.parametrize("after_seconds", [0.05, 0.3, 0.7])
def test_time_that_is_over_ends_the_run_and_keeps_the_answers(server, work, after_seconds):
    def late(*_):
        raise TimeIsOver

    asked = work([f"prompt {n}" for n in range(5_000)])
    gc.disable()  # what is raised in a callback of the collector is lost
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, after_seconds)
    try:
        with pytest.raises(TimeIsOver):
            run(asked)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()
    num_requests = server.counts()["num_requests"]
    assert not [thread for thread in threading.enumerate() if "asking" in thread.name]
    assert num_requests == server.counts()["num_requests"]
    with Journal(asked.folder, KEY) as journal:
        assert len(journal) >= num_requests - asked.concurrency
    assert not asked.errors.exists()


def test_failing_disk_ends_the_run(server, work, monkeypatch):
    def fail(journal):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generation, "SYNC_SECONDS", 0.01)
    server.control(delay_seconds=0.05)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Journal, "sync", fail)
        run(work([f"prompt {n}" for n in range(100)]))


def test_ten_thousand_prompts_survive_a_kill_without_a_double_call(server, work):
    prompts = [f"prompt {n}" for n in range(10_000)]
    asked = work(prompts)
    server.control(busy_every=97)
    given = json.dumps(
        [str(asked.prompts), str(asked.folder), server.url, [KEY.namespace, KEY.service, KEY.model]]
    )
    command = [sys.executable, "-c", RUN, given]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as first:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(server.answered) < 4_000:
                assert first.poll() is None, "it ended before it was killed"
                assert time.monotonic() < deadline
        finally:
            first.kill()
    journaled = {row["id"] for row in read(asked.folder / KEY.file_name)[1:]}
    assert 4_000 - 16 <= len(journaled) < 10_000

    again = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert again.returncode == 0, again.stderr
    tally = json.loads(again.stdout)
    assert tally["num_resumed"] == len(journaled)
    answered = server.answered
    assert set(answered) == set(prompts)
    twice = [prompt for prompt, count in answered.items() if count > 1]
    assert len(twice) <= 16
    assert not {f"p{prompts.index(prompt) + 1}" for prompt in twice} & journaled
    assert [row["prompt"] for row in read(asked.answers)] == prompts
    assert read(asked.errors) == []


@pytest.mark.parametrize("name", sorted(completions.OWN_PARAMETERS))
def test_parameter_that_is_set_by_us_is_refused(name):
    with pytest.raises(fields.InvalidField, match=f"parameters: {name} can't be set here"):
        completions.check_parameters({name: 1, "temperature": 0})


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        ({"choices": [{"text": "a", "finish_reason": "length"}]}, ("a", "length", None)),
        ({"choices": [{"message": {"content": None}}]}, ("", "", None)),
        ({"choices": [{"text": "a\ud800"}], "usage": {"prompt_tokens": 3}}, ("a?", "", 3)),
    ],
    ids=["completion", "message without text", "half a character"],
)
def test_what_is_kept_of_an_answer(document, kept):
    found = completions.read(document)
    assert (found["answer"], found["finish_reason"], found["prompt_tokens"]) == kept


@pytest.mark.parametrize(
    "document",
    [{}, {"choices": []}, {"choices": [{}]}, {"choices": [{"text": ["a"]}]}, {"choices": None}],
    ids=["nothing", "no choice", "no text", "a list", "null"],
)
def test_answer_without_a_text_is_named(document):
    with pytest.raises(completions.BadAnswer, match="without a text"):
        completions.read(document)
