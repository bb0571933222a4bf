"""The first example from nothing to scores, by the demo's own steps: the models really learn."""

import random

import pytest

from fairlead_cluster.demo import example, place, story

pytestmark = [pytest.mark.e2e, pytest.mark.learning]

SEED = random.SystemRandom().randrange(10**9)
QUESTIONS = 100


@pytest.fixture(scope="module")
def where(installed):
    cache = installed.cluster.cache
    kubeconfig = installed.cluster.where.kubeconfig
    return place.Place(cache.path("kubectl"), cache.path("helm"), kubeconfig, None)


@pytest.fixture(scope="module")
def result(where, installed):
    """Both models' answers to questions that nobody saw before."""
    story.make_base(where, installed.images)
    story.train(where)
    story.serve(where)
    yield story.ask(where, story.Chosen(SEED, QUESTIONS))
    where.run("delete", "namespace", example.NAMESPACE, "--wait=false", what="clean up")


def share(answers, right):
    pairs = zip(answers, right, strict=True)
    return sum(answer == expected for answer, expected in pairs) / len(right)


def test_fine_tuned_model_answers_what_it_was_taught(result):
    assert share(result.tuned, result.questions.right) >= 0.9, f"seed {SEED}"


def test_base_does_not_know_what_only_the_training_teaches(result):
    assert share(result.base, result.questions.right) <= 0.05, f"seed {SEED}"


def test_resource_tells_what_was_made(where, result):
    path = "jsonpath={.status.artifact.uri} {.status.progress.step} {.status.phase}"
    words = ("-n", example.NAMESPACE, "get", "finetunejob", example.FINE_TUNE_JOB, "-o", path)
    uri, step, _ = where.run(*words, what="read the job").split(" ", 2)
    assert uri.startswith("pvc://demo/finetunejobs/units/")
    assert int(step) > 0
