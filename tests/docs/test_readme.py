"""What the README shows is what stands in the tree."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from fairlead_cli import __main__ as cli
from fairlead_cli import manifests

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
CONSOLE = [
    line.removeprefix("$ ")
    for language, text in BLOCKS
    if language == "console"
    for line in text.splitlines()
    if line.startswith("$ ")
]


def test_readme_begins_with_a_manifest_and_the_command():
    assert [language for language, _ in BLOCKS[:2]] == ["yaml", "console"]
    assert CONSOLE[0] == "make demo"


def test_first_manifest_is_valid_and_of_the_examples_names(tmp_path):
    path = tmp_path / "readme.yaml"
    path.write_text(BLOCKS[0][1])
    report = manifests.check_file(path)
    assert report.faults == ()
    assert report.checked == ("FineTuneJob/units", "ModelService/units")
    shown, _ = yaml.safe_load_all(BLOCKS[0][1])
    example = yaml.safe_load((ROOT / "examples/01-units/finetunejob.yaml").read_text())
    for field in ("model", "datasets", "trainer", "storage"):
        assert shown["spec"][field] == example["spec"][field]


@pytest.mark.parametrize("verb", [line.split()[1] for line in CONSOLE if line.startswith("make ")])
def test_every_verb_that_is_shown_exists(verb):
    assert re.search(rf"^{verb}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


TOOL = ".venv/bin/fairlead "


@pytest.mark.parametrize("line", [line for line in CONSOLE if line.startswith(TOOL)])
def test_every_line_of_the_tool_is_one_it_takes(line):
    cli._parser().parse_args(shlex.split(line.removeprefix(TOOL)))


FOLDERS = "operator|trainer|server|charts|images|cluster|examples|tests|docs"
NAMED = sorted(set(re.findall(rf"(?<![\w/-])((?:{FOLDERS})/[\w./-]*\w)", README)))


@pytest.mark.parametrize("path", NAMED)
def test_every_path_that_is_named_exists(path):
    assert (ROOT / path).exists()
