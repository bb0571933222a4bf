"""What of a FineTuneJob's status is written."""

import pytest

from fairlead_api.finetunestatus import FineTuneJobStatus, Stage, StageStatus

MOMENT = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("stage", "written"),
    [
        ({}, {"state": "Pending"}),
        ({"attempt": 2, "failures": 1}, {"state": "Pending", "attempt": 2, "failures": 1}),
        (
            {"state": "Failed", "cause": "Crashed", "message": "exit code 1"},
            {"state": "Failed", "cause": "Crashed", "message": "exit code 1"},
        ),
        ({"startTime": MOMENT}, {"state": "Pending", "startTime": MOMENT}),
    ],
    ids=["waiting", "counters", "texts", "times"],
)
def test_stage_is_written_without_zeros_and_empty_texts(stage, written):
    status = FineTuneJobStatus(stages=[StageStatus(name=Stage.TRAIN, **stage)])
    plain = status.as_object()
    assert plain["stages"] == [{"name": "Train"} | written]
    assert FineTuneJobStatus.model_validate(plain) == status
