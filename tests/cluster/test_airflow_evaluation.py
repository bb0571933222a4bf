"""The task that examines a served model, against a real API server; the test writes the status.

What answers is a stand-in for vLLM with known likelihoods, in a process of its own.
"""

import json
import logging
import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from fairlead_airflow import asking, examining, hooks, naming
from fairlead_airflow.endpoint import NotServing
from fairlead_airflow.operators import EvaluateOperator
from fairlead_api import names

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 120
STAND_IN = Path(__file__).parents[1] / "airflow" / "stand_in_vllm.py"
ROWS = [
    {"prompt": "7 litres", "completion": "7 l"},
    {"prompt": "3 kilograms of flour", "completion": "3 kg"},
]
ANSWERS = {"litres": "7 l", "flour": "30 kg"}
CONTEXT = {"ti": SimpleNamespace(dag_id="weekly", task_id="evaluate", run_id="r1", map_index=-1)}
KEY = naming.TaskKey("weekly", "evaluate", "r1")


@pytest.fixture(autouse=True)
def connection(cluster, team, monkeypatch):
    extra = {"kube_config_path": str(cluster.kubeconfig), "namespace": team}
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)


@pytest.fixture
def url():
    started = subprocess.Popen(
        [sys.executable, STAND_IN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with started:
        there = f"http://127.0.0.1:{int(started.stdout.readline())}"
        httpx.post(f"{there}/control", json={"answers": ANSWERS}, timeout=PATIENCE_SECONDS)
        yield there
        started.stdin.close()
        started.wait(PATIENCE_SECONDS)


@pytest.fixture
def tell(kubectl, team):
    """Writes the service's status, as the operator would."""

    def told(**status):
        place = ("-n", team, "--subresource=status", "--type=merge")
        patch = json.dumps({"status": status})
        kubectl("patch", f"modelservices.{names.GROUP}", "units", *place, "-p", patch)

    return told


@pytest.fixture
def service(tell, team, url):
    """A ModelService that serves."""
    of = hooks.Target(names.MODELSERVICE, team, "units")
    hooks.FairleadHook().apply(
        {
            "apiVersion": names.API_VERSION,
            "kind": of.kind,
            "metadata": {"name": of.name, "namespace": of.namespace},
            "spec": {"model": {"uri": "pvc://work/base"}},
        }
    )
    tell(url=url, model={"uri": "pvc://work/base"})
    return of


def task(**changes):
    given = {"service": "units", "questions": ROWS, "patience_seconds": 30, "max_tokens": 16}
    return EvaluateOperator(task_id="evaluate", **(given | changes))


def test_scores_come_back_small_and_the_report_tells_all(service, tmp_path):
    found = task(report=str(tmp_path / "reports"), max_tokens="16").execute(CONTEXT)
    assert found["report"] == f"{tmp_path}/reports/{naming.resource_name(KEY)}.json"
    assert found["scores"].keys() == {"exact_match", "perplexity", "bleu"}
    assert found["scores"]["exact_match"] == 0.5
    assert found["scores"]["perplexity"] > 1
    assert (found["num_questions"], found["num_errors"]) == (2, 0)
    report = json.loads(Path(found["report"]).read_text())
    assert (report["service"], report["model"]) == (f"{service.namespace}/units", "pvc://work/base")
    assert (report["scores"], report["exam"]) == (found["scores"], found["exam"])
    assert [row["answer"] for row in report["questions"]] == ["7 l", "30 kg"]
    assert [path.name for path in (tmp_path / "reports").iterdir()] == [Path(found["report"]).name]


def test_answers_that_were_cut_off_are_told_of(service, caplog, capsys):
    with caplog.at_level(logging.INFO):
        task(max_tokens=4).execute(CONTEXT)
    assert "1 answers ended at 4 tokens: max_tokens" in caplog.text + capsys.readouterr().out


def test_questions_come_from_a_file_beside_the_dag_as_many_as_wanted(service, tmp_path):
    (tmp_path / "exam.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    with DAG("weekly", schedule=None) as dag:
        one = task(questions="exam.jsonl", at_most="1", seed=4, metrics=["exact_match"])
    dag.fileloc = str(tmp_path / "weekly.py")
    found = one.execute(CONTEXT)
    assert (found["num_questions"], found["report"]) == (1, "")
    assert found["exam"] == one.execute(CONTEXT)["exam"]
    assert found["scores"].keys() == {"exact_match"}


def test_service_grades_the_answers_of_another(service, url):
    grades = {'"answer": "7 l"': "1", '"answer": "30 kg"': "0.25"}
    state = {"answers": grades | ANSWERS, "max_model_len": 4096}
    httpx.post(f"{url}/control", json=state, timeout=PATIENCE_SECONDS)
    assert task(judge="units", metrics=[]).execute(CONTEXT)["scores"] == {"judge": 0.625}


def test_judge_behind_a_connection_is_asked_with_its_key(service, url, monkeypatch, caplog):
    described = {"conn_type": "openai", "host": f"{url}/v1", "password": "open-sesame"}
    monkeypatch.setenv("AIRFLOW_CONN_GRADER", json.dumps(described))
    httpx.post(f"{url}/control", json={"key": "open-sesame"}, timeout=PATIENCE_SECONDS)
    judge = {"connection": "grader", "model": "units", "max_unreadable": 1}
    with pytest.raises(examining.ServiceRefuses, match="no key"):  # the service knows no key
        task(judge=judge, metrics=[]).execute(CONTEXT)
    state = {"answers": {'"answer"': "Good!"} | ANSWERS, "max_model_len": 4096}
    httpx.post(f"{url}/control", json=state, timeout=PATIENCE_SECONDS)
    with pytest.raises(AirflowFailException, match="judge: nothing to make it of in 2 questions"):
        task(judge=judge, metrics=[]).execute(CONTEXT)
    assert "open-sesame" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"questions": '{"prompt": "a"}'}, r"questions: line 1: found prompt; expected"),
        ({"questions": "/nowhere/exam.jsonl"}, r"/nowhere/exam\.jsonl can't be read"),
        ({"metrics": ["rouge"]}, r"metrics\[0\]: 'rouge'"),
        ({"judge": {"service": "a", "rubrik": ""}}, r"judge\.rubrik"),
        ({"max_tokens": "many"}, "max_tokens: must be a whole number"),
        ({"at_most": 0}, "at_most: must be a whole number from 1"),
        ({"concurrency": 0}, "concurrency: must be a whole number from 1"),
        ({"max_errors": 7}, "max_errors: must be a number from 0 to 1"),
        ({"parameters": {"temperature": 1}}, "parameters: temperature can't be set here"),
        ({"report": "reports"}, "report: must be the whole path"),
    ],
    ids=[
        "row", "file", "metric", "judge", "tokens", "at most", "concurrency", "errors",
        "parameter", "report",
    ],
)  # fmt: skip
def test_what_can_not_be_meant_fails_for_good_before_anything_is_asked(
    service, url, changes, words
):
    with pytest.raises(AirflowFailException, match=words):
        task(**changes).execute(CONTEXT)
    assert httpx.get(f"{url}/seen", timeout=PATIENCE_SECONDS).json() == []


def test_too_many_refused_questions_fail_for_good_and_the_report_says_which(service, tmp_path):
    too_long = {"prompt": "7 litres" * 9, "completion": "63 l"}
    rows = [ROWS[0], too_long, too_long]
    with pytest.raises(
        AirflowFailException, match=r"2 of 3 questions were refused.*\n.*line 2: .*"
    ):
        task(questions=rows, report=str(tmp_path)).execute(CONTEXT)
    (path,) = tmp_path.iterdir()
    report = json.loads(path.read_text())
    assert (report["scores"], report["num_errors"]) == ({}, 2)
    found = task(questions=rows, max_errors=0.7).execute(CONTEXT)
    assert (found["num_errors"], found["scores"]["exact_match"]) == (2, pytest.approx(1 / 3))
    assert math.isfinite(found["scores"]["perplexity"])


def test_server_without_likelihoods_fails_for_good_where_perplexity_is_wanted(service, url):
    httpx.post(
        f"{url}/control", json={"answers": ANSWERS, "tells": False}, timeout=PATIENCE_SECONDS
    )
    with pytest.raises(AirflowFailException, match="perplexity needs vLLM"):
        task().execute(CONTEXT)
    found = task(metrics=["exact_match", "bleu"]).execute(CONTEXT)
    assert found["scores"]["exact_match"] == 0.5


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"model": None}, "serves no model yet"),
        ({"candidate": "units-2"}, "revision units-2 is on its way"),
        ({"url": ""}, "no url yet"),
    ],
    ids=["no model", "rollout", "no address"],
)
def test_service_that_can_not_be_asked_yet_may_be_asked_again(service, tell, status, words):
    tell(**status)
    with pytest.raises(NotServing, match=words):
        task().execute(CONTEXT)


def test_service_that_is_away_is_not_blamed_on_the_questions(service, tell):
    tell(url="http://127.0.0.1:9")
    with pytest.raises(asking.ServiceAway):
        task(patience_seconds=0.1).execute(CONTEXT)


def test_model_that_changes_during_the_exam_gives_no_scores(service, tell, monkeypatch):
    asked, may_end = threading.Event(), threading.Event()
    of_all = examining.run

    def slow(*given):
        asked.set()
        assert may_end.wait(PATIENCE_SECONDS)
        return of_all(*given)

    monkeypatch.setattr(examining, "run", slow)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(task().execute, CONTEXT)
        assert asked.wait(PATIENCE_SECONDS)
        tell(model={"uri": "pvc://work/better"})
        may_end.set()
        with pytest.raises(AirflowException, match=r"served pvc://work/base .*pvc://work/better"):
            running.result(PATIENCE_SECONDS)
