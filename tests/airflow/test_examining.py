"""A served model is examined by asking it; the stand-in server's likelihoods are known.

Perplexity is checked against the sum that the stand-in's rule gives for the tokens of the expected
answer, counted here by hand.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fairlead_airflow import asking, exam, examining, judging, likelihood, marking, scores
from fairlead_airflow.endpoint import Endpoint
from fairlead_airflow.generation import ServiceRefuses
from fairlead_airflow.httpconnection import HttpConnection
from fairlead_airflow.scores import Metric

PATIENCE_SECONDS = 120
STAND_IN = Path(__file__).parent / "stand_in_vllm.py"
BOS, USER, ASSISTANT, KG = 4, 1, 2, 5
LITRES = {"prompt": "7 litres", "completion": " 7 l"}
CHAT = {
    "messages": [{"role": "user", "content": "7 litres"}, {"role": "assistant", "content": "7 l"}]
}


@pytest.fixture(scope="module")
def url():
    started = subprocess.Popen(
        [sys.executable, STAND_IN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with started:
        yield f"http://127.0.0.1:{int(started.stdout.readline())}"
        started.stdin.close()
        started.wait(PATIENCE_SECONDS)


@pytest.fixture
def examine(url):
    """Examines the stand-in by rows, after it was told how to behave."""

    def run(*rows, metrics=(Metric.EXACT_MATCH, Metric.PERPLEXITY), state=None, **changes):
        told = httpx.post(f"{url}/control", json=state or {}, timeout=PATIENCE_SECONDS)
        told.raise_for_status()
        given = {"max_tokens": 16, "patience_seconds": 30, "endpoint": Endpoint(url, "units")}
        questions = exam.load(list(rows), Path())
        work = examining.Work(questions=questions, metrics=metrics, **(given | changes))
        return examining.run(work)

    return run


@pytest.fixture
def seen(url):
    """What the stand-in was asked: path and body."""
    return lambda: httpx.get(f"{url}/seen", timeout=PATIENCE_SECONDS).json()


def of_chars(text):
    return [100 + ord(char) for char in text]


def likelihoods(before, tokens):
    """What the stand-in's rule gives for tokens that follow a token."""
    pairs = zip([before, *tokens], tokens, strict=False)
    return [-math.log(2 + (7 * a + b) % 5) for a, b in pairs]


@pytest.mark.parametrize(
    ("row", "state", "before", "tokens"),
    [
        (LITRES, {}, of_chars("s"), of_chars(" 7 l")),
        (LITRES, {"bos": True}, of_chars("s"), of_chars(" 7 l")),
        ({"prompt": "7", "completion": " l"}, {"bos": True}, of_chars("7"), of_chars(" l")),
        ({"prompt": "7", "completion": " l"}, {"beside": True}, of_chars("7"), of_chars(" l")),
        ({"prompt": "7 k", "completion": "g."}, {}, of_chars("7"), [KG, *of_chars(".")]),
        ({"prompt": " k", "completion": "g."}, {"bos": True}, [BOS], [KG, *of_chars(".")]),
        ({"prompt": " k", "completion": "g."}, {}, [KG], of_chars(".")),
        (CHAT, {}, [ASSISTANT], of_chars("7 l")),
        (CHAT, {"template_bos": True}, [ASSISTANT], of_chars("7 l")),
        (CHAT, {"bos": True}, [ASSISTANT], of_chars("7 l")),
    ],
    ids=[
        "text", "text after BOS", "one letter after BOS", "likelier token beside",
        "token across the border", "such a token first, after BOS", "such a token first",
        "chat", "chat after BOS", "chat of a model whose texts have BOS",
    ],
)  # fmt: skip
def test_perplexity_is_of_the_expected_answers_tokens(examine, row, state, before, tokens):
    (record,) = examine(row, state=state)
    assert record.error == ""
    assert record.logprobs == pytest.approx(likelihoods(before[0], tokens))


def test_chat_is_scored_as_the_same_text_is(examine):
    text = {"prompt": "<u>7 litres<a>", "completion": "7 l"}
    chat, same = examine(CHAT, text, metrics=(Metric.PERPLEXITY,), state={"bos": False})
    assert chat.logprobs == same.logprobs
    with_bos = {"bos": True, "template_bos": True}
    chat, same = examine(CHAT, text, metrics=(Metric.PERPLEXITY,), state=with_bos)
    assert chat.logprobs == same.logprobs


def test_answers_are_the_models_and_cut_ones_say_so(examine):
    first, second = examine(
        LITRES, CHAT | {"messages": [{"role": "user", "content": "8 metres"}, CHAT["messages"][1]]},
        state={"answers": {"litres": " 7 l", "metres": "8 m" * 9}},
    )  # fmt: skip
    assert (first.answer, first.finish_reason, first.is_answered) == (" 7 l", "stop", True)
    assert (second.answer, second.finish_reason) == (("8 m" * 9)[:16], "length")


@pytest.mark.parametrize(
    ("metrics", "bodies"),
    [
        (
            (Metric.EXACT_MATCH,),
            [{"prompt": "7 litres", "max_tokens": 16}],
        ),
        (
            (Metric.BLEU, Metric.PERPLEXITY),
            [
                {"prompt": "7 litres", "max_tokens": 16, "return_token_ids": True},
                {
                    "prompt": "7 litres 7 l", "max_tokens": 1, "return_token_ids": True,
                    "prompt_logprobs": 0,
                },
            ],
        ),
        (
            (Metric.PERPLEXITY,),
            [
                {"prompt": "7 litres", "max_tokens": 1, "return_token_ids": True},
                {
                    "prompt": "7 litres 7 l", "max_tokens": 1, "return_token_ids": True,
                    "prompt_logprobs": 0,
                },
            ],
        ),
    ],
    ids=["answers only: any OpenAI server can", "both", "no answer is written for perplexity"],
)  # fmt: skip
def test_no_more_is_asked_than_the_scores_need(examine, seen, metrics, bodies):
    examine(LITRES, metrics=metrics)
    always = {"model": "units", "temperature": 0}
    assert seen() == [["/v1/completions", always | body] for body in bodies]


def test_parameters_reach_the_answer_and_those_of_tokens_the_likelihood(examine, seen):
    kwargs = {"enable_thinking": False}
    examine(CHAT, parameters={"stop": ["\n"], "chat_template_kwargs": kwargs})
    (_, answering), (_, scoring) = seen()
    assert (answering["stop"], answering["chat_template_kwargs"]) == (["\n"], kwargs)
    assert ("stop" in scoring, scoring["chat_template_kwargs"]) == (False, kwargs)
    assert (scoring["continue_final_message"], scoring["add_generation_prompt"]) == (True, False)


def test_refused_question_is_a_record_and_not_the_end(examine):
    too_long = {"prompt": "7 litres" * 9, "completion": " 63 l"}
    bad, good = examine(too_long, LITRES, state={"answers": {"litres": " 7 l"}})
    assert ("too long" in bad.error, bad.is_answered, bad.logprobs) == (True, False, None)
    assert (good.error, good.answer) == ("", " 7 l")
    found = marking.scores_of([bad, good], (Metric.EXACT_MATCH, Metric.PERPLEXITY))
    assert found["exact_match"] == 0.5
    assert found["perplexity"] == scores.perplexity(good.logprobs)


def test_question_whose_expected_answer_alone_is_too_long_keeps_its_answer(examine):
    (record,) = examine(LITRES | {"completion": " 7 l" * 14}, state={"answers": {"litres": "7 l"}})
    assert ("too long" in record.error, record.answer) == (True, "7 l")


def test_server_that_tells_no_likelihood_is_named(examine):
    with pytest.raises(likelihood.NoLogprobs, match="perplexity needs vLLM"):
        examine(*[LITRES] * 20, state={"tells": False})
    (record,) = examine(LITRES, metrics=(Metric.EXACT_MATCH,), state={"tells": False})
    assert record.is_answered


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [({"model": "other"}, {}, "no model"), ({}, {"key": "secret"}, "no key")],
    ids=["unknown model", "no key"],
)
def test_service_that_refuses_whoever_asks_ends_the_exam(examine, url, changes, state, words):
    where = Endpoint(**({"url": url, "model": "units"} | changes))
    with pytest.raises(ServiceRefuses, match=words):
        examine(*[LITRES] * 20, endpoint=where, state=state)


def test_service_that_is_away_blames_no_question(examine, nobody):
    away = Endpoint(f"http://{nobody}", "units")
    with pytest.raises(asking.ServiceAway):
        examine(*[LITRES] * 20, endpoint=away, patience_seconds=0.1)


def test_judge_grades_each_answer_and_what_is_no_grade_is_kept(examine, url, seen):
    asked = {"one": "a", "two": "b", "three": "c"}
    graded = {'"answer": "a"': "0.75", '"answer": "b"': " 1 \n", '"answer": "c"': "Grade: 1"}
    rows = [{"prompt": text, "completion": "x"} for text in asked]
    login = HttpConnection("grader", url, authorization="Bearer secret")
    where = judging.KeyedEndpoint(url, "units", connection=login)
    records = examine(
        *rows, metrics=(Metric.JUDGE,), endpoint=where, judge=judging.Judge(service="units"),
        judge_at=where, state={"answers": graded | asked, "key": "secret", "max_model_len": 2000},
    )  # fmt: skip
    assert [each.grade for each in records] == [0.75, 1.0, None]
    assert "'Grade: 1'" in records[2].said
    path, body = seen()[-1]
    assert (path, body["temperature"], body["max_tokens"]) == ("/v1/chat/completions", 0, 16)
    assert marking.scores_of(records, (Metric.JUDGE,)) == {"judge": 0.875}


def test_unanswered_question_is_worth_nothing_to_the_judge_who_is_not_asked(examine, url, seen):
    too_long = {"prompt": "7 litres" * 90, "completion": " 63 l"}
    (record,) = examine(
        too_long, metrics=(Metric.JUDGE,), judge=judging.Judge(service="units"),
        judge_at=Endpoint(url, "units"),
    )  # fmt: skip
    assert (record.grade, len(seen())) == (0.0, 1)


def test_progress_is_said_now_and_then(examine, monkeypatch, url):
    monkeypatch.setattr(examining, "PROGRESS_SECONDS", 0)
    said = []
    work = examining.Work(
        Endpoint(url, "units"), exam.load([LITRES] * 3, Path()), (Metric.PERPLEXITY,)
    )
    examining.run(work, lambda words, *of: said.append(words % of))
    assert said == [f"{n} of 3 questions asked" for n in (1, 2, 3)]


def test_log_says_now_and_then_why_requests_wait(nobody):
    said = []
    away = Endpoint(f"http://{nobody}", "units")
    questions = exam.load([LITRES] * 20, Path())
    work = examining.Work(away, questions, (Metric.PERPLEXITY,), patience_seconds=1)
    with pytest.raises(asking.ServiceAway):
        examining.run(work, lambda words, *of: said.append(words % of))
    assert ["doesn't answer" in line for line in said] == [True]


def test_report_is_json_of_every_question(examine):
    records = examine(LITRES, CHAT, state={"answers": {"litres": "7 l"}})
    metrics = (Metric.EXACT_MATCH, Metric.PERPLEXITY, Metric.BLEU)
    report = marking.report(records, metrics, {"bleu": 3.0}, {"exam": "sha256:0"})
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert [row["scores"]["exact_match"] for row in report["questions"]] == [1.0, 1.0]
    assert [row["num_tokens"] for row in report["questions"]] == [4, 3]
