"""What the API server's refusals say to whoever reads the task's log."""

import json

import pytest

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
