"""A task's buttons lead to its resource, and are there while it waits."""

from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from fairlead_airflow import hooks, links, operators, provider

TARGET = hooks.Target("FineTuneJob", "team", "units")


@pytest.fixture
def task():
    with DAG("daily"):
        return operators.FineTuneOperator(task_id="train", manifest={}, fairlead_conn_id="other")


@pytest.mark.parametrize(
    ("link", "anchor"), [(links.ResourceLink(), ""), (links.ReportLink(), "report")]
)
def test_button_leads_to_the_resource_by_the_tasks_connection(task, link, anchor):
    task.target = TARGET
    found = urlsplit(link.get_link(task, ti_key=None))
    assert found.path == "/fairlead/resource"
    assert found.fragment == anchor
    assert parse_qs(found.query) == {
        "kind": ["FineTuneJob"],
        "name": ["units"],
        "namespace": ["team"],
        "connection": ["other"],
    }


def test_button_leads_below_where_airflow_is(task, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/team/")
    found = links.address(TARGET, "fairlead_default")
    assert found.startswith("https://airflow.example/team/fairlead/resource?")


def test_task_that_never_had_a_resource_has_no_address(task):
    assert links.ResourceLink().get_link(task, ti_key=None) == ""


def test_airflow_keeps_the_buttons_of_a_serialised_task(task):
    stored = DagSerialization.from_dict(DagSerialization.to_dict(task.dag))
    assert set(stored.get_task("train").extra_links) == {"Fairlead", "Report"}


def test_provider_names_the_classes_of_the_buttons():
    classes = [type(link) for link in links.LINKS]
    assert provider.get_provider_info()["extra-links"] == [
        f"{each.__module__}.{each.__qualname__}" for each in classes
    ]


def test_task_that_goes_on_after_its_trigger_still_has_its_resource(task, monkeypatch):
    monkeypatch.setattr(type(task), "finish", lambda task, of, event: {})
    of = {"kind": TARGET.kind, "namespace": TARGET.namespace, "name": TARGET.name}
    task.execute_complete({}, {}, of)
    assert task.target == TARGET
