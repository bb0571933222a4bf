"""What is wrong with pods, in the words of whoever knows it best."""

import pytest

from fairlead_api.termination import Cause, Termination
from fairlead_operator.serving import diagnosis

REFUSED = Termination(cause=Cause.ARTIFACT_REFUSED, message="weights.bin is a pickle file")


def pod(name="p", revision="x", ready="False", **status):
    conditions = [{"type": "Ready", "status": ready}, *status.pop("conditions", [])]
    return {
        "metadata": {"name": name, "labels": {"fairlead.dev/revision": revision}},
        "status": {"conditions": conditions, **status},
    }


def container(waiting=None, terminated=None, last=None):
    state = {}
    if waiting:
        state["waiting"] = {"reason": waiting, "message": f"{waiting}!"}
    if terminated:
        state["terminated"] = terminated
    return {"state": state, "lastState": {"terminated": last} if last else {}}


ENDED = {"exitCode": 67, "message": REFUSED.to_message()}
CRASHED = {"exitCode": 1, "reason": "Error", "message": "last words"}
WELL = {"exitCode": 0, "reason": "Completed"}
KILLED = {"exitCode": 137, "reason": "OOMKilled"}
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes: insufficient nvidia.com/gpu",
}


@pytest.mark.parametrize(
    ("status", "reason", "message", "final"),
    [
        ({"containerStatuses": [container(terminated=ENDED)]}, "ArtifactRefused", "pickle", True),
        (
            {"containerStatuses": [container(waiting="CrashLoopBackOff", last=ENDED)]},
            "ArtifactRefused",
            "weights.bin",
            True,
        ),
        ({"containerStatuses": [container(last=KILLED)]}, "OutOfMemory", "OOMKilled", False),
        ({"containerStatuses": [container(last=CRASHED)]}, "Unknown", "last words", False),
        (
            {"containerStatuses": [container(waiting="CrashLoopBackOff", last=WELL)]},
            "Crashed",
            "pod p: Crashed: the server ended with exit code 0",
            False,
        ),
        (
            {"containerStatuses": [container(waiting="ImagePullBackOff")]},
            "ImagePullBackOff",
            "pod p: ImagePullBackOff: ImagePullBackOff!",
            False,
        ),
        ({"conditions": [UNSCHEDULABLE]}, "Unschedulable", "insufficient nvidia.com/gpu", False),
    ],
    ids=[
        "ended",
        "crash loop",
        "out of memory",
        "no message of ours",
        "engine died",
        "image",
        "unschedulable",
    ],
)
def test_trouble_is_named(status, reason, message, final):
    found = diagnosis.trouble([pod(**status)], "x")
    assert (found.reason, found.final) == (reason, final)
    assert message in found.message


@pytest.mark.parametrize(
    "other",
    [
        pod(ready="True", containerStatuses=[container(last=ENDED)]),
        pod(revision="y", containerStatuses=[container(last=ENDED)]),
        pod(containerStatuses=[container(waiting="ContainerCreating")]),
        pod(),
        {
            **pod(containerStatuses=[container(last=ENDED)]),
            "metadata": {
                "name": "p",
                "labels": {"fairlead.dev/revision": "x"},
                "deletionTimestamp": "now",
            },
        },
    ],
    ids=["ready again", "another revision", "starting", "nothing known", "going"],
)
def test_no_trouble_is_seen_where_there_is_none(other):
    assert diagnosis.trouble([other], "x") is None


def test_the_servers_own_words_come_first():
    pods = [
        pod("a", conditions=[UNSCHEDULABLE]),
        pod("b", containerStatuses=[container(waiting="ErrImagePull")]),
        pod("c", containerStatuses=[container(last=ENDED)]),
    ]
    assert diagnosis.trouble(pods, "x").reason == "ArtifactRefused"
    assert diagnosis.trouble(pods[:2], "x").reason == "ErrImagePull"
