"""The client is loaded without the models that would fill the operator's memory."""

import subprocess
import sys

import pytest

PROBE = """
import sys
import fairlead_operator.__main__
models = [name for name in sys.modules if ".client.models." in name]
apis = [name for name in sys.modules if ".client.api." in name]
print(len(models), len(apis))
import kubernetes
"""


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )


def test_neither_kopf_nor_we_load_a_single_model():
    found = run(PROBE)
    assert found.stdout.split() == ["0", "0"], found.stderr


def test_a_client_that_was_imported_whole_is_left_as_it_is(monkeypatch):
    from fairlead_operator import lean

    marker = object()
    monkeypatch.setitem(sys.modules, lean.PACKAGE, marker)
    lean.prepare()
    assert sys.modules[lean.PACKAGE] is marker


def test_a_missing_client_is_named_with_the_way_out(monkeypatch):
    from fairlead_operator import lean

    monkeypatch.delitem(sys.modules, lean.PACKAGE, raising=False)
    monkeypatch.setattr(lean.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fairlead-operator\[controller\]'"):
        lean.prepare()
