"""The gates are the same program, with the same settings, wherever they run."""

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_ci_runs_the_readmes_test_command():
    assert "make test\n" in (ROOT / ".ci/run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()


def test_precommit_hooks_are_local_and_cover_every_gate():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {repo["repo"] for repo in config["repos"]} == {"local"}
    hooks = {hook["id"] for repo in config["repos"] for hook in repo["hooks"]}
    assert hooks >= {"ruff-format", "ruff-check", "mypy", "import-linter"}


def test_heavy_packages_are_banned_at_module_level():
    banned = PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
    heavy = {"torch", "deepspeed", "transformers", "peft", "datasets", "vllm", "airflow"}
    assert heavy | {"kopf", "kubernetes_asyncio"} <= set(banned)


def test_warnings_are_errors_and_types_are_strict():
    assert PROJECT["tool"]["pytest"]["ini_options"]["filterwarnings"][0] == "error"
    assert PROJECT["tool"]["mypy"]["strict"] is True


def test_every_distribution_is_typed_and_type_checked():
    packages = PROJECT["tool"]["mypy"]["files"]
    assert [name for name in packages if not (ROOT / name / "py.typed").is_file()] == []


def test_slow_tests_find_their_fixtures():
    """Said in seconds, not at the end of a run of the slow tiers."""
    plan = ["-q", "-p", "no:cacheprovider", "-m", "cluster or e2e", "--setup-plan", "tests"]
    done = subprocess.run([sys.executable, "-m", "pytest", *plan], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()[-4000:]
