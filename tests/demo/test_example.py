"""What the demo knows of the example agrees with the example's files."""

import random
from itertools import islice

import pytest
import yaml

from fairlead_cluster import errors
from fairlead_cluster.demo import example

DRAWN = random.SystemRandom().randrange(10**9)


@pytest.mark.parametrize("seed", [0, 7, DRAWN], ids=["0", "7", "drawn"])
def test_held_out_questions_are_not_in_the_training_data(seed):
    questions = example._questions()
    count = example._constant("NUM_EXAMPLES")
    trained = islice(questions.drawn(example.TASK, example._constant("DATA_SEED")), count)
    seen = {questions.normalise(each.text) for each in trained}
    assert len(seen) == count
    drawn = example.held_out(seed, 200)
    asked = {questions.normalise(text) for text in drawn.texts}
    assert len(asked) == 200
    assert asked & seen == set(), f"seed {seed}"


def test_seed_decides_the_questions():
    assert example.held_out(5, 20) == example.held_out(5, 20)
    assert example.held_out(5, 20) != example.held_out(6, 20)


def test_answers_fit_into_what_the_models_may_say():
    longest = max(map(len, example.held_out(1, 500).right))
    assert longest <= example.MAX_TOKENS, "a token may be one character"


def test_missing_example_says_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setattr(example, "FOLDER", tmp_path)
    with pytest.raises(errors.ClusterError, match="whole checkout"):
        example.held_out(1, 1)


def documents(name):
    return list(yaml.safe_load_all((example.FOLDER / name).read_text()))


def test_names_are_those_of_the_manifests():
    (job,) = documents("finetunejob.yaml")
    base, tuned = documents("modelservices.yaml")
    assert (job["metadata"]["name"], job["metadata"]["namespace"]) == (
        example.FINE_TUNE_JOB,
        example.NAMESPACE,
    )
    assert base["metadata"]["name"] == example.BASE_SERVICE
    assert base["spec"]["model"]["uri"] == job["spec"]["model"]["uri"]
    assert tuned["metadata"]["name"] == example.TUNED_SERVICE
    assert tuned["spec"]["model"] == {"fineTuneJobRef": {"name": example.FINE_TUNE_JOB}}


def test_image_that_the_demo_replaces_stands_in_the_manifest():
    (made,) = documents("make-base.yaml")
    assert made["metadata"]["name"] == example.BASE_JOB
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["image"] == example.IMAGE_NAME
