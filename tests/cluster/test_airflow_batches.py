"""The task that asks a served model, against a real API server; the test writes the status.

What answers is the stand-in server of the fast tests, in a process of its own.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from airflow.sdk.exceptions import AirflowFailException

from fairlead_airflow import generation, hooks, jsonl
from fairlead_airflow.endpoint import NotServing
from fairlead_airflow.operators import BatchGenerateOperator, FilterAnswersOperator
from fairlead_api import names

pytestmark = pytest.mark.cluster

PATIENCE_SECONDS = 120
STAND_IN = Path(__file__).parents[1] / "airflow" / "stand_in_server.py"


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
        yield f"http://127.0.0.1:{int(started.stdout.readline())}"
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


@pytest.fixture
def task(tmp_path):
    def make(*texts, **changes):
        with jsonl.Output(tmp_path / "prompts.jsonl") as prompts:
            for line, text in enumerate(texts, 1):
                prompts.write({"id": f"p{line}", "line": line, "prompt": text})
        given = {
            "service": "units", "prompts": str(prompts.path), "folder": str(tmp_path / "day"),
            "patience_seconds": 30,
        }  # fmt: skip
        return BatchGenerateOperator(task_id="generate", **(given | changes))

    return make


def read(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_answers_are_written_and_the_result_is_small(service, task, tmp_path):
    found = task("one", "too long", "two", concurrency="2", max_tokens="16").execute({})
    folder = tmp_path / "day" / f"{service.namespace}.units"
    assert found == {
        "service": f"{service.namespace}/units",
        "model": "pvc://work/base",
        "num_prompts": 3,
        "num_answers": 2,
        "num_resumed": 0,
        "num_errors": 1,
        "answers": str(folder / "answers.jsonl"),
        "errors": str(folder / "errors.jsonl"),
    }
    assert [row["answer"] for row in read(found["answers"])] == ["ONE", "TWO"]
    assert [row["id"] for row in read(found["errors"])] == ["p2"]
    accepted = FilterAnswersOperator(task_id="filter", answers=found["answers"]).execute({})
    assert accepted["num_accepted"] == 2


def test_task_that_is_run_again_asks_nothing_again_unless_the_model_changed(
    service, task, tell, url
):
    task("one", "two").execute({})
    assert task("one", "two").execute({})["num_resumed"] == 2
    tell(model={"uri": "pvc://work/better"})
    found = task("one", "two").execute({})
    assert (found["model"], found["num_resumed"]) == ("pvc://work/better", 0)
    counts = httpx.get(f"{url}/counts", timeout=PATIENCE_SECONDS).json()
    assert counts["answered"] == {"one": 2, "two": 2}


def test_model_that_changes_while_it_is_asked_fails_the_task(service, task, tell, url, tmp_path):
    httpx.post(f"{url}/control", json={"delay_seconds": 1}, timeout=PATIENCE_SECONDS)
    prompts = (f"prompt {n}" for n in range(400))  # 100 s, of which it needs few
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(task(*prompts, concurrency=4).execute, {})
        while not httpx.get(f"{url}/counts", timeout=PATIENCE_SECONDS).json()["answered"]:
            assert not running.done()
        tell(model={"uri": "pvc://work/better"})
        httpx.post(f"{url}/control", json={"delay_seconds": 0}, timeout=PATIENCE_SECONDS)
        with pytest.raises(generation.ModelChanged, match=r"pvc://work/base .*pvc://work/better"):
            running.result(PATIENCE_SECONDS)
    assert not list(tmp_path.rglob("answers.jsonl"))
    assert not list(tmp_path.rglob("journal-*"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"model": None}, "serves no model yet"),
        ({"candidate": "units-2"}, "revision units-2 is on its way"),
        ({"url": ""}, "no url yet"),
    ],
    ids=["no model", "rollout", "no address"],
)
def test_service_that_cant_be_asked_yet_is_named(service, task, tell, status, words):
    tell(**status)
    with pytest.raises(NotServing, match=words):
        task("one").execute({})


def test_service_that_is_not_there_is_named(team, task):
    with pytest.raises(NotServing, match="modelservice/absent is not there"):
        task("one", service="absent").execute({})


def test_refused_prompt_fails_the_task_for_good_where_that_is_wanted(service, task):
    with pytest.raises(AirflowFailException, match=r"prompt 'p2' \(line 2\).*4096 tokens"):
        task("one", "too long", on_error="fail").execute({})


def test_share_of_refused_prompts_may_be_changed(service, task):
    with pytest.raises(generation.TooManyRefused, match="1 of 2 .* more than 10%"):
        task("one", "too long", max_errors=0.1).execute({})
