"""Each kind of wrong is found, and what undisturbed runs or the plan account for is not."""

import copy
import dataclasses
import json

import pytest

from fairlead_api import names
from fairlead_chaos import compare, oracle
from fairlead_chaos.faults import Kill, LoseReply, Moment, OldList, Plan, Refuse, Write
from fairlead_chaos.findings import Wrong
from fairlead_chaos.oracle import Ending
from fairlead_chaos.trace import Sent, Trace

SCENARIO = "story"
UNDISTURBED = Plan(SCENARIO)
JOB = Write("create", "jobs", "tune-train-a1")
STATUS = Write("patch", "finetunejobs/status", "tune")
CRASHED = Plan(SCENARIO, (Kill(JOB, Moment.AFTER_COMMIT),))


def end(version=1, loss=0.5):
    """Where a run ends: a job and its Job; what varies by run is given."""
    owner = {"kind": "FineTuneJob", "name": "tune", "uid": "<uid FineTuneJob/tune>"}
    return {
        "FineTuneJob/tune": {
            "metadata": {"uid": "<uid FineTuneJob/tune>", "resourceVersion": f"{version}"},
            "status": {"phase": "Succeeded", "loss": loss, "ended": "<time>", "stages": [{"a": 1}]},
        },
        "Job/tune-train-a1": {
            "metadata": {
                "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
                "ownerReferences": [owner | {"controller": True}],
            },
            "spec": {"parallelism": 2},
        },
    }


def sent(number, write, code=201, **more):
    is_new = write.verb == "create" and code == 201
    return Sent(number, write, code, float(number), 1, **({"is_new": is_new} | more))


def run(plan=UNDISTURBED, requests=None, snapshot=None, log="", **more):
    requests = [sent(1, STATUS, 200), sent(2, JOB)] if requests is None else requests
    return Ending(plan, Trace(sent=requests), snapshot or end(), log, **more)


def line(severity, message, **more):
    return json.dumps({"severity": severity, "message": message} | more) + "\n"


@pytest.fixture
def reference():
    endings = [run(snapshot=end(version, loss)) for version, loss in ((7, 0.5), (19, 0.25))]
    return oracle.learn(SCENARIO, [*endings, run(snapshot=end(7))])


def changed(change):
    found = end()
    change(found)
    return found


def gone(found):
    del found["Job/tune-train-a1"]


def strange(found):
    found["Job/tune-train-a2"] = found["Job/tune-train-a1"]


def set_status(**more):
    return lambda found: found["FineTuneJob/tune"]["status"].update(more)


def orphaned(found):
    reference = found["Job/tune-train-a1"]["metadata"]["ownerReferences"][0]
    reference["uid"] = "0b7c6b5e-0000-4000-8000-000000000001"


def unowned(found):
    del found["Job/tune-train-a1"]["metadata"]["ownerReferences"]


def finalizer(found):
    found["FineTuneJob/tune"]["metadata"]["finalizers"] = ["fairlead.dev/cleanup"]


END_STATES = [
    pytest.param(gone, "Job/tune-train-a1", id="child-missing"),
    pytest.param(strange, "Job/tune-train-a2", id="child-too-many"),
    pytest.param(set_status(phase="Failed"), "FineTuneJob/tune .status .phase", id="other-word"),
    pytest.param(
        lambda found: found["Job/tune-train-a1"]["spec"].update(parallelism=3),
        "Job/tune-train-a1 .spec .parallelism",
        id="other-number",
    ),
    pytest.param(
        lambda found: found["FineTuneJob/tune"]["status"].pop("phase"),
        "FineTuneJob/tune .status .phase",
        id="field-missing",
    ),
    pytest.param(finalizer, "FineTuneJob/tune .metadata .finalizers", id="field-too-many"),
    pytest.param(
        set_status(stages=[{"a": 1}, {"a": 1}]), "FineTuneJob/tune .status .stages[1]", id="longer"
    ),
    pytest.param(set_status(stages=[]), "FineTuneJob/tune .status .stages", id="emptied"),
    pytest.param(
        set_status(stages=[{"a": True}]), "FineTuneJob/tune .status .stages[0] .a", id="other-type"
    ),
    pytest.param(
        set_status(ended="2026-01-01T00:00:00Z"),
        "FineTuneJob/tune .status .ended",
        id="time-of-another-run",
    ),
    pytest.param(
        set_status(loss="none"), "FineTuneJob/tune .status .loss", id="masked-but-of-another-shape"
    ),
    pytest.param(set_status(loss=-1), "FineTuneJob/tune .status .loss", id="masked-but-negative"),
    pytest.param(
        lambda found: found["FineTuneJob/tune"]["status"].pop("loss"),
        "FineTuneJob/tune .status .loss",
        id="masked-but-missing",
    ),
    pytest.param(
        lambda found: found["FineTuneJob/tune"]["metadata"].update(resourceVersion=""),
        "FineTuneJob/tune .metadata .resourceVersion",
        id="masked-but-empty",
    ),
]


@pytest.mark.parametrize(("change", "where"), END_STATES)
def test_other_end_is_found(reference, change, where):
    found = oracle.judge(reference, run(CRASHED, snapshot=changed(change)))
    assert (Wrong.END_STATE, where) in {(one.wrong, one.where) for one in found}


ORPHANS = [
    pytest.param(orphaned, "Job/tune-train-a1: its owner FineTuneJob/tune is gone", id="owner"),
    pytest.param(
        unowned, "Job/tune-train-a1: it carries our label and no owner claims it", id="label"
    ),
]


@pytest.mark.parametrize(("change", "where"), ORPHANS)
def test_orphan_is_found(reference, change, where):
    found = oracle.judge(reference, run(CRASHED, snapshot=changed(change)))
    assert (Wrong.ORPHAN, where) in {(one.wrong, one.where) for one in found}


AGAIN = dataclasses.replace(JOB, nth=2)
DELETE = Write("delete", "jobs", "tune-train-a1")
OTHER = Write("delete", "jobs", "tune-train-a7")
WRITES = [
    pytest.param([sent(1, JOB), sent(2, AGAIN)], Wrong.WRITES, id="created-twice"),
    pytest.param([sent(1, STATUS, 200)], Wrong.WRITES, id="never-created"),
    pytest.param(
        [sent(1, JOB), sent(2, DELETE, 200)], Wrong.WRONG_DELETE, id="deleted-though-it-is-kept"
    ),
    pytest.param([sent(1, JOB), sent(2, OTHER, 200)], Wrong.WRITES, id="deleted-what-goes-anyway"),
    pytest.param(
        [sent(1, dataclasses.replace(JOB, verb="patch"), is_new=True), sent(2, JOB)],
        Wrong.WRITES,
        id="applied-anew",
    ),
    pytest.param(
        [sent(1, JOB), sent(2, STATUS, 200, has_effect=False)], Wrong.NO_EFFECT, id="no-effect"
    ),
]


@pytest.mark.parametrize(("requests", "wrong"), WRITES)
def test_other_writes_are_found(reference, requests, wrong):
    found = oracle.judge(reference, run(CRASHED, requests))
    assert [one.wrong for one in found] == [wrong]


LEASE = Write("update", "leases", "fairlead-operator")
LEGITIMATE = [
    pytest.param(CRASHED, [sent(1, JOB)], id="fewer-status-writes"),
    pytest.param(
        CRASHED,
        [sent(number, STATUS, 200) for number in range(1, 9)] + [sent(9, JOB)],
        id="more-status-writes",
    ),
    pytest.param(
        CRASHED, [sent(1, JOB, answered="nothing"), sent(2, AGAIN, 409)], id="create-tried-again"
    ),
    pytest.param(
        CRASHED, [sent(1, JOB, 0, answered="refused"), sent(2, AGAIN)], id="create-refused-first"
    ),
    pytest.param(CRASHED, [sent(1, JOB), sent(2, DELETE, 404)], id="delete-of-what-is-gone"),
    pytest.param(
        Plan(SCENARIO, (LoseReply(STATUS),)),
        [
            sent(1, JOB),
            sent(2, STATUS, 200, answered="lost"),
            sent(3, STATUS, 200, has_effect=False),
        ],
        id="repeat-of-what-was-not-answered",
    ),
    pytest.param(
        Plan(SCENARIO, (Kill(JOB, Moment.AFTER_COMMIT), OldList((), STATUS))),
        [sent(1, JOB), sent(2, STATUS, 200, has_effect=False)],
        id="repeat-of-what-an-old-list-did-not-show",
    ),
    pytest.param(CRASHED, [sent(1, JOB), sent(2, LEASE, 200, has_effect=False)], id="heartbeat"),
]


@pytest.mark.parametrize(("plan", "requests"), LEGITIMATE)
def test_writes_that_a_fault_may_cost_are_no_finding(reference, plan, requests):
    assert oracle.judge(reference, run(plan, requests)) == []


def test_one_lost_answer_excuses_one_repeat_only(reference):
    twice = [sent(number, STATUS, 200, has_effect=False) for number in (3, 4)]
    requests = [sent(1, JOB), sent(2, STATUS, 200, answered="lost"), *twice]
    found = oracle.judge(reference, run(Plan(SCENARIO, (LoseReply(STATUS),)), requests))
    assert [one.where for one in found] == ["request 4: patch finetunejobs/status/tune"]


def test_lost_answer_excuses_no_repeat_by_the_next_process(reference):
    repeat = dataclasses.replace(sent(3, STATUS, 200, has_effect=False), incarnation=2)
    requests = [sent(1, JOB), sent(2, STATUS, 200, answered="nothing"), repeat]
    found = oracle.judge(reference, run(Plan(SCENARIO, (LoseReply(STATUS),)), requests))
    assert [one.where for one in found] == ["request 3: patch finetunejobs/status/tune"]


def test_write_at_rest_is_found_and_a_heartbeat_is_not(reference):
    resting = (sent(0, LEASE, 200), sent(8, STATUS, 200), sent(9, STATUS, 200))
    found = oracle.judge(reference, run(CRASHED, at_rest=resting))
    assert [(one.wrong, one.where, one.found) for one in found] == [
        (Wrong.UNREST, "patch finetunejobs/status/tune", "2")
    ]


BOOM = "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'x'"
LOUD = [
    pytest.param(line("error", "oh"), "error: oh", id="error"),
    pytest.param(line("fatal", "the operator ends"), "fatal: the operator ends", id="critical"),
    pytest.param(
        line("error", "failed", exc_info=BOOM), "error: failed: KeyError: 'x'", id="traceback"
    ),
    pytest.param(
        line("info", "well", exc_info=BOOM), "info: well: KeyError: 'x'", id="quiet-traceback"
    ),
    pytest.param(
        line("error", "Task exception was never retrieved"),
        "error: Task exception was never retrieved",
        id="task-nobody-looked-after",
    ),
    pytest.param("Segmentation fault\n", "no JSON: Segmentation fault", id="no-json"),
    pytest.param(line("warn", "odd"), "warn: odd", id="unexplained-warning"),
]


@pytest.mark.parametrize(("text", "where"), LOUD)
def test_complaint_is_found_once(reference, text, where):
    found = oracle.judge(reference, run(CRASHED, log=line("info", "leads now") + text * 2))
    assert [(one.wrong, one.where) for one in found] == [(Wrong.LOG, where)]


WAITS = "has to wait for the API server: create /apis/batch/v1/namespaces/n/jobs: 429: too many"
EXPLAINED = [
    pytest.param(Plan(SCENARIO, (Refuse(JOB, 429, 4),)), 0, id="the-refused-resource"),
    pytest.param(Plan(SCENARIO, (Refuse(STATUS, 429, 4),)), 1, id="another-resource"),
    pytest.param(CRASHED, 1, id="nothing-refused"),
]


@pytest.mark.parametrize(("plan", "findings"), EXPLAINED)
def test_warning_is_excused_by_a_plan_that_refused_its_request(reference, plan, findings):
    assert len(oracle.judge(reference, run(plan, log=line("warn", WAITS)))) == findings


OF_AN_OBJECT = "has to wait: patch /api/v1/namespaces/n/services/tune-workers: 500: oh"
OBJECTS = [
    pytest.param(Write("patch", "services", "tune-workers"), 0, id="the-refused-object"),
    pytest.param(Write("patch", "services", "tune"), 1, id="another-of-its-resource"),
    pytest.param(Write("patch", "services/status", "tune-workers"), 1, id="its-status"),
]


@pytest.mark.parametrize(("refused", "findings"), OBJECTS)
def test_warning_of_another_object_is_not_excused(reference, refused, findings):
    plan = Plan(SCENARIO, (Refuse(refused, 500, 4),))
    assert len(oracle.judge(reference, run(plan, log=line("warn", OF_AN_OBJECT)))) == findings


HEARTBEATS = [
    pytest.param("lease n/fairlead-operator: no answer within 4 s", 0, id="late"),
    pytest.param("lease n/fairlead-operator: create: 403: forbidden", 1, id="refused"),
]


@pytest.mark.parametrize(("text", "findings"), HEARTBEATS)
def test_only_a_late_heartbeat_is_the_machine_s_own(reference, text, findings):
    assert len(oracle.judge(reference, run(CRASHED, log=line("warn", text)))) == findings


def test_refusal_excuses_no_error(reference):
    plan = Plan(SCENARIO, (Refuse(JOB, 429, 4),))
    assert len(oracle.judge(reference, run(plan, log=line("error", WAITS)))) == 1


def test_what_undisturbed_runs_say_too_is_no_complaint():
    endings = [
        run(log=line("warn", f"{namespace}: 12 pods"), namespace=namespace)
        for namespace in ("chaos-ab", "chaos-cd")
    ]
    reference = oracle.learn(SCENARIO, endings)
    said = run(CRASHED, log=line("warn", "chaos-ef: 9 pods"), namespace="chaos-ef")
    assert oracle.judge(reference, said) == []


def test_run_cut_short_is_one_finding_with_what_was_too_much(reference):
    requests = [sent(1, STATUS, 200), sent(2, Write("create", "jobs", "tune-train-a2"))]
    stuck = run(CRASHED, requests, changed(gone), error="never came true: complete")
    assert [(one.wrong, one.where) for one in oracle.judge(reference, stuck)] == [
        (Wrong.NEVER_SETTLED, "never came true: complete"),
        (Wrong.WRITES, "create jobs/tune-train-a2"),
    ]


def test_same_end_is_well(reference):
    assert oracle.judge(reference, run(CRASHED, snapshot=end(123456, 0.125))) == []


def test_undisturbed_runs_that_agree_are_well(reference):
    assert oracle.disagreements(reference) == []


DISAGREEING = [
    pytest.param(run(snapshot=changed(gone)), {Wrong.END_STATE}, id="object-missing"),
    pytest.param(
        run(requests=[sent(1, JOB), sent(2, AGAIN)]), {Wrong.WRITES}, id="created-more-often"
    ),
    pytest.param(run(log=line("error", "oh")), {Wrong.LOG}, id="an-error"),
    pytest.param(run(at_rest=(sent(3, STATUS, 200),)), {Wrong.UNREST}, id="unrest"),
    pytest.param(run(snapshot=changed(unowned)), {Wrong.ORPHAN}, id="an-orphan"),
    pytest.param(run(error="stuck"), {Wrong.NEVER_SETTLED}, id="never-ended"),
]


@pytest.mark.parametrize(("other", "wrongs"), DISAGREEING)
def test_undisturbed_runs_that_differ_are_told(other, wrongs):
    reference = oracle.learn(SCENARIO, [run(), other])
    assert {one.wrong for one in oracle.disagreements(reference)} == wrongs


def test_mask_never_says_that_an_object_may_be_missing():
    reference = oracle.learn(SCENARIO, [run(), run(snapshot=changed(gone))])
    found = oracle.judge(reference, run(CRASHED, snapshot=changed(gone)))
    assert [one.where for one in found] == ["Job/tune-train-a1"]


def test_leaf_may_be_missing_where_an_undisturbed_run_lacks_it():
    lacking = changed(lambda found: found["FineTuneJob/tune"]["status"].pop("loss"))
    reference = oracle.learn(SCENARIO, [run(), run(snapshot=lacking)])
    assert oracle.judge(reference, run(CRASHED, snapshot=copy.deepcopy(lacking))) == []
    assert oracle.judge(reference, run(CRASHED)) == []


def test_one_run_teaches_nothing():
    with pytest.raises(ValueError, match="1 undisturbed run"):
        oracle.learn(SCENARIO, [run()])


def test_disturbed_run_is_no_reference():
    with pytest.raises(ValueError, match="not an undisturbed run"):
        oracle.learn(SCENARIO, [run(), run(CRASHED)])


SHAPES = [
    pytest.param("pod a-x7k2p failed", "pod a-zzzzz failed", True, id="generated-suffix"),
    pytest.param("jzx7gfzk98", "p25m2c26fc", True, id="hashes"),
    pytest.param("jzx7gfzk98", "p25m2c26f", False, id="hash-or-shorter"),
    pytest.param("3 pods", "17 pods", True, id="counts"),
    pytest.param("2026-01-01T12:00:00Z", "2027-01-01T12:00:00.5Z", True, id="times"),
    pytest.param("2026-01-01T12:00:00Z", "", False, id="time-or-nothing"),
    pytest.param("Running", "Failed", False, id="words"),
    pytest.param("x" * 3 + "a" * 40, "x" * 3 + "b" * 40, False, id="no-digest"),
    pytest.param("sha256:" + "a1" * 32, "sha256:" + "b2" * 32, True, id="digests"),
    pytest.param("1", 1, False, id="text-or-number"),
    pytest.param(1, True, False, id="number-or-truth"),
    pytest.param(0.5, 7, True, id="numbers"),
    pytest.param({}, [], False, id="empty-map-or-list"),
    pytest.param({}, {"a": 1}, False, id="empty-map-or-map"),
    pytest.param([], [1], False, id="empty-list-or-list"),
    pytest.param({"a": 1}, [1], False, id="map-or-list"),
    pytest.param(None, "", False, id="nothing-or-empty"),
]


@pytest.mark.parametrize(("one", "other", "alike"), SHAPES)
def test_shapes_tell_kinds_of_values_apart(one, other, alike):
    assert (compare.shape(one) == compare.shape(other)) is alike


def varying(change):
    """Three undisturbed runs, changed by their number."""
    endings = []
    for number in range(3):
        found = end()
        change(found, number)
        endings.append(run(snapshot=found))
    return endings


def whole_job(found, number):
    found["Job/tune-train-a1"] = {"spec": {"parallelism": number}, "kept": number}


EMPTY_AT_TIMES = [
    pytest.param({"a": 1}, [], id="as-seen"),
    pytest.param({}, [], id="empty-as-seen"),
    pytest.param({"b": 1}, ["FineTuneJob/tune .status .more"], id="another-key"),
    pytest.param({"a": "x"}, ["FineTuneJob/tune .status .more"], id="another-shape"),
]


@pytest.mark.parametrize(("more", "where"), EMPTY_AT_TIMES)
def test_what_is_empty_at_times_may_hold_what_was_seen_there(more, where):
    def change(found, number):
        found["FineTuneJob/tune"]["status"].update(more={"a": 1} if number else {})

    reference = oracle.learn(SCENARIO, varying(change))
    assert oracle.disagreements(reference) == []
    found = oracle.judge(reference, run(snapshot=changed(set_status(more=more))))
    assert [one.where for one in found] == where


COVERED = [
    pytest.param(
        lambda found, number: found["Job/tune-train-a1"]["spec"].update(parallelism=number),
        ["Job/tune-train-a1 .spec"],
        id="a-spec",
    ),
    pytest.param(
        lambda found, number: found["Job/tune-train-a1"].update(spec={"a": 1} if number else {}),
        ["Job/tune-train-a1 .spec"],
        id="a-spec-that-is-empty-at-times",
    ),
    pytest.param(
        whole_job, ["Job/tune-train-a1", "Job/tune-train-a1 .spec"], id="the-whole-object"
    ),
    pytest.param(
        lambda found, number: found["FineTuneJob/tune"]["status"].update(loss=number),
        [],
        id="one-place-among-others",
    ),
]


@pytest.mark.parametrize(("change", "where"), COVERED)
def test_nothing_that_is_compared_may_vary_wholly(change, where):
    reference = oracle.learn(SCENARIO, varying(change))
    found = [one.where for one in oracle.disagreements(reference) if "varies" in one.found]
    assert found == where


def test_masks_are_counted_by_kinds_and_places():
    def change(found, number):
        found["FineTuneJob/tune"]["status"].update(loss=number, stages=[{"a": number}, {"a": -1}])
        found["FineTuneJob/other"] = {"status": {"loss": number, "stages": [], "phase": "Failed"}}

    masks = oracle.learn(SCENARIO, varying(change)).masks
    assert masks.by_kind() == {
        "FineTuneJob .status .loss": 2,
        "FineTuneJob .status .stages[0] .a": 1,
    }
