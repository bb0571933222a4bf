"""Kinds have paths, refusals have names."""

import pytest

from fairlead_operator import kube


@pytest.mark.parametrize(
    ("kind", "place", "path"),
    [
        pytest.param(kube.POD, ("a", "p"), "/api/v1/namespaces/a/pods/p", id="core"),
        pytest.param(kube.JOB, ("a",), "/apis/batch/v1/namespaces/a/jobs", id="collection"),
        pytest.param(kube.JOB, (), "/apis/batch/v1/jobs", id="all-namespaces"),
        pytest.param(
            kube.FINETUNEJOB,
            ("a", "j", "status"),
            "/apis/fairlead.dev/v1alpha1/namespaces/a/finetunejobs/j/status",
            id="subresource",
        ),
        pytest.param(
            kube.TOKEN_REVIEW,
            ("a",),
            "/apis/authentication.k8s.io/v1/tokenreviews",
            id="cluster-scoped",
        ),
    ],
)
def test_a_kind_knows_where_its_objects_are(kind, place, path):
    assert kind.path(*place) == path


@pytest.mark.parametrize(
    ("status", "body", "class_"),
    [
        pytest.param(404, {"reason": "NotFound"}, kube.NotFound, id="not-found"),
        pytest.param(409, {"reason": "Conflict"}, kube.Conflict, id="conflict"),
        pytest.param(409, {"reason": "AlreadyExists"}, kube.AlreadyExists, id="exists"),
        pytest.param(403, {"reason": "Forbidden"}, kube.Forbidden, id="forbidden"),
        pytest.param(
            403,
            {"details": {"causes": [{"reason": "NamespaceTerminating"}]}},
            kube.NamespaceTerminating,
            id="namespace-terminating",
        ),
        pytest.param(401, {}, kube.Unauthorized, id="unauthorized"),
        pytest.param(410, {"reason": "Expired"}, kube.Expired, id="expired"),
        pytest.param(400, {}, kube.Invalid, id="bad-request"),
        pytest.param(422, {"reason": "Invalid"}, kube.Invalid, id="invalid"),
        pytest.param(
            422,
            {"details": {"causes": [{"field": "metadata.uid"}]}},
            kube.Conflict,
            id="another-uid",
        ),
        pytest.param(429, {}, kube.Unavailable, id="too-many"),
        pytest.param(500, {}, kube.Unavailable, id="internal"),
        pytest.param(503, {"details": None}, kube.Unavailable, id="no-details"),
        pytest.param(418, {}, kube.ClusterError, id="unheard-of"),
    ],
)
def test_a_refusal_is_named_and_keeps_its_code(status, body, class_):
    error = kube.error("create /x", status, body, 3)
    assert type(error) is class_
    assert (error.status, error.retry_after_seconds) == (status, 3)


def test_a_refusal_says_which_call_and_why():
    error = kube.error("create /api/v1/pods", 403, {"message": "exceeded quota: gpus"})
    assert str(error) == "create /api/v1/pods: 403: exceeded quota: gpus"


def test_a_kind_outside_the_table_is_refused_by_name():
    with pytest.raises(LookupError, match="apps/v1 DaemonSet is not in the operator's table"):
        kube.kind_of({"apiVersion": "apps/v1", "kind": "DaemonSet"})


@pytest.mark.parametrize(
    ("manifest", "version"),
    [
        pytest.param({"metadata": {"resourceVersion": "12"}}, 12, id="number"),
        pytest.param({"metadata": {}}, 0, id="absent"),
        pytest.param({}, 0, id="no-metadata"),
    ],
)
def test_versions_compare_as_numbers(manifest, version):
    assert kube.version(manifest) == version
