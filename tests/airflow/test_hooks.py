"""What the API server's refusals say, and which of them end a task."""

import json

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from fairlead_airflow import hooks

JOB = hooks.Target("FineTuneJob", "team", "units")
ALL = hooks.Target("FineTuneJob", "team", "")
DENIED = 'finetunejobs.fairlead.dev is forbidden: User "system:serviceaccount:air:flow" cannot list'


def test_what_is_forbidden_says_both_why_and_how_to_mend_it():
    said = str(hooks.named(JOB, 403, "Forbidden", json.dumps({"message": DENIED})))
    assert said.startswith(f"finetunejob/units: {DENIED}")
    assert "namespace team may not exist" in said
    assert "kubectl create rolebinding NAME --clusterrole=edit" in said
    assert said.endswith(" --serviceaccount=NAMESPACE:ACCOUNT -n team)")


@pytest.mark.parametrize(
    ("of", "name"), [(JOB, "finetunejob/units"), (ALL, "finetunejobs")], ids=["one", "all"]
)
def test_refusal_begins_with_what_was_asked_for(of, name):
    assert str(hooks.named(of, 400, "Bad Request", '{"message": "no"}')) == f"{name}: no"


def ends_the_task(status, text=""):
    with pytest.raises(AirflowException) as raised, hooks.failing_at_once():
        raise hooks.named(JOB, status, "Reason", text)
    return isinstance(raised.value, AirflowFailException)


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_refusal_that_no_try_mends_ends_the_task(status):
    assert ends_the_task(status)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, ""),
        (409, ""),
        (403, '{"message": "forbidden: exceeded quota: jobs, requested: count/jobs=1"}'),
        (403, '{"message": "forbidden: status unknown for quota: jobs, resources: count/jobs"}'),
        (503, ""),
        (None, ""),
    ],
    ids=["credentials", "conflict", "quota", "new quota", "away", "no answer"],
)
def test_what_another_try_may_mend_is_tried_again(status, text):
    assert not ends_the_task(status, text)


def test_full_quota_is_not_told_as_a_lack_of_rights():
    full = "forbidden: exceeded quota: jobs, requested: count/jobs=1"
    said = str(hooks.named(JOB, 403, "Forbidden", json.dumps({"message": full})))
    assert said == f"finetunejob/units: {full}"
