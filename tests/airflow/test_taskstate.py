"""Airflow is asked whether a task is over, and whatever keeps its answer away is named."""

import asyncio
import threading

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, TaskStatesResult

from fairlead_airflow import taskstate
from fairlead_airflow.naming import TaskKey

KEY = TaskKey("weekly", "train", "run-1")
MAPPED = TaskKey("weekly", "train", "run-1", 3)


class StandInSupervisor:
    """Answers questions for states as the execution API does, without an API server."""

    def __init__(self, states=None, failure=None):
        self.states, self.failure = states, failure
        self.asked = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def send(self, question):
        self.asked.append(question)
        self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return TaskStatesResult(task_states=self.states)


@pytest.fixture
def supervisor(monkeypatch):
    """Makes a stand-in and puts it in the supervisor's place."""
    made = []

    def start(*arguments, **options):
        made.append(StandInSupervisor(*arguments, **options))
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", made[-1], raising=False)
        return made[-1]

    yield start
    for each in made:
        each.may_answer.set()


@pytest.mark.parametrize(
    ("key", "states", "state"),
    [
        (KEY, {"run-1": {"train": "deferred"}}, "deferred"),
        (KEY, {"run-1": {"train": None}}, "none"),
        (KEY, {}, "removed"),
        (KEY, {"run-2": {"train": "failed"}}, "removed"),
        (MAPPED, {"run-1": {"train_3": "failed"}}, "failed"),
        (MAPPED, {"run-1": {"train": "failed", "train_2": "failed"}}, "removed"),
    ],
    ids=["state", "not scheduled", "run deleted", "another run", "mapped", "another index"],
)
def test_answer_is_the_state_of_this_task_in_this_run(supervisor, key, states, state):
    asked = supervisor(states).asked
    assert taskstate.in_worker(key) == state
    (question,) = asked
    assert (question.dag_id, question.task_ids, question.run_ids) == (
        "weekly",
        ["train"],
        ["run-1"],
    )
    assert question.map_index == key.map_index


async def test_triggerer_asks_without_holding_up_its_loop(supervisor):
    stand_in = supervisor({"run-1": {"train": "failed"}})
    stand_in.may_answer.clear()
    asking = asyncio.create_task(taskstate.in_triggerer(KEY))
    while not stand_in.asked:
        await asyncio.sleep(0.01)
    stand_in.may_answer.set()
    assert await asking == "failed"


FAILURES = {
    "API server": AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR)),
    "socket": EOFError("Request socket closed before length"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_failure_to_ask_is_named(supervisor, failure):
    supervisor(failure=failure)
    with pytest.raises(taskstate.Unknown, match=type(failure).__name__):
        taskstate.in_worker(KEY)
    with pytest.raises(taskstate.Unknown, match=type(failure).__name__):
        await taskstate.in_triggerer(KEY)


def test_process_without_a_supervisor_knows_nothing(monkeypatch):
    monkeypatch.delattr(task_runner, "SUPERVISOR_COMMS", raising=False)
    with pytest.raises(taskstate.Unknown, match="SUPERVISOR_COMMS"):
        taskstate.in_worker(KEY)


async def test_answer_that_does_not_come_is_not_waited_for(supervisor):
    stand_in = supervisor({})
    stand_in.may_answer.clear()
    with pytest.raises(taskstate.Unknown, match=r"no answer within 0\.1 s"):
        taskstate.in_worker(KEY, 0.1)
    with pytest.raises(taskstate.Unknown, match=r"no answer within 0\.1 s"):
        await taskstate.in_triggerer(KEY, 0.1)
    stand_in.may_answer.set()  # or the loop would wait for its thread
