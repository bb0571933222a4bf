"""The chart's rights as rendered: each single one is found missing, each one more is found."""

import copy

import pytest

from fairlead_chaos import chart, rights

pytestmark = pytest.mark.cluster  # helm, which may have to be built

NAMESPACE = "cell"
ACCOUNT = rights.account_of(NAMESPACE, "fairlead-operator")


@pytest.fixture(scope="module", params=[(), ("team-a", "team-b")], ids=["of-all", "of-some"])
def rendered(request):
    return chart.rbac(chart.helm(), NAMESPACE, *request.param)


def use(right):
    """A call that needs this one right."""
    resource, _, subresource = right.resource.partition("/")
    what = {
        "apiGroup": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    return {
        "stage": "ResponseComplete",
        "verb": right.verb,
        "user": {"username": ACCOUNT},
        "objectRef": {key: value for key, value in what.items() if value},
        "responseStatus": {"code": 200},
    }


@pytest.fixture
def calls(rendered):
    """One call for each right that is granted."""
    return [use(right) for right in rights.granted(rendered)[ACCOUNT]]


def test_one_account_is_bound_and_it_is_rendered(rendered):
    assert set(rights.granted(rendered)) == {ACCOUNT}
    (account,) = (each for each in rendered if each["kind"] == "ServiceAccount")
    assert rights.account_of(NAMESPACE, account["metadata"]["name"]) == ACCOUNT


def test_all_rights_used_is_no_finding(rendered, calls):
    assert not rights.compare(calls, rendered)


def test_each_rule_that_is_taken_out_is_missed(rendered, calls):
    for each, role in enumerate(rendered):
        for number in range(len(role.get("rules") or [])):
            fewer = copy.deepcopy(rendered)
            rule = fewer[each]["rules"].pop(number)
            found = rights.compare(calls, fewer)
            assert found.missing, f"nobody misses {rule} of {role['metadata']['name']}"
            assert found.unused == set()


def test_each_verb_that_is_added_is_found(rendered, calls):
    for each, role in enumerate(rendered):
        for number in range(len(role.get("rules") or [])):
            more = copy.deepcopy(rendered)
            more[each]["rules"][number]["verbs"].append("deletecollection")
            found = rights.compare(calls, more)
            assert found.missing == set()
            assert found.unused, f"nobody notices it in {role['rules'][number]}"
            assert all(text.startswith("deletecollection ") for text in found.unused)


def test_a_chart_that_cannot_be_rendered_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="release name"):
        chart.rbac(chart.helm(), NAMESPACE, release="Not A Name")
