"""What admission can't know is a condition with a reason: taken by all, refused by the plan.

The planners judge the object as the API server returned it.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead_admission import fields, scratch, tables
from fairlead_api import manifest, names
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService
from fairlead_operator.finetune import options as training
from fairlead_operator.finetune import plan as finetune
from fairlead_operator.plan import Observed
from fairlead_operator.serving import options as serving
from fairlead_operator.serving import plan as serve

pytestmark = pytest.mark.cluster

TABLES = Path(__file__).parent
MINIMAL = tables.read(TABLES).minimal
ROWS = tables.load(TABLES / "later.yaml")["rows"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLAIM = {"metadata": {"name": "store"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
WORLD = Observed(claims={"store": CLAIM})


def planned(body):
    """The conditions that the operator's plan gives the object, by type."""
    body = body | {"apiVersion": names.API_VERSION}
    if body["kind"] == names.FINETUNEJOB:
        options = training.Options(trainer_image="t:1")
        plan = finetune.plan(FineTuneJob.read(body), WORLD, NOW, options)
    else:
        plan = serve.plan(ModelService.read(body), WORLD, NOW, serving.Options(image="s:1"))
    return {condition["type"]: condition for condition in plan.status["conditions"]}


@pytest.mark.parametrize("row", [pytest.param(row, id=row["id"]) for row in ROWS])
def test_what_admission_cannot_know_is_a_condition(wire, in_scratch, row):
    body = tables.changed(MINIMAL[row["kind"]], row["change"])
    assert fields.faults(body) == [*manifest.faults(body)] == []
    answer = scratch.offer(wire, in_scratch(body))
    assert answer.accepted, answer.message
    found = planned(answer.body)[row["condition"]]
    assert (found["status"], found["reason"]) == ("False", row["reason"])
    assert row["says"] in found["message"]


def test_what_is_refused_by_none_of_the_rows_is_admitted(wire, in_scratch):
    for kind, type_ in (("FineTuneJob", "Admitted"), ("ModelService", "Progressing")):
        answer = scratch.offer(wire, in_scratch(MINIMAL[kind]))
        found = planned(answer.body)[type_]
        assert found["status"] == "True", found
