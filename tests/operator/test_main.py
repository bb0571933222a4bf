"""The process ends with its first part, and says why."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from fairlead_api import names
from fairlead_operator import __main__ as process
from fairlead_operator import kube
from fairlead_operator.reconcile import Outcome
from fairlead_operator.settings import Settings
from fairlead_operator.testing import Fault


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """The process sets up logging for itself; other tests must not notice."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def test_a_missing_setting_ends_it_with_the_variables_name(monkeypatch, capsys):
    monkeypatch.delenv("FAIRLEAD_NAMESPACE", raising=False)
    monkeypatch.setenv("FAIRLEAD_TRAINER_IMAGE", "t")
    monkeypatch.setenv("FAIRLEAD_SERVER_IMAGE", "s")
    assert process.main() == 2
    said = capsys.readouterr().err
    assert '"message": "not set: FAIRLEAD_NAMESPACE"' in said, "one JSON line"


@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param(None, 0, id="after-a-signal"),
        pytest.param(RuntimeError("the watch died"), 1, id="after-a-failure"),
    ],
)
def test_the_exit_code_tells_a_signal_from_a_failure(monkeypatch, capsys, end, code):
    for name in ("TRAINER_IMAGE", "SERVER_IMAGE", "NAMESPACE"):
        monkeypatch.setenv(f"FAIRLEAD_{name}", "x")

    async def run(_settings):
        if end:
            raise end

    monkeypatch.setattr(process, "run", run)
    assert process.main() == code
    assert ("the watch died" in capsys.readouterr().err) is bool(code)


def test_every_log_line_is_an_object_that_says_when_how_bad_what_and_of_whom(
    monkeypatch, capsys, world, job
):
    for name in ("TRAINER_IMAGE", "SERVER_IMAGE", "NAMESPACE"):
        monkeypatch.setenv(f"FAIRLEAD_{name}", "x")
    refusal = kube.Forbidden('create configmaps: 403: "quota" is\nexceeded', 403)
    world.cluster.faults.append(Fault("create", kube.CONFIG_MAP, refusal))

    async def run(_settings):
        key = await world.make(job)
        assert await world.reconciler.attempt(key) is Outcome.FAILED
        world.plan = None
        assert await world.reconciler.attempt(key) is Outcome.FAILED
        asyncio.get_running_loop().call_exception_handler({"message": "a task was lost"})
        raise RuntimeError("the watch died")

    monkeypatch.setattr(process, "run", run)
    assert process.main() == 1
    refused, fault, lost, end = map(json.loads, capsys.readouterr().err.splitlines())
    tune = {
        "apiVersion": names.API_VERSION,
        "kind": "FineTuneJob",
        "namespace": "team",
        "name": "tune",
    }
    assert refused["message"] == f"FineTuneJob team/tune: {refusal}"
    assert [line["severity"] for line in (refused, fault, lost, end)] == [
        "warn",
        "error",
        "error",
        "fatal",
    ]
    assert [line.get("object") for line in (refused, fault, lost, end)] == [tune, tune, None, None]
    assert "TypeError" in fault["exc_info"], "the traceback is part of the line"
    for line in (refused, fault, lost, end):
        said = datetime.fromisoformat(line["timestamp"])
        assert abs(datetime.now(UTC) - said) < timedelta(minutes=5)


async def test_the_first_part_that_fails_ends_the_others_and_is_named():
    async def fail():
        raise kube.Unavailable("the watch died", 503)

    forever = asyncio.create_task(asyncio.Event().wait())
    with pytest.raises(kube.Unavailable, match="the watch died"):
        await process._until_first([forever, asyncio.create_task(fail())])
    assert forever.cancelled()


async def test_a_part_that_ends_well_ends_the_others_too():
    forever = asyncio.create_task(asyncio.Event().wait())
    await process._until_first([forever, asyncio.create_task(asyncio.sleep(0))])
    assert forever.cancelled()


def test_every_resource_has_a_planner():
    settings = Settings(trainer_image="t", server_image="s", namespace="n")
    assert set(process.planners(settings, lambda: "")) == set(kube.PARENTS)


@pytest.mark.parametrize(
    ("context", "told"), [({"asyncgen": 1}, False), ({"message": "lost"}, True)]
)
async def test_only_watches_cut_off_on_the_way_out_are_passed_over(caplog, context, told):
    caplog.set_level(logging.ERROR, "asyncio")
    logging.getLogger("asyncio").propagate = True
    process._complain(asyncio.get_running_loop(), {"message": "x"} | context)
    assert bool(caplog.records) is told


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(kube.Unavailable("busy", 503), id="unavailable"),
        pytest.param(kube.Unauthorized("no such token yet", 401), id="unauthorized"),
    ],
)
async def test_a_start_waits_for_an_api_server_that_has_no_time(pass_time, caplog, error):
    errors = [error, error]

    async def serves():
        if errors:
            raise errors.pop()
        return True

    asking = asyncio.create_task(process.patiently("ask for our kinds", serves))
    for left in (1, 0):
        while len(errors) > left:
            await asyncio.sleep(0)
        await pass_time(process.START_POLL_SECONDS)
    assert await asking
    assert f"can't ask for our kinds yet, trying again: {error}" in caplog.text


async def test_a_start_that_is_refused_a_right_says_so_at_once():
    async def serves():
        raise kube.Forbidden("no right", 403)

    with pytest.raises(kube.Forbidden):
        await process.patiently("ask for our kinds", serves)
