"""An evaluation against real vLLM: its perplexity is the model's own, and a chat's is its text's.

What the model really finds likely is computed by transformers in the trainer's image.
"""

import json
from types import SimpleNamespace

import pytest

from fairlead_airflow import operators
from fairlead_cluster import account

pytestmark = pytest.mark.e2e

SERVE_SECONDS = 900  # vLLM on a busy machine of two cores
READ_SECONDS = 300
CONTEXT = {"ti": SimpleNamespace(dag_id="e2e", task_id="evaluate", run_id="run-1", map_index=-1)}
TEXTS = [(f"{number} litres", f" {number} l") for number in (7, 12, 345)]
CHAT = ("? 9 kilograms! ", "9 kg")
"""A question as the base's chat template writes it, and its answer."""
LIKELIHOOD = """
import json, math, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("/storage/base")
model = AutoModelForCausalLM.from_pretrained("/storage/base", dtype=torch.float32).eval()
for texts in json.loads(sys.argv[1]):
    losses = []
    for prompt, completion in texts:
        asked, whole = tokenizer(prompt).input_ids, tokenizer(prompt + completion).input_ids
        assert whole[: len(asked)] == asked
        with torch.no_grad():
            likely = model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
        losses += [-likely[i - 1, whole[i]].item() for i in range(len(asked), len(whole))]
    print("perplexity", math.exp(sum(losses) / len(losses)), len(losses))
"""


@pytest.fixture(scope="module")
def known(shared_kube, installed, base, restricted_pod):
    """Perplexity and number of tokens of TEXTS and of CHAT, without vLLM."""
    spec = restricted_pod(
        installed.images["trainer"],
        ["python", "-c", LIKELIHOOD, json.dumps([TEXTS, [CHAT]])],
        {"/storage": {"persistentVolumeClaim": {"claimName": "storage"}}},
    )
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "likelihood"}, "spec": spec}
    shared_kube.apply(pod)
    shared_kube.wait(
        "pod", "likelihood",
        lambda found: found["status"].get("phase") in ("Succeeded", "Failed"),
        READ_SECONDS, "end",
    )  # fmt: skip
    said = shared_kube.run("logs", "likelihood", check=False)
    found = [line.split() for line in said.splitlines() if line.startswith("perplexity")]
    assert len(found) == 2, said
    return [(float(perplexity), int(num_tokens)) for _, perplexity, num_tokens in found]


@pytest.fixture(scope="module")
def examined(shared_kube, base):
    """Service "examined" of the base, answering."""
    engine = {"maxModelLen": 128, "dtype": "float32", "extraArgs": {"enforce-eager": ""}}
    shared_kube.apply(
        {
            "apiVersion": "fairlead.dev/v1alpha1",
            "kind": "ModelService",
            "metadata": {"name": "examined"},
            "spec": {
                "model": {"uri": base},
                "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
                "engine": engine,
                "limits": {"maxTokens": 100},
            },
        }
    )
    shared_kube.wait_for("modelservice", "examined", "Ready", SERVE_SECONDS)
    yield "examined"
    shared_kube.run("delete", "modelservice", "examined")


@pytest.fixture
def evaluate(installed, shared_kube, gateway_address, examined, monkeypatch, tmp_path):
    """Runs the task as an account that may edit the namespace; its result and report."""
    extra = {
        "kube_config": account.kubeconfig(
            installed.access, shared_kube.namespace, "evaluation", {}
        ),
        "namespace": shared_kube.namespace,
        "gateway_address": gateway_address,
    }
    described = json.dumps({"conn_type": "fairlead", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)

    def run(questions, **more):
        task = operators.EvaluateOperator(
            task_id="evaluate", service=examined, questions=questions, max_tokens=8,
            report=str(tmp_path), **more,
        )  # fmt: skip
        result = task.execute(CONTEXT)
        with open(result["report"]) as file:
            return result, json.load(file)["questions"]

    return run


def rows(texts):
    return [{"prompt": prompt, "completion": completion} for prompt, completion in texts]


def test_perplexity_is_the_models_own(evaluate, known):
    result, questions = evaluate(rows(TEXTS))
    perplexity, num_tokens = known[0]
    assert result["scores"]["perplexity"] == pytest.approx(perplexity, rel=1e-3)
    assert sum(each["num_tokens"] for each in questions) == num_tokens
    assert result["scores"].keys() == {"exact_match", "perplexity", "bleu"}
    assert result["num_errors"] == 0


def test_chat_is_scored_and_answered_as_the_same_text_is(evaluate, known):
    prompt, completion = CHAT
    messages = [
        {"role": "user", "content": "9 kilograms"},
        {"role": "assistant", "content": completion},
    ]
    result, (chat, text) = evaluate([{"messages": messages}, *rows([CHAT])])
    assert chat["scores"] == pytest.approx(text["scores"], rel=1e-5)
    assert chat["answer"] == text["answer"]
    assert chat["num_tokens"] == text["num_tokens"] == known[1][1]
    assert result["scores"]["perplexity"] == pytest.approx(known[1][0], rel=1e-3)


def test_question_that_does_not_fit_is_a_record(evaluate):
    too_long = {"prompt": "litres " * 30, "completion": " l"}
    result, (good, bad) = evaluate([*rows(TEXTS[:1]), too_long], max_errors=0.5)
    assert (result["num_errors"], "error" in good) == (1, False)
    assert "128 tokens" in bad["error"]
