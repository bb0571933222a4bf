"""The package of all tasks: what it names is there, and is loaded when it is asked for."""

import subprocess
import sys

import pytest
from airflow.sdk import BaseOperator

from fairlead_airflow import hooks, operators


@pytest.mark.parametrize("name", operators.__all__)
def test_every_name_is_an_operator(name):
    assert issubclass(getattr(operators, name), BaseOperator)


def test_names_are_sorted():
    assert operators.__all__ == sorted(operators.__all__)


@pytest.mark.parametrize("module", [operators, hooks], ids=["operators", "hooks"])
def test_unknown_name_is_refused_as_of_any_module(module):
    with pytest.raises(AttributeError, match=f"{module.__name__}.*'Absent'"):
        _ = module.Absent


@pytest.mark.parametrize(
    ("asked", "absent"),
    [
        (
            "fairlead_airflow.operators.FineTuneOperator",
            "airflow.providers.common.sql.operators.sql",
        ),
        ("fairlead_airflow.operators.FineTuneOperator", "kubernetes"),
        ("fairlead_airflow.hooks.Target", "kubernetes"),
        ("fairlead_airflow.triggers.ResourceTrigger", "kubernetes_asyncio"),
    ],
)
def test_what_a_file_of_dags_needs_loads_no_more_than_that(asked, absent):
    module, _, name = asked.rpartition(".")
    program = f"import sys\nfrom {module} import {name}\nprint('{absent}' in sys.modules)"
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert said.splitlines()[-1] == "False"


def test_hook_is_there_when_it_is_asked_for():
    assert hooks.FairleadHook.default_conn_name == hooks.DEFAULT_CONNECTION
