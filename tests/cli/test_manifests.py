"""``fairlead validate``: each fault with file, line and field."""

from pathlib import Path

import pytest

from fairlead_cli import errors, manifests
from fairlead_cli.__main__ import main

JOB = """\
apiVersion: fairlead.dev/v1alpha1
kind: FineTuneJob
metadata:
  name: units
spec:
  model: {uri: pvc://models/base}
  datasets:
    - name: rows
      uri: pvc://models/rows.jsonl
  trainer: {type: SFT}
  hyperparameters:
    learningRate: 0.001
  storage: {claimName: models}
"""
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "job.yaml"
        path.write_text(text)
        return path

    return write


def test_right_manifest_has_no_fault(file):
    report = manifests.check_file(file(JOB))
    assert (report.checked, report.faults) == (("FineTuneJob/units",), ())


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("uri: pvc://models/base", "uri: s3://models/base", 6, "spec.model.uri"),
        ("uri: pvc://models/base", "url: pvc://models/base", 6, "spec.model.url"),
        ("    - name: rows", "    - name: Rows", 8, "spec.datasets[0].name"),
        ("type: SFT", "type: sft", 10, "spec.trainer.type"),
        ("learningRate: 0.001", "learningRate: 2e-4x", 12, "spec.hyperparameters.learningRate"),
        ("learningRate: 0.001", "learningRte: 0.1", 12, "spec.hyperparameters.learningRte"),
        ("  storage: {claimName: models}\n", "", 5, "spec.storage"),
        ("v1alpha1", "v1", 1, "apiVersion"),
        ("kind: FineTuneJob", "kind: FinetuneJob", 1, "kind"),
        ("  name: units", "  labels: {a: b}", 3, "metadata.name"),
    ],
    ids=[
        "unknown scheme",
        "unknown field",
        "bad name in a list",
        "wrong word",
        "no number",
        "mistyped field",
        "missing field at its parent",
        "wrong version",
        "wrong kind",
        "no name",
    ],
)
def test_fault_is_told_with_line_and_field(file, old, new, line, field):
    assert old in JOB
    faults = manifests.check_file(file(JOB.replace(old, new))).faults
    assert (line, field) in [(fault.line, fault.field) for fault in faults]
    assert all(fault.problem for fault in faults)


def test_each_document_of_a_file_is_checked(file):
    broken = JOB.replace("SFT", "RLHF")
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
    report = manifests.check_file(file(f"{JOB}---\n{pod}---\n---\n{broken}"))
    assert len(report.checked) == 2
    assert report.passed_over == 1
    assert [fault.line for fault in report.faults] == [JOB.count("\n") + 6 + 10]


@pytest.mark.parametrize(
    ("content", "said"),
    [("a: [", "no YAML"), ("\x00", "no YAML")],
    ids=["cut short", "binary"],
)
def test_file_that_is_no_yaml_is_named(file, content, said):
    path = file(content)
    with pytest.raises(errors.WrongUsage) as refused:
        manifests.check_file(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_missing_file_is_named(tmp_path, capsys):
    assert main(["validate", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: No such file" in capsys.readouterr().err


def test_command_tells_every_fault_and_fails(file, capsys):
    path = file(JOB.replace("SFT", "x").replace("0.001", "-1"))
    assert main(["validate", str(path)]) == 1
    err = capsys.readouterr().err
    assert "2 fault(s)" in err
    assert f"{path}:10: spec.trainer.type" in err
    assert f"{path}:12: spec.hyperparameters.learningRate" in err


def test_command_says_what_it_checked(file, capsys):
    assert main(["validate", str(file(JOB))]) == 0
    assert "FineTuneJob/units ok" in capsys.readouterr().out


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(EXAMPLES))
)
def test_every_example_is_valid(path):
    assert manifests.check_file(path).faults == ()
