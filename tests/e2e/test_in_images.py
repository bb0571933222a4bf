"""The tests that need torch or vLLM, run by pytest inside the trainer's and the server's image.

Each runs in a pod as restricted as those of users. The tests and pytest come in a ConfigMap and
behind everything that the image has of its own, so it is the image that is tested.
"""

import ast
import subprocess
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
MARKS = {"trainer": "torch", "server": "vllm"}
"""The mark of the tests that need an image, by its name, which is also their folder's."""
BOUND_SECONDS = 1500  # the slower one took 156 alone, and 281 beside other tests
REPORT_BEGINS = "---- report ----"
INSIDE = f"""
import os, signal, sys, tarfile
# As if by Ctrl-C, so that pytest still says what it has seen.
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.alarm({BOUND_SECONDS} - 60)
tarfile.open("/delivered/tests.tar.xz").extractall("/tmp/work")
os.chdir("/tmp/work")
sys.path.append("/tmp/work/site-packages")
import pytest
code = pytest.main(["-v", "-p", "no:cacheprovider", "--durations=5", "--junit-xml=report.xml",
    *sys.argv[1:]])
print({REPORT_BEGINS!r}, flush=True)
print(open("report.xml").read())
sys.exit(code)
"""


def modules(image):
    """Files of the tests that need an image, relative to the repository."""
    mark = f"pytest.mark.{MARKS[image]}"
    found = sorted((ROOT / "tests" / image).rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in found if mark in path.read_text()]


def functions(image):
    """Every test function in them, as ``module::function``."""
    return {
        f"{Path(module).stem}::{node.name}"
        for module in modules(image)
        for node in ast.parse((ROOT / module).read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The tests of both images with pytest, small enough for a ConfigMap."""
    folder = tmp_path_factory.mktemp("delivered")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", sys.executable, "--no-deps",
         "--target", folder / "site-packages",
         "--require-hashes", "--requirement", ROOT / "requirements/image-tests.txt"],
        check=True,
    )  # fmt: skip
    path = folder / "tests.tar.xz"
    with tarfile.open(path, "w:xz") as file:
        file.add(folder / "site-packages", "site-packages")
        for name in ("pyproject.toml", *(f"tests/{image}" for image in MARKS)):
            file.add(ROOT / name, name, filter=without_bytecode)
    return path


def without_bytecode(entry):
    return None if entry.name.endswith("__pycache__") else entry


@pytest.fixture(scope="module")
def started(shared_kube, installed, archive, restricted_pod):
    """Both pods, at once: while one waits for something the other has the cores."""
    shared_kube.run("create", "configmap", "tests", f"--from-file={archive}")
    for image in MARKS:
        spec = restricted_pod(
            installed.images[image],
            ["python", "-c", INSIDE, *modules(image)],
            {"/delivered": {"configMap": {"name": "tests"}}},
        )
        shared_kube.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": image}, "spec": spec}
        )


def has_ended(pod):
    return pod["status"].get("phase") in ("Succeeded", "Failed")


@pytest.mark.parametrize("image", MARKS)
def test_every_test_that_needs_the_image_passes_in_it(image, started, shared_kube):
    try:
        shared_kube.wait("pod", image, has_ended, BOUND_SECONDS, "end of the tests")
    finally:  # pytest shows it where this test fails
        said, _, report = shared_kube.run("logs", image, check=False).partition(REPORT_BEGINS)
        print(said)
    assert report, "pytest did not get to its end inside the image; what it said is below"
    cases = list(ElementTree.fromstring(report.strip()).iter("testcase"))
    blemished = [case.get("name") for case in cases if len(case)]
    assert blemished == [], "failed or skipped inside the image; what it said is below"
    assert {function(case) for case in cases} == functions(image)


def function(case):
    """The test function of a case of the report, as ``module::function``."""
    return f"{case.get('classname').split('.')[-1]}::{case.get('name').split('[')[0]}"
