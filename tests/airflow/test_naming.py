"""Names of work are stable, distinct and such that Kubernetes takes them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_airflow import naming
from fairlead_api import names

KEY = naming.TaskKey("weekly", "train.model", "scheduled__2026-01-01T00:00:00+00:00")


def test_name_says_which_task_it_is_of():
    assert re.fullmatch(r"weekly-train-model-[0-9a-f]{10}", naming.resource_name(KEY))


def test_task_that_is_run_again_has_the_same_name():
    again = naming.TaskKey(KEY.dag_id, KEY.task_id, KEY.run_id)
    assert naming.resource_name(again) == naming.resource_name(KEY)


@pytest.mark.parametrize(
    "other",
    [
        naming.TaskKey("daily", KEY.task_id, KEY.run_id),
        naming.TaskKey(KEY.dag_id, "train.models", KEY.run_id),
        naming.TaskKey(KEY.dag_id, KEY.task_id, "manual__2026-01-01T00:00:00+00:00"),
        naming.TaskKey(KEY.dag_id, KEY.task_id, KEY.run_id, 0),
        naming.TaskKey("weekly-train", "model", KEY.run_id),
    ],
    ids=["dag", "task", "run", "mapped", "same words"],
)
def test_another_task_or_run_has_another_name(other):
    assert naming.resource_name(other) != naming.resource_name(KEY)


@pytest.mark.parametrize(
    ("written", "is_same"),
    [
        (str(KEY), True),
        ("weekly/manual__1/2/train.model", True),
        ("daily/run/train.model", False),
        ("weekly/run/retrain.model", False),
        ("weekly/run/train.model/0", False),
        ("weekly/train.model", False),
        ("", False),
    ],
    ids=["same run", "another run", "dag", "task", "mapped", "no run", "nothing"],
)
def test_task_is_told_from_others_whatever_the_run(written, is_same):
    assert KEY.is_in_any_run(written) == is_same


@given(st.builds(naming.TaskKey, st.text(), st.text(), st.text(), st.integers(-1, 5)))
def test_any_name_is_one_that_the_api_server_takes(key):
    name = naming.resource_name(key)
    assert len(name) <= names.MAX_NAME_LENGTH
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
