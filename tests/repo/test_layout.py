"""The tree keeps the rules that CONTRIBUTING states."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split("\n")
FILES = [name for name in TRACKED if name and (ROOT / name).is_file()]
HARNESS = "tests/chaos/fairlead_"
CODE = [
    name
    for name in FILES
    if name.endswith(".py") and (name.startswith(HARNESS) or not name.startswith("tests/"))
]
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40


@pytest.mark.parametrize("folder", ["operator", "airflow", "tests"])
def test_folder_that_shares_a_name_with_a_package_is_no_package(folder):
    inits = [name for name in FILES if name == f"{folder}/__init__.py"]
    assert inits == []


def test_no_package_lies_anywhere_below_tests():
    assert [name for name in FILES if name.startswith("tests/") and "__init__" in name] == []


def test_the_standard_library_keeps_its_operator_module():
    import operator

    assert operator.itemgetter(0)([7]) == 7
    assert str(ROOT) not in (operator.__file__ or "")


@pytest.mark.parametrize("name", CODE)
def test_module_is_short_and_says_what_it_is(name):
    text = (ROOT / name).read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= MAX_MODULE_LINES
    assert ast.get_docstring(tree), "a module opens with a docstring"


@pytest.mark.parametrize("name", CODE)
def test_functions_are_short(name):
    tree = ast.parse((ROOT / name).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, functions) and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("requirements/")])
def test_requirements_name_no_address(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"https?://|--index-url|--extra-index-url|--find-links", text)


@pytest.mark.parametrize(
    "name", [name for name in FILES if re.fullmatch(r"requirements/[\w-]+\.txt", name)]
)
def test_every_locked_requirement_has_a_hash(name):
    blocks = re.split(r"\n(?=\S)", (ROOT / name).read_text())
    pins = [block for block in blocks if re.match(r"[A-Za-z0-9]", block)]
    assert pins
    assert [pin.split("\n")[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_no_lock_file_that_records_addresses():
    assert [name for name in FILES if Path(name).name in ("uv.lock", "package-lock.json")] == []


def test_no_module_is_named_after_nothing():
    vague = {"utils.py", "util.py", "common.py", "helpers.py", "misc.py"}
    assert [name for name in CODE if Path(name).name in vague] == []
