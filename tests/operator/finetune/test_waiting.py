"""Why pods don't run, in the words of whoever holds them up."""

import pytest

from fairlead_operator.finetune import waiting


def job(completions=1, **spec):
    return {"metadata": {"name": "job-train-a1"}, "spec": {"completions": completions, **spec}}


def pod(**status):
    return {"metadata": {"name": "p-0"}, "status": status}


UNSCHEDULED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3",
}
PULLING = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}}
CREATING = {"state": {"waiting": {"reason": "ContainerCreating"}}}


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(
            (job(), [pod(conditions=[UNSCHEDULED])]), "pod p-0: Unschedulable: 0/3", id="scheduler"
        ),
        pytest.param(
            (job(), [pod(containerStatuses=[PULLING])]),
            "pod p-0: ImagePullBackOff: no such tag",
            id="image",
        ),
        pytest.param(
            (job(), [pod(containerStatuses=[CREATING])]), "pod p-0: ContainerCreating", id="kubelet"
        ),
        pytest.param((job(suspend=True), []), "is suspended: it waits in a queue", id="queue"),
        pytest.param(
            (job(3), [pod()]),
            "2 pods aren't created yet; see the events of job-train-a1",
            id="quota",
        ),
        pytest.param((job(), [pod()]), "pods are starting", id="nothing-said"),
    ],
)
def test_words_name_who_holds_up_the_pods(seen, words):
    assert words in waiting.words(*seen)


@pytest.mark.parametrize(
    ("status", "deleting", "num"),
    [
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, False, 1),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, True, 0),
        ({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, False, 0),
        ({"phase": "Succeeded"}, False, 1),
        ({"phase": "Failed"}, False, 0),
        ({}, False, 0),
    ],
)
def test_ready_are_pods_that_run_or_ran_to_their_good_end(status, deleting, num):
    meta = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
    assert waiting.num_ready([{"metadata": meta, "status": status}]) == num
