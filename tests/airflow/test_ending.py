"""A worker that is told to stop may be killed while it asks whether its task is over."""

import logging

import pytest

from fairlead_airflow import ending, hooks, naming, taskstate
from fairlead_airflow.ending import OnKill, Work

KEY = naming.TaskKey("daily", "train", "run-1")
OF = hooks.Target("FineTuneJob", "team", "units")


class KilledMeanwhile(BaseException):
    """SIGKILL, as far as a test can have it."""


@pytest.mark.parametrize(
    ("on_kill", "told"),
    [(OnKill.DELETE, True), (OnKill.SUSPEND, True), (OnKill.KEEP, False)],
    ids=["delete", "suspend", "keep"],
)
def test_way_to_end_it_by_hand_is_told_before_airflow_is_asked(on_kill, told, monkeypatch, caplog):
    def killed(*_):
        raise KilledMeanwhile

    monkeypatch.setattr(taskstate, "in_worker", killed)
    caplog.set_level(logging.INFO)
    try:
        ending.in_worker(None, KEY, Work(OF, "1", on_kill), logging.getLogger())
    except KilledMeanwhile:
        assert told
    assert ("kubectl -n team delete finetunejob/units" in caplog.text) == told
