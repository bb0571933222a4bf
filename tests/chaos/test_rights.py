"""Rights granted and rights used are told apart, both ways."""

import json
from datetime import UTC, datetime

import pytest

from fairlead_chaos import rights
from fairlead_chaos.rights import Right

ACCOUNT = "system:serviceaccount:system:operator"
CERTIFICATE = "certificate"


def event(
    verb, resource, *, group="", code=200, user=ACCOUNT, namespace="team", name="one", **more
):
    resource, _, subresource = resource.partition("/")
    what = {"apiGroup": group, "resource": resource, "subresource": subresource}
    what |= {"namespace": namespace, "name": name}
    return {
        "stage": "ResponseComplete",
        "verb": verb,
        "requestURI": f"/{resource}",
        "user": {"username": user},
        "objectRef": {key: value for key, value in what.items() if value},
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": "2026-01-01T00:00:00.5Z",
    } | more


def rule(group, resources, verbs, names=()):
    return {"apiGroups": [group], "resources": resources, "verbs": verbs} | (
        {"resourceNames": list(names)} if names else {}
    )


def role(kind, *rules, namespace=""):
    head = {"name": "operator"} | ({"namespace": namespace} if namespace else {})
    return {"kind": kind, "metadata": head, "rules": list(rules)}


def binding(kind, of, namespace="", subject="system"):
    head = {"name": "operator"} | ({"namespace": namespace} if namespace else {})
    account = {"kind": "ServiceAccount", "name": "operator", "namespace": subject}
    reference = {"kind": of, "name": "operator"}
    return {"kind": kind, "metadata": head, "roleRef": reference, "subjects": [account]}


EVERYWHERE = [
    role("ClusterRole", rule("", ["pods"], ["list"]), rule("apps", ["deployments"], ["patch"])),
    binding("ClusterRoleBinding", "ClusterRole"),
]
AT_HOME = [
    role("Role", rule("", ["secrets"], ["get"], [CERTIFICATE]), namespace="system"),
    binding("RoleBinding", "Role", namespace="system"),
]
CALLS = [
    event("list", "pods", name="", namespace=""),
    event("patch", "deployments", group="apps"),
    event("get", "secrets", namespace="system", name=CERTIFICATE),
]


def test_what_is_used_as_granted_is_no_finding():
    found = rights.compare(CALLS, EVERYWHERE + AT_HOME)
    assert not found, found


NEEDS = [
    pytest.param(
        event("get", "pods"), {Right("", "pods", "get", "team", "one")}, id="of-one-object"
    ),
    pytest.param(
        event("list", "pods", namespace="", name=""), {Right("", "pods", "list")}, id="of-all"
    ),
    pytest.param(
        event("patch", "finetunejobs/status", group="fairlead.dev"),
        {Right("fairlead.dev", "finetunejobs/status", "patch", "team", "one")},
        id="of-a-subresource",
    ),
    pytest.param(
        event("create", "jobs", group="batch", code=201),
        {Right("batch", "jobs", "create", "team")},
        id="a-create-is-of-no-name",
    ),
    pytest.param(
        event("patch", "services", code=200),
        {Right("", "services", "patch", "team", "one")},
        id="an-apply-to-what-stands",
    ),
    pytest.param(
        event("patch", "services", code=201),
        {Right("", "services", "patch", "team", "one"), Right("", "services", "create", "team")},
        id="an-apply-of-something-new",
    ),
    pytest.param(event("get", "pods") | {"objectRef": None}, set(), id="discovery"),
    pytest.param(
        event("create", "selfsubjectaccessreviews", group="authorization.k8s.io"),
        set(),
        id="about-oneself",
    ),
]


@pytest.mark.parametrize(("call", "expected"), NEEDS)
def test_a_calls_needs(call, expected):
    assert rights.needed(call) == expected


MISSING = [
    pytest.param(event("delete", "pods"), "delete pods in team named one", id="another-verb"),
    pytest.param(
        event("patch", "deployments/scale", group="apps"),
        "patch deployments/scale.apps in team named one",
        id="a-subresource-of-what-is-granted",
    ),
    pytest.param(
        event("patch", "deployments"), "patch deployments in team named one", id="another-group"
    ),
    pytest.param(
        event("get", "secrets", namespace="system", name="theirs"),
        "get secrets in system named theirs",
        id="another-name",
    ),
    pytest.param(
        event("get", "secrets", name=CERTIFICATE),
        f"get secrets in team named {CERTIFICATE}",
        id="another-namespace",
    ),
    pytest.param(
        event("patch", "deployments", group="apps", code=201),
        "create deployments.apps in team",
        id="an-apply-that-creates",
    ),
]


@pytest.mark.parametrize(("call", "told"), MISSING)
def test_a_call_that_no_rule_allows_is_missing(call, told):
    found = rights.compare([*CALLS, call, call], EVERYWHERE + AT_HOME)
    assert found.missing == {f"{ACCOUNT}: {told}"}
    assert found.unused == set()


UNUSED = [
    pytest.param(rule("", ["pods"], ["watch"]), "watch pods", id="a-verb"),
    pytest.param(rule("", ["nodes"], ["list"]), "list nodes", id="a-resource"),
    pytest.param(rule("", ["pods"], ["*"]), "* pods", id="a-wildcard"),
    pytest.param(rule("", ["pods"], ["list"], ["one"]), "list pods by name", id="a-name"),
    pytest.param(rule("", ["secrets"], ["get"]), "get secrets", id="wider-than-the-one-beside-it"),
    pytest.param({"nonResourceURLs": ["/logs"], "verbs": ["get"]}, "get /logs", id="a-path"),
]


@pytest.mark.parametrize(("more", "told"), UNUSED)
def test_a_rule_that_nothing_needs_is_unused(more, told):
    wider = role("ClusterRole", *EVERYWHERE[0]["rules"], more)
    found = rights.compare(CALLS, [wider, EVERYWHERE[1], *AT_HOME])
    assert (found.missing, found.unused) == (set(), {told})


def test_many_installations_have_to_use_every_rule_together():
    def installation(namespace):
        return [
            role("Role", rule("", ["pods"], ["get", "list"]), namespace=namespace),
            binding("RoleBinding", "Role", namespace=namespace, subject=namespace),
        ]

    calls = [
        event(verb, "pods", namespace=place, user=rights.account_of(place, "operator"))
        for verb, place in (("get", "a"), ("list", "b"))
    ]
    objects = installation("a") + installation("b")
    assert not rights.compare(calls, objects)
    assert rights.compare(calls[:1], objects).unused == {"list pods in its namespaces"}
    trespass = event("get", "pods", namespace="b", user=rights.account_of("a", "operator"))
    assert rights.compare([*calls, trespass], objects).missing == {
        "system:serviceaccount:a:operator: get pods in b named one"
    }


def test_a_role_bound_in_a_namespace_counts_there_only():
    objects = [
        role("ClusterRole", rule("", ["pods"], ["get"])),
        binding("RoleBinding", "ClusterRole", namespace="team"),
    ]
    assert not rights.compare([event("get", "pods")], objects)
    elsewhere = rights.compare([event("get", "pods", namespace="other")], objects)
    assert elsewhere.missing == {f"{ACCOUNT}: get pods in other named one"}


@pytest.mark.parametrize(
    ("calls", "rare", "unused", "needless"),
    [
        pytest.param([1, 2], ("", "pods", "list"), set(), set(), id="excused"),
        pytest.param([0, 1, 2], ("", "pods", "list"), set(), set(), id="excused-and-used"),
        pytest.param([0, 1, 2], ("", "nodes", "get"), set(), {"get nodes"}, id="never-granted"),
        pytest.param([1, 2], ("", "pods", "get"), {"list pods"}, {"get pods"}, id="another"),
    ],
)
def test_an_exception_is_for_a_granted_right(calls, rare, unused, needless):
    chosen = [CALLS[number] for number in calls]
    found = rights.compare(chosen, EVERYWHERE + AT_HOME, {rare: "why"})
    assert (found.missing, found.unused, found.needless) == (set(), unused, needless)


def test_calls_of_others_are_nobodys_use():
    theirs = [each | {"user": {"username": "somebody"}} for each in CALLS]
    found = rights.compare(theirs, EVERYWHERE)
    assert found.missing == set()
    assert found.unused == {"list pods", "patch deployments.apps"}


RARE = {("", "pods", "list"): "seldom", ("apps", "deployments", "patch"): "never"}
TRESPASS = event("delete", "pods")


def test_what_several_times_used_adds_up():
    first = rights.compare([CALLS[0], TRESPASS], EVERYWHERE + AT_HOME)
    second = rights.compare([CALLS[1]], EVERYWHERE + AT_HOME)
    both = rights.together([first, second])
    assert both.missing == {f"{ACCOUNT}: delete pods in team named one"}
    assert both.unused == {"get secrets in its namespaces by name"}
    assert both == rights.compare([*CALLS[:2], TRESPASS], EVERYWHERE + AT_HOME)


def test_only_what_was_excused_each_time_is_excused():
    lasting = {key: why for key, why in RARE.items() if why == "never"}
    parts = [rights.compare([], EVERYWHERE, rare) for rare in (RARE, lasting)]
    together = rights.together(parts)
    assert together.excused == {"patch deployments.apps": "never"}
    assert together.unused == {"list pods"}


def test_a_comparison_is_read_from_its_json():
    found = rights.compare([CALLS[0], TRESPASS], EVERYWHERE, RARE)
    written = json.loads(json.dumps({"runs": 3} | found.as_object()))
    assert rights.Comparison.of(written) == found


def test_a_binding_without_its_role_is_an_error():
    with pytest.raises(LookupError, match="isn't here"):
        rights.granted(EVERYWHERE[1:])


@pytest.mark.parametrize(
    ("change", "is_taken"),
    [
        pytest.param({}, True, id="finished"),
        pytest.param({"stage": "ResponseStarted"}, True, id="a-watch-that-lasts"),
        pytest.param({"stage": "RequestReceived"}, False, id="begun"),
        pytest.param({"user": {"username": "other"}, "note": ACCOUNT}, False, id="anothers"),
        pytest.param({"requestReceivedTimestamp": "2025-12-31T23:59:59Z"}, False, id="earlier"),
    ],
)
def test_events_are_an_accounts_finished_calls(change, is_taken):
    lines = [json.dumps(event("get", "pods") | change), "no JSON, and nobody's"]
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert len(list(rights.events_of(lines, [ACCOUNT], since))) == is_taken


def test_only_authorizations_refusals_count():
    decision = "authorization.k8s.io/decision"
    calls = [
        event("get", "pods", code=403, annotations={decision: "forbid"}),
        event("create", "pods", code=403, annotations={decision: "allow"}),
        event("get", "pods"),
    ]
    assert rights.refused(calls) == [f"{ACCOUNT}: get /pods"]
