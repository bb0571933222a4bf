"""Progress is believed from a job's own pods only, and written sparingly."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import TestClient, TestServer

from fairlead_api import names
from fairlead_api.finetunestatus import Progress
from fairlead_operator import doorkeeper, kube, progress, progresswriter
from fairlead_operator.doorkeeper import POD_NAME, POD_UID, Doorkeeper
from fairlead_operator.progress import Report, TrainerStatus, progress_of
from fairlead_operator.progresswriter import Writer
from fairlead_operator.testing import Fault

PLACE = ("team", "tune")
PATH = names.progress_path(*PLACE)
REPORT = {
    "trainerStatus": {
        "lastUpdatedTime": "2026-01-01T00:00:00+00:00",
        "progressPercentage": 40,
        "estimatedRemainingSeconds": 90,
        "metrics": [
            {"name": "current_step", "value": "40"},
            {"name": "total_steps", "value": "100"},
            {"name": "loss", "value": "1.5"},
            {"name": "learning_rate", "value": "0.0002"},
            {"name": "current_epoch", "value": "0.4"},
        ],
    }
}


class Counts:
    def __init__(self):
        self.codes, self.outcomes = [], []

    def reported(self, code):
        self.codes.append(code)

    def wrote_progress(self, outcome):
        self.outcomes.append(outcome)


@pytest.fixture
def counts():
    return Counts()


@pytest.fixture
def writer(world, counts):
    return Writer(world.cluster, world.store, counts, job_seconds=3600, writes_per_second=10_000)


def review(**status):
    """Makes TokenReviews answer with this status."""
    good = {
        "authenticated": True,
        "audiences": [names.PROGRESS_AUDIENCE],
        "user": {
            "username": "system:serviceaccount:team:default",
            "extra": {POD_NAME: ["tune-train-a1-0-x"], POD_UID: ["pod-uid"]},
        },
    }
    return good | status


@pytest.fixture
def reviews(world, monkeypatch):
    """The answer of the next TokenReviews; counts them."""
    answer = {"status": review(), "count": 0, "error": None}
    create = world.cluster.create

    async def reviewed(manifest):
        if manifest["kind"] != "TokenReview":
            return await create(manifest)
        answer["count"] += 1
        answer["spec"] = manifest["spec"]
        if answer["error"]:
            raise answer["error"]
        return manifest | {"status": answer["status"]}

    monkeypatch.setattr(world.cluster, "create", reviewed)
    return answer


def pod(job="tune", uid="pod-uid", name="tune-train-a1-0-x"):
    labels = {names.LABEL_FINETUNEJOB: job, names.LABEL_MANAGED_BY: names.MANAGED_BY}
    head = {"name": name, "namespace": "team", "uid": uid, "resourceVersion": "1"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": head | {"labels": labels}}


@pytest.fixture
async def client(world, writer, counts, reviews):
    world.store.put(kube.POD, pod())
    app = progress.app(Doorkeeper(world.cluster, world.store), writer, counts)
    async with TestClient(TestServer(app)) as client:
        yield client


HEADERS = {"Authorization": "Bearer token"}


@pytest.mark.parametrize(
    ("metric", "field", "told", "shown"),
    [
        ("loss", "loss", "0.06258489489555359", 0.06258),
        ("loss", "loss", "0.0", 0.0),
        ("learning_rate", "learning_rate", "1.9801980198019803e-05", 1.98e-05),
        ("tokens_per_second", "tokens_per_second", "1234.5678", 1235.0),
        ("current_epoch", "epoch", "0.9803921568627451", 0.9804),
        ("current_step", "step", "1234567", 1234567),
        ("total_steps", "total_steps", "1234567", 1234567),
    ],
)
def test_measured_numbers_are_told_to_four_digits_and_counts_whole(metric, field, told, shown):
    status = TrainerStatus(metrics=[{"name": metric, "value": told}])
    assert getattr(progress_of(status, datetime.now(UTC)), field) == shown


async def test_a_report_of_the_jobs_own_pod_is_taken(client, writer, counts, reviews):
    answer = await client.post(PATH, json=REPORT, headers=HEADERS)
    assert (answer.status, counts.codes) == (200, [200])
    assert writer._newest[PLACE].step == 40
    assert reviews["spec"] == {"token": "token", "audiences": [names.PROGRESS_AUDIENCE]}


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        pytest.param({"authenticated": False}, 401, "not valid for audience", id="not-a-token"),
        pytest.param({"audiences": ["other"]}, 401, "not valid for audience", id="audience"),
        pytest.param({"user": {"username": "admin"}}, 401, "not valid", id="a-person"),
        pytest.param(
            {"user": {"username": "system:serviceaccount:team:default"}},
            403,
            "not of a pod",
            id="no-pod-in-it",
        ),
        pytest.param(
            {
                "user": {
                    "username": "system:serviceaccount:rival:default",
                    "extra": {POD_NAME: ["p"], POD_UID: ["pod-uid"]},
                }
            },
            403,
            "in namespace team",
            id="another-namespace",
        ),
        pytest.param(
            {
                "user": {
                    "username": "system:serviceaccount:team:default",
                    "extra": {POD_NAME: ["tune-train-a1-0-x"], POD_UID: ["earlier"]},
                }
            },
            403,
            "no pod of FineTuneJob tune",
            id="a-pod-before-of-that-name",
        ),
        pytest.param(
            {
                "user": {
                    "username": "system:serviceaccount:team:default",
                    "extra": {POD_NAME: ["rival-0"], POD_UID: ["rival-uid"]},
                }
            },
            403,
            "no pod of FineTuneJob tune",
            id="a-pod-of-another-job",
        ),
    ],
)
async def test_others_are_turned_away(client, world, writer, reviews, status, code, text):
    world.store.put(kube.POD, pod("rival", "rival-uid", "rival-0"))
    reviews["status"] = review(**status)
    answer = await client.post(PATH, json=REPORT, headers=HEADERS)
    assert answer.status == code
    assert text in await answer.text()
    assert writer._newest == {}


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Basic dXNlcg=="}, {"Authorization": "Bearer"}],
    ids=["none", "basic", "no-token"],
)
async def test_without_a_token_nobody_is_asked(client, reviews, headers):
    answer = await client.post(PATH, json=REPORT, headers=headers)
    assert (answer.status, reviews["count"]) == (401, 0)


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        pytest.param(b"{", 400, "Invalid JSON", id="no-json"),
        pytest.param(b"{}", 400, "trainerStatus: Field required", id="no-status"),
        pytest.param(
            b'{"trainerStatus": {"progressPercentage": 101}}',
            400,
            "trainerStatus.progressPercentage",
            id="more-than-all",
        ),
        pytest.param(b" " * (progress.MAX_BODY_BYTES + 1), 413, "size", id="too-long"),
    ],
)
async def test_a_broken_report_is_answered_with_what_is_wrong(
    client, writer, counts, body, code, text
):
    answer = await client.post(PATH, data=body, headers=HEADERS)
    assert (answer.status, counts.codes) == (code, [code])
    assert text in await answer.text()
    assert writer._newest == {}


async def test_an_api_server_that_cannot_be_asked_is_not_a_refusal(client, reviews):
    reviews["error"] = kube.Unavailable("down", 503)
    answer = await client.post(PATH, json=REPORT, headers=HEADERS)
    assert answer.status == 503


@pytest.mark.parametrize("authenticated", [True, False])
async def test_the_answer_about_a_token_is_remembered_for_a_minute(
    world, reviews, authenticated, client
):
    reviews["status"] = review(authenticated=authenticated)
    for _ in range(3):
        await client.post(PATH, json=REPORT, headers=HEADERS)
    assert reviews["count"] == 1


async def test_a_pod_that_the_cache_does_not_show_yet_is_asked_for(world, client, reviews):
    world.store.drop(kube.POD, "team", "tune-train-a1-0-x", "pod-uid")
    world.cluster._objects[kube.POD]["team", "tune-train-a1-0-x"] = progress_object(pod())
    answer = await client.post(PATH, json=REPORT, headers=HEADERS)
    assert answer.status == 200


def progress_object(manifest):
    from fairlead_operator.testing import _Object

    return _Object(manifest)


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(
            REPORT["trainerStatus"],
            {"step": 40, "totalSteps": 100, "percent": 40, "loss": 1.5, "epoch": 0.4}
            | {"learningRate": 0.0002, "eta": "1m30s"},
            id="in-between",
        ),
        pytest.param(
            {"progressPercentage": 0, "metrics": [{"name": "total_steps", "value": "9"}]},
            {"step": 0, "totalSteps": 9, "percent": 0, "eta": ""},
            id="the-first",
        ),
        pytest.param(
            {
                "progressPercentage": 100,
                "estimatedRemainingSeconds": 0,
                "metrics": [{"name": "train_loss", "value": "0.5"}],
            },
            {"percent": 100, "loss": 0.5, "eta": "0s"},
            id="the-last",
        ),
        pytest.param(
            {"metrics": [{"name": "loss", "value": "nan"}, {"name": "x", "value": "text"}]},
            {"percent": 0},
            id="not-a-number",
        ),
    ],
)
def test_a_report_is_told_in_the_words_of_the_status(status, expected):
    told = progress_of(TrainerStatus.model_validate(status), NOW).as_object()
    assert told.items() >= expected.items()
    if "loss" not in expected:
        assert "loss" not in told


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m59s"), (7290, "2h1m")],
)
def test_time_left_is_short(seconds, text):
    assert progress._eta(seconds) == text


def at(percent=40, seconds=0.0):
    moment = NOW + timedelta(seconds=seconds)
    status = Report.model_validate(REPORT).trainer_status
    return progress_of(status.model_copy(update={"progress_percentage": percent}), moment)


async def settle(writer, done):
    """Run the writer until ``done``."""
    running = asyncio.create_task(writer.forever())
    async with asyncio.timeout(30):
        while not done():
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_the_first_report_is_written_at_once_and_the_next_waits(world, job, writer, counts):
    key = await world.make(job)
    writer.put(PLACE, at())
    await settle(writer, lambda: counts.outcomes)
    writer.put(PLACE, at(50))
    assert writer._due(PLACE, asyncio.get_running_loop().time()) > 3000
    assert (await world.live(key))["status"]["progress"]["percent"] == 40


async def test_the_last_report_does_not_wait(world, job, writer, counts):
    key = await world.make(job)
    writer.put(PLACE, at())
    await settle(writer, lambda: counts.outcomes)
    writer.put(PLACE, at(100, seconds=5))
    await settle(writer, lambda: len(counts.outcomes) == 2)
    assert (await world.live(key))["status"]["progress"]["percent"] == 100


def seconds_to_wait(writer):
    now = asyncio.get_running_loop().time()
    return writer._due(PLACE, now) - now


async def test_the_last_report_is_the_last_only_once(world, job, writer, counts):
    await world.make(job)
    writer.put(PLACE, at(100))
    await settle(writer, lambda: counts.outcomes)
    writer.put(PLACE, at(100, seconds=5))
    assert seconds_to_wait(writer) > 3000


async def test_the_next_attempts_last_report_does_not_wait_either(world, job, writer, counts):
    await world.make(job)
    for number, percent in enumerate((100, 5)):
        writer.put(PLACE, at(percent, seconds=number))
        await writer.flush()
    writer.put(PLACE, at(100, seconds=9))
    assert seconds_to_wait(writer) == 0


async def test_of_many_reports_only_the_newest_is_written(world, job, counts):
    await world.make(job)
    writer = Writer(world.cluster, world.store, counts, job_seconds=0.05)
    for percent in range(10):
        writer.put(PLACE, at(percent, seconds=percent))
    await settle(writer, lambda: counts.outcomes)
    assert world.cluster.writes() == [("apply", "FineTuneJob", "tune")]


async def test_a_job_whose_reports_wait_is_read_once_a_version(world, job, writer, monkeypatch):
    """It may hold half a megabyte of rows, and its pods report every few seconds."""
    key = await world.make(job)
    reads, get = [], world.store.get
    monkeypatch.setattr(world.store, "get", lambda *of: reads.append(of) or get(*of))
    for number in range(20):
        writer.put(PLACE, at(number, seconds=number))
        writer._due(PLACE, float(number))
        writer._forget(float(number))
    assert len(reads) == 1
    world.cluster.edit(await world.live(key), status={"phase": "Training"})
    writer._due(PLACE, 20.0)
    assert len(reads) == 2


async def test_reports_of_many_jobs_are_spread(world, job, counts):
    writer = Writer(world.cluster, world.store, counts, writes_per_second=50)
    for number in range(10):
        await world.make(job | {"metadata": {"name": f"j{number}", "namespace": "team"}})
        writer.put(("team", f"j{number}"), at())
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await settle(writer, lambda: len(counts.outcomes) == 10)
    assert loop.time() - begin >= 9 / 50


@pytest.mark.parametrize(("theirs", "ours"), [(60, 40), (100, 100)])
async def test_another_replicas_write_counts_too(world, job, writer, counts, theirs, ours):
    key = await world.make(job)
    told = {"progress": {"percent": theirs, "lastUpdateTime": datetime.now(UTC).isoformat()}}
    world.cluster.edit(await world.live(key), status=told)
    writer.put(PLACE, at(ours))
    assert writer._due(PLACE, asyncio.get_running_loop().time()) > 3000
    await writer.flush()
    assert counts.outcomes == ["superseded"]
    assert (await world.live(key))["status"]["progress"]["percent"] == theirs


async def test_what_waits_is_written_before_the_process_ends(world, job, writer, counts):
    key = await world.make(job)
    writer.put(PLACE, at())
    await settle(writer, lambda: counts.outcomes)
    writer.put(PLACE, at(70, seconds=60))
    await writer.flush()
    assert (await world.live(key))["status"]["progress"]["percent"] == 70


@pytest.mark.parametrize("gone", ["never-seen", "deleted-meanwhile"])
async def test_progress_of_a_job_that_is_gone_is_dropped(world, job, writer, counts, gone):
    if gone == "deleted-meanwhile":
        key = await world.make(job)
        world.cluster.deafen()
        uid = (await world.live(key))["metadata"]["uid"]
        await world.cluster.delete(key.kind, *PLACE, uid)
    writer.put(PLACE, at())
    await settle(writer, lambda: counts.outcomes)
    assert counts.outcomes == ["gone"]
    assert world.cluster.all(kube.FINETUNEJOB) == []


REFUSALS = [
    pytest.param(kube.Invalid("422: unknown field", 422), id="invalid"),
    pytest.param(kube.Forbidden("403: no right", 403), id="forbidden"),
]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("percent", [40, 100])
async def test_a_write_that_is_refused_is_dropped_with_one_line_a_job(
    world, job, counts, caplog, refusal, percent
):
    await world.make(job)
    world.cluster.faults.append(Fault("apply", kube.FINETUNEJOB, refusal, times=3))
    writer = Writer(world.cluster, world.store, counts, job_seconds=0.01)
    for number in range(3):
        writer.put(PLACE, at(percent, seconds=number))
        await settle(writer, lambda done=number + 1: len(counts.outcomes) == done)
        assert writer._newest == {}
    lines = [record.getMessage() for record in caplog.records]
    assert [str(refusal) in line for line in lines] == [True]
    assert "FineTuneJob team/tune" in lines[0]


async def test_a_refusal_is_told_again_after_a_write_that_was_taken(world, job, counts, caplog):
    await world.make(job)
    writer = Writer(world.cluster, world.store, counts, job_seconds=0.01)
    for number in range(3):
        if number != 1:
            refusal = kube.Forbidden("403: no right", 403)
            world.cluster.faults.append(Fault("apply", kube.FINETUNEJOB, refusal))
        writer.put(PLACE, at(40, seconds=number))
        await settle(writer, lambda done=number + 1: len(counts.outcomes) == done)
    assert counts.outcomes == ["refused", "written", "refused"]
    assert len(caplog.records) == 2


async def test_refusals_of_jobs_that_are_gone_are_forgotten(world, job, counts):
    key = await world.make(job)
    refusal = kube.Forbidden("403: no right", 403)
    world.cluster.faults.append(Fault("apply", kube.FINETUNEJOB, refusal))
    writer = Writer(world.cluster, world.store, counts, job_seconds=0.01)
    writer.put(PLACE, at())
    await settle(writer, lambda: counts.outcomes)
    await world.cluster.delete(key.kind, *PLACE, (await world.live(key))["metadata"]["uid"])
    writer._forget(asyncio.get_running_loop().time())
    assert writer._refused == set()


@pytest.mark.parametrize("percent", [40, 100])
async def test_a_write_that_failed_waits_for_its_jobs_next_turn(
    world, job, writer, counts, percent
):
    await world.make(job)
    down = kube.Unavailable("down", 503)
    world.cluster.faults.append(Fault("apply", kube.FINETUNEJOB, down, times=9))
    writer.put(PLACE, at(percent))
    await settle(writer, lambda: counts.outcomes)
    assert counts.outcomes == ["failed"]
    assert seconds_to_wait(writer) > 3000


async def test_a_write_that_failed_is_made_again(world, job, counts):
    await world.make(job)
    down = kube.Unavailable("down", 503)
    world.cluster.faults.append(Fault("apply", kube.FINETUNEJOB, down))
    writer = Writer(world.cluster, world.store, counts, job_seconds=0.01)
    writer.put(PLACE, at())
    await settle(writer, lambda: "written" in counts.outcomes)
    assert counts.outcomes == ["failed", "written"]


async def test_the_operators_part_of_the_status_is_left_alone(world, job, writer, counts):
    key = await world.make(job)
    await world.drain()
    writer.put(PLACE, at())
    await settle(writer, lambda: counts.outcomes)
    assert (await world.live(key))["status"]["phase"] == "Made"


async def test_made_up_tokens_cannot_fill_the_memory(world, reviews, monkeypatch):
    monkeypatch.setattr(doorkeeper, "_MOST_REMEMBERED", 3)
    keeper = Doorkeeper(world.cluster, world.store)
    for number in range(10):
        await keeper._caller(f"token-{number}")
    assert len(keeper._callers) == 3


def without_steps(percent):
    return Progress(percent=percent, loss=0.5, last_update_time=NOW)


@pytest.mark.parametrize(
    ("before", "last", "step", "total"),
    [
        (Progress(step=8, total_steps=10), without_steps(100), 10, 10),
        (Progress(step=8, total_steps=10), without_steps(85), 8, 10),
        (Progress(step=8, total_steps=10), Progress(step=2, total_steps=20), 2, 20),
        (None, without_steps(100), 0, 0),
    ],
    ids=["the last report", "one without steps", "another run", "the first report"],
)
def test_report_without_steps_keeps_those_told_before(writer, before, last, step, total):
    if before is not None:
        writer.put(PLACE, before)
    writer.put(PLACE, last)
    kept = writer._newest[PLACE]
    assert (kept.step, kept.total_steps) == (step, total)


async def test_steps_that_stand_in_the_status_are_kept_too(world, job, writer, counts):
    await world.make(job)
    writer.put(PLACE, Progress(step=8, total_steps=10, percent=80, last_update_time=NOW))
    await settle(writer, lambda: counts.outcomes)
    assert PLACE not in writer._newest
    writer.put(PLACE, without_steps(100))
    assert writer._newest[PLACE].step == 10


def theirs(seconds, percent=60):
    """What another replica writes, of a report made then."""
    moment = NOW + timedelta(seconds=seconds)
    return {"progress": {"percent": percent, "lastUpdateTime": moment.isoformat()}}


async def unheard(world, key, **fields):
    """Change the job without this replica's watch telling of it."""
    listeners, world.cluster._listeners = world.cluster._listeners, []
    edited = world.cluster.edit(await world.live(key), **fields)
    world.cluster._listeners = listeners
    return edited


async def test_older_report_never_follows_a_later_one_of_which_the_watch_lags(
    world, job, writer, counts
):
    key = await world.make(job)
    await unheard(world, key, status=theirs(seconds=9, percent=100))
    writer.put(PLACE, at(97, seconds=8))
    await settle(writer, lambda: counts.outcomes)
    assert counts.outcomes == ["superseded"]
    assert (await world.live(key))["status"]["progress"]["percent"] == 100


async def test_two_replicas_share_a_jobs_turn(world, job, writer, counts):
    key = await world.make(job)
    await unheard(world, key, status=theirs(seconds=5))
    writer.put(PLACE, at(80, seconds=9))
    await settle(writer, lambda: counts.outcomes)
    assert counts.outcomes == ["postponed"]
    assert seconds_to_wait(writer) > 3000
    await writer.flush()
    assert counts.outcomes == ["postponed", "written"]
    assert (await world.live(key))["status"]["progress"]["percent"] == 80


async def test_last_report_does_not_wait_for_a_turn_that_another_replica_took(
    world, job, writer, counts
):
    key = await world.make(job)
    await unheard(world, key, status=theirs(seconds=5))
    writer.put(PLACE, at(100, seconds=9))
    await settle(writer, lambda: counts.outcomes)
    assert counts.outcomes == ["written"]
    assert (await world.live(key))["status"]["progress"]["percent"] == 100


async def test_a_turn_counts_from_when_a_write_was_noticed_not_from_when_its_report_came(
    world, job, writer, counts
):
    key = await world.make(job)
    world.cluster.edit(await world.live(key), status=theirs(seconds=-100_000))
    writer.put(PLACE, at(80))
    assert seconds_to_wait(writer) > 3000
    assert seconds_to_wait(writer) <= 3600
    await settle(writer, lambda: True)
    assert counts.outcomes == []


async def test_edit_that_the_watch_has_yet_to_tell_is_not_hidden_by_a_write(
    world, job, writer, counts
):
    key = await world.make(job)
    live = await world.live(key)
    edited = await unheard(world, key, spec=live["spec"] | {"suspend": True})
    writer.put(PLACE, at())
    await settle(writer, lambda: counts.outcomes)
    assert counts.outcomes == ["written"]
    world.intake.event(kube.FINETUNEJOB, "MODIFIED", edited)
    assert world.store.get(kube.FINETUNEJOB, *PLACE)["spec"]["suspend"]


async def test_write_that_always_loses_is_tried_again_in_its_next_turn(world, job, writer, counts):
    await world.make(job)
    busy = kube.Conflict("resourceVersion differs", 409)
    world.cluster.faults.append(Fault("apply", kube.FINETUNEJOB, busy, times=progresswriter.TRIES))
    writer.put(PLACE, at())
    await settle(writer, lambda: counts.outcomes)
    assert counts.outcomes == ["failed"]
    assert seconds_to_wait(writer) > 3000


async def test_report_that_waited_is_not_told_of_the_next_job_of_its_name(
    world, job, writer, counts
):
    key = await world.make(job)
    writer.put(PLACE, at())
    await settle(writer, lambda: counts.outcomes)
    writer.put(PLACE, at(70, seconds=5))
    await world.cluster.delete(key.kind, *PLACE, (await world.live(key))["metadata"]["uid"])
    await world.make(job)
    await writer.flush()
    assert counts.outcomes == ["written", "gone"]
    assert "progress" not in (await world.live(key)).get("status", {})


async def test_job_of_the_same_name_made_since_is_left_alone(world, job, writer, counts):
    key = await world.make(job)
    world.cluster.deafen()
    uid = (await world.live(key))["metadata"]["uid"]
    await world.cluster.delete(key.kind, *PLACE, uid)
    await world.cluster.create(job)
    writer.put(PLACE, at())
    await settle(writer, lambda: counts.outcomes)
    assert counts.outcomes == ["gone"]
    assert "status" not in await world.live(key)
