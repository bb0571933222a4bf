"""Every end gets a name, from whatever was left to read."""

import pytest

from fairlead_api.finetunestatus import Stage
from fairlead_api.termination import EXIT_CODES, Cause, Termination
from fairlead_operator import kube
from fairlead_operator.finetune import causes
from fairlead_operator.finetune.job import failure_rules
from fairlead_operator.store import slim

TARGET = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}


def job(how="Failed", message="", reason=""):
    """A Job that ended, as the cache holds it."""
    condition = {"type": how, "status": "True", "message": message, "reason": reason}
    body = {
        "metadata": {"name": "job-train-a1", "uid": "u"},
        "spec": {"podFailurePolicy": {"rules": failure_rules()}, "template": {}},
        "status": {"conditions": [condition]},
    }
    return slim(kube.JOB, body)


def pod(cause=None, *, text=None, code=None, reason="", conditions=(), name="p", phase="Failed"):
    """A pod that ended: with our message, with a text, or with nothing but an exit code."""
    statuses = []
    if cause is not None or code is not None:
        message = text or ""
        if cause is not None and text is None:
            message = Termination(cause=cause, message=f"{cause} on {name}").to_message()
        number = EXIT_CODES[cause] if code is None else code
        terminated = {"exitCode": number, "message": message, "reason": reason}
        statuses = [{"name": "trainer", "state": {"terminated": terminated}}]
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": "node-7"},
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "containerStatuses": statuses,
        },
    }


def deleted(manifest):
    """The same pod, on its way out."""
    head = manifest["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    return manifest | {"metadata": head}


@pytest.mark.parametrize(
    ("pods", "cause"),
    [
        pytest.param([pod(Cause.PEER_LOST), pod(Cause.DIVERGED)], Cause.DIVERGED, id="peer"),
        pytest.param([pod(Cause.CRASHED), pod(Cause.USER_ERROR)], Cause.USER_ERROR, id="user"),
        pytest.param([pod(Cause.DISRUPTED), pod(Cause.PEER_LOST)], Cause.DISRUPTED, id="sigterm"),
        pytest.param([pod(code=137, reason="OOMKilled")], Cause.OUT_OF_MEMORY, id="oom-killed"),
        pytest.param([pod(code=143)], Cause.DISRUPTED, id="sigterm-code-only"),
        pytest.param([pod(code=65)], Cause.DATASET_ERROR, id="code-without-message"),
        pytest.param([pod(code=1, text="Traceback: no module")], Cause.UNKNOWN, id="log-text"),
        pytest.param([pod(code=3, text="Traceback: no module")], Cause.CRASHED, id="odd-code"),
        pytest.param([pod(conditions=[TARGET])], Cause.DISRUPTED, id="preempted-silently"),
        pytest.param(
            [pod(Cause.CRASHED, conditions=[TARGET])], Cause.DISRUPTED, id="preemption-explains"
        ),
        pytest.param(
            [pod(conditions=[TARGET]), pod(Cause.CRASHED)], Cause.DISRUPTED, id="peers-crash"
        ),
        pytest.param(
            [pod(Cause.USER_ERROR, conditions=[TARGET])], Cause.USER_ERROR, id="user-all-the-same"
        ),
        pytest.param(
            [pod(conditions=[TARGET]), pod(Cause.OUT_OF_MEMORY)], Cause.OUT_OF_MEMORY, id="oom"
        ),
        pytest.param([pod(code=137)], Cause.UNKNOWN, id="killed"),
        pytest.param([deleted(pod(code=137))], Cause.DISRUPTED, id="killed-by-its-deletion"),
        pytest.param([deleted(pod(Cause.DIVERGED))], Cause.DIVERGED, id="told-before-its-deletion"),
        pytest.param([deleted(pod(code=1))], Cause.UNKNOWN, id="failed-and-then-deleted"),
        pytest.param(
            [pod(code=1), deleted(pod(code=137))], Cause.UNKNOWN, id="peers-are-killed-by-the-job"
        ),
        pytest.param(
            [pod(code=1), deleted(pod(Cause.DISRUPTED))], Cause.UNKNOWN, id="peers-save-and-end"
        ),
        pytest.param(
            [pod(Cause.PEER_LOST), deleted(pod(code=137))], Cause.DISRUPTED, id="peers-miss-it"
        ),
        pytest.param([pod()], Cause.UNKNOWN, id="nothing-left"),
        pytest.param([], Cause.UNKNOWN, id="no-pods"),
    ],
)
def test_most_specific_end_is_the_cause(pods, cause):
    assert causes.of_attempt(Stage.TRAIN, job(), pods).cause is cause


RULES = failure_rules()


@pytest.mark.parametrize(
    ("index", "cause"),
    [(0, Cause.DISRUPTED)]
    + [
        (index, cause)
        for index, rule in enumerate(RULES)
        for cause, code in EXIT_CODES.items()
        if code in rule.get("onExitCodes", {}).get("values", [])
    ],
)
def test_job_tells_the_cause_by_the_rule_that_matched(index, cause):
    text = f"Container trainer for pod t/p failed with exit code 9 matching rule at index {index}"
    end = causes.of_attempt(Stage.TRAIN, job(message=text), [])
    assert (end.cause, end.message) == (cause, text)


@pytest.mark.parametrize(
    "text", ["Job has reached the specified backoff limit", "rule at index 99"]
)
def test_job_that_tells_nothing_is_unknown_with_its_message(text):
    end = causes.of_attempt(Stage.TRAIN, job(message=text), [])
    assert (end.cause, end.message, end.verdict) == (Cause.UNKNOWN, text, "failure")


BACKOFF = {"reason": "BackoffLimitExceeded", "message": "reached the backoff limit"}


@pytest.mark.parametrize(
    ("pods", "cause"),
    [
        pytest.param([], Cause.DISRUPTED, id="all-gone"),
        pytest.param([pod(Cause.SUCCEEDED, phase="Succeeded")], Cause.DISRUPTED, id="one-gone"),
        pytest.param([pod()], Cause.UNKNOWN, id="there-but-silent"),
    ],
)
def test_failed_pod_that_is_gone_was_deleted(pods, cause):
    """A pod deleted with --force is taken away with its end, and its peers with it."""
    end = causes.of_attempt(Stage.TRAIN, job(**BACKOFF), pods)
    assert end.cause is cause
    assert "reached the backoff limit" in end.message


def test_every_exit_code_of_ours_has_a_rule():
    told = {value for rule in RULES for value in rule.get("onExitCodes", {}).get("values", [])}
    assert told >= {code for code in EXIT_CODES.values() if code > 1}
    assert len(RULES) <= 20  # the API server's bound


def test_disruption_names_pod_node_and_reason():
    end = causes.of_attempt(Stage.TRAIN, job(), [pod(conditions=[TARGET], name="job-train-a1-0")])
    assert end.message == "pod job-train-a1-0 on node-7: PreemptionByScheduler: "


def test_log_text_of_a_crash_is_the_message():
    end = causes.of_attempt(Stage.TRAIN, job(), [pod(code=1, text="ImportError: torch")])
    assert end.message == "ImportError: torch"


def test_other_containers_say_nothing():
    sidecar = pod(Cause.USER_ERROR)
    sidecar["status"]["containerStatuses"][0]["name"] = "istio-proxy"
    assert causes.of_attempt(Stage.TRAIN, job(), [sidecar]).cause is Cause.UNKNOWN
