"""Requests are told apart by path, query, headers and body alone."""

import json

import pytest

from fairlead_chaos import requests
from fairlead_chaos.faults import Write
from fairlead_chaos.history import History

CORE = "/api/v1/namespaces/team"
BATCH = "/apis/batch/v1/namespaces/team"
HEADS = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
APPLY = "application/apply-patch+yaml"
READ = [
    pytest.param("GET", "/apis", "GET", "", "", "", id="discovery"),
    pytest.param("GET", "/apis/batch/v1", "GET", "", "", "", id="discovery-of-a-group"),
    pytest.param("GET", "/healthz", "GET", "", "", "", id="health"),
    pytest.param("GET", "/api/v1/pods?limit=5", "list", "pods", "", "", id="list-of-all"),
    pytest.param("GET", f"{CORE}/pods", "list", "pods", "team", "", id="list"),
    pytest.param("GET", f"{CORE}/pods?watch=true", "watch", "pods", "team", "", id="watch"),
    pytest.param("GET", f"{CORE}/pods?watch=false", "list", "pods", "team", "", id="no-watch"),
    pytest.param("GET", f"{CORE}/pods/a", "get", "pods", "team", "a", id="get"),
    pytest.param("GET", f"{CORE}/pods/a%20b", "get", "pods", "team", "a b", id="escaped"),
    pytest.param("GET", CORE, "get", "namespaces", "", "team", id="namespace"),
    pytest.param("PUT", f"{CORE}/finalize", "update", "namespaces/finalize", "", "team", id="end"),
    pytest.param("POST", f"{BATCH}/jobs", "create", "jobs", "team", "", id="create"),
    pytest.param("PUT", f"{BATCH}/jobs/a", "update", "jobs", "team", "a", id="update"),
    pytest.param("PATCH", f"{BATCH}/jobs/a", "patch", "jobs", "team", "a", id="patch"),
    pytest.param("PATCH", f"{BATCH}/jobs/a/status", "patch", "jobs/status", "team", "a", id="sub"),
    pytest.param("DELETE", f"{BATCH}/jobs/a", "delete", "jobs", "team", "a", id="delete"),
    pytest.param("DELETE", f"{BATCH}/jobs", "delete", "jobs", "team", "*", id="delete-all"),
    pytest.param(
        "POST", f"{CORE}/pods/a/eviction", "create", "pods/eviction", "team", "a", id="ev"
    ),
]


@pytest.mark.parametrize(("method", "target", "verb", "resource", "namespace", "name"), READ)
def test_request_is_read(method, target, verb, resource, namespace, name):
    asked = requests.ask(method, target)
    assert (asked.verb, asked.resource, asked.namespace, asked.name) == (
        verb, resource, namespace, name,
    )  # fmt: skip
    assert asked.is_mutating == (method != "GET")


def test_headers_and_query_say_more():
    of_us = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dfairlead"
    assert requests.ask("GET", f"{CORE}/pods?{of_us}", HEADS).is_audit
    assert not requests.ask("GET", f"{CORE}/pods?{of_us}%2Cjob%3Done", HEADS).is_audit
    assert not requests.ask("GET", f"{CORE}/pods", "application/json").is_audit
    assert requests.ask("GET", f"{CORE}/pods?limit=2&continue=x").is_next_page
    assert requests.ask("PATCH", f"{CORE}/pods/a", "", APPLY).is_apply
    assert not requests.ask("PATCH", f"{CORE}/pods/a", "", "application/json-patch+json").is_apply


def test_writes_are_counted_by_verb_resource_and_name():
    history = History()

    def count(method, path, **head):
        body = json.dumps({"metadata": head}).encode() if head else b""
        return history.count_write(requests.ask(method, path), body)

    assert count("POST", f"{BATCH}/jobs", name="a") == Write("create", "jobs", "a", 1)
    assert count("POST", f"{BATCH}/jobs", name="b") == Write("create", "jobs", "b", 1)
    assert count("POST", f"{BATCH}/jobs", name="a") == Write("create", "jobs", "a", 2)
    assert count("PATCH", f"{BATCH}/jobs/a") == Write("patch", "jobs", "a", 1)
    assert count("PATCH", f"{BATCH}/jobs/a/status") == Write("patch", "jobs/status", "a", 1)
    assert count("POST", f"{CORE}/pods", generateName="a-") == Write("create", "pods", "a-*", 1)
    assert count("DELETE", f"{CORE}/pods/a-x7k2p") == Write("delete", "pods", "a-x7k2p", 1)


def test_object_of_a_generated_name_keeps_the_name_of_its_kin():
    history = History()
    pods = [
        {"metadata": {"namespace": "team", "name": f"a-{n}", "generateName": "a-"}} for n in "xy"
    ]
    history.saw_reply("pods", {"metadata": {"resourceVersion": "9"}, "items": pods})
    for nth, name in enumerate(("a-x", "a-y"), 1):
        write = history.count_write(requests.ask("DELETE", f"{CORE}/pods/{name}"), b"")
        assert write == Write("delete", "pods", "a-*", nth)
