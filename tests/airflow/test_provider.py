"""Airflow finds the provider, its connection form and its hook."""

import json
import pkgutil
from importlib import resources
from importlib.metadata import entry_points

import jsonschema
import pytest
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from fairlead_airflow import endpoint, hooks, notifier, provider
from fairlead_api import names

SCHEMA = resources.files("airflow") / "provider_info.schema.json"
INFO = provider.get_provider_info()


def test_entry_point_leads_to_the_metadata():
    (found,) = [
        point for point in entry_points(group="apache_airflow_provider")
        if point.dist.name == provider.PACKAGE
    ]  # fmt: skip
    assert found.load() is provider.get_provider_info


def test_metadata_is_as_airflow_wants_it():
    schema = json.loads(
        resources.files("airflow").joinpath("provider_info.schema.json").read_text()
    )
    jsonschema.validate(INFO, schema)


def test_airflow_knows_the_connection_type():
    found = ProvidersManagerTaskRuntime().hooks[provider.CONNECTION_TYPE]
    assert found.hook_class_name == provider.HOOK
    assert found.hook_name == hooks.FairleadHook.hook_name


OURS = {"gateway_address"}
FIELDS = INFO["connection-types"][0]["conn-fields"]


@pytest.mark.parametrize("field", sorted(FIELDS.keys() - OURS))
def test_every_field_of_the_form_is_one_that_the_hook_reads(field):
    providers = ProvidersManagerTaskRuntime().providers
    cncf = providers["apache-airflow-providers-cncf-kubernetes"].data["connection-types"]
    upstream = [known for kind in cncf for known in kind["conn-fields"]]
    assert field in upstream


def test_endpoint_takes_the_connections_gateway(monkeypatch):
    extra = {"gateway_address": "http://127.0.0.1:8080"}
    described = json.dumps({"conn_type": provider.CONNECTION_TYPE, "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_FAIRLEAD_DEFAULT", described)
    served = {
        "apiVersion": names.API_VERSION,
        "kind": names.MODELSERVICE,
        "metadata": {"name": "units", "namespace": "team"},
        "spec": {"model": {"uri": "pvc://work/base"}},
        "status": {"url": "http://units.team.fairlead.local"},
    }
    monkeypatch.setattr(hooks.FairleadHook, "read", lambda hook, of: served)
    found = hooks.FairleadHook().endpoint(hooks.Target(names.MODELSERVICE, "team", "units"))
    assert found == endpoint.Endpoint("http://127.0.0.1:8080", "units", "units.team.fairlead.local")


def test_endpoint_of_a_service_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(hooks.FairleadHook, "read", lambda hook, of: None)
    with pytest.raises(endpoint.NotServing, match=r"modelservice/units is not there \(namespace"):
        hooks.FairleadHook().endpoint(hooks.Target(names.MODELSERVICE, "team", "units"))


def test_metadata_leads_to_the_notifier():
    (found,) = INFO["notifications"]
    assert pkgutil.resolve_name(found) is notifier.FairleadNotifier
