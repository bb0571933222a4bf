"""A run's end is read once Kubernetes' controllers have counted what stands."""

import pytest

from fairlead_chaos import levels


def pod(owner="rs", *, phase="Running", ready=True, **head):
    conditions = [{"type": "Ready", "status": str(ready)}]
    return made("Pod", f"pod-of-{owner}", owner, {"phase": phase, "conditions": conditions}, **head)


def made(kind, uid, owner, status, **head):
    references = [{"controller": True, "uid": owner}] if owner else []
    head = {"name": uid, "uid": uid, "generation": 1, "ownerReferences": references} | head
    return {"kind": kind, "metadata": head, "status": status}


def job(*conditions, suspend=False, **status):
    held = [{"type": one, "status": "True"} for one in conditions]
    return made("Job", "job", "", status | {"conditions": held}) | {"spec": {"suspend": suspend}}


def replica_set(**status):
    return made("ReplicaSet", "rs", "d", {"observedGeneration": 1} | status)


def deployment(generation=1, **status):
    return made("Deployment", "d", "", {"observedGeneration": 1} | status, generation=generation)


ONE = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}
LEAVING = {"deletionTimestamp": "2026-01-01T12:00:09Z"}
CASES = [
    pytest.param([], False, id="nothing"),
    pytest.param([job(active=1, ready=1), pod("job")], False, id="counted"),
    pytest.param([job(active=1), pod("job", ready=False)], False, id="counted-not-ready"),
    pytest.param([job(active=1), pod("job")], True, id="pod-became-ready"),
    pytest.param([job(), pod("job", ready=False)], True, id="pod-is-new"),
    pytest.param([job(active=1, ready=1)], True, id="pod-is-gone"),
    pytest.param([job(), pod("job", phase="Failed", ready=False)], False, id="pod-has-ended"),
    pytest.param([job("Suspended", suspend=True)], False, id="suspended"),
    pytest.param([job(suspend=True)], True, id="to-be-suspended"),
    pytest.param([job("Suspended")], True, id="to-be-resumed"),
    pytest.param([job(), pod("job", **LEAVING)], False, id="pod-leaves"),
    pytest.param([job(terminating=1)], True, id="pod-has-left"),
    pytest.param([job(uncountedTerminatedPods={"failed": ["uid"]})], True, id="end-is-uncounted"),
    pytest.param([job(uncountedTerminatedPods={})], False, id="ends-are-counted"),
    pytest.param([job("Complete", active=1)], False, id="job-has-ended"),
    pytest.param([job("Failed", ready=1)], False, id="job-has-failed"),
    pytest.param([replica_set(**ONE), pod()], False, id="replica-set-counted"),
    pytest.param([replica_set(replicas=1), pod()], True, id="replica-became-ready"),
    pytest.param(
        [replica_set(replicas=1, readyReplicas=1), pod()], True, id="replica-to-be-available"
    ),
    pytest.param([replica_set(terminatingReplicas=1)], True, id="replica-has-left"),
    pytest.param([made("ReplicaSet", "rs", "", {})], True, id="replica-set-unseen"),
    pytest.param([deployment(**ONE), replica_set(**ONE), pod()], False, id="added-up"),
    pytest.param([deployment(), replica_set(**ONE), pod()], True, id="to-be-added-up"),
    pytest.param([deployment(**ONE)], True, id="replica-set-is-gone"),
    pytest.param([deployment(generation=2)], True, id="spec-unseen"),
    pytest.param([made("Service", "s", "", {})], False, id="of-another-kind"),
]


@pytest.mark.parametrize(("found", "expected"), CASES)
def test_what_a_controller_has_still_to_count_is_waited_for(found, expected):
    assert levels.lags(found) is expected
