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
        ("learningRate: 0.001", "learning_rate: 0.1", 12, "spec.hyperparameters.learning_rate"),
        ("  storage: {claimName: models}\n", "", 5, "spec.storage"),
        ("v1alpha1", "v1", 1, "apiVersion"),
        ("kind: FineTuneJob", "kind: FinetuneJob", 2, "kind"),
        ("  name: units", "  labels: {a: b}", 3, "metadata.name"),
        ("metadata:\n  name: units", "metadata: units", 3, "metadata"),
        ("learningRate: 0.001", "learningRate: '0.001'", 12, "spec.hyperparameters.learningRate"),
        ("learningRate: 0.001", 'bf16: "yes"', 12, "spec.hyperparameters.bf16"),
        ("learningRate: 0.001", "seed: 1.5", 12, "spec.hyperparameters.seed"),
        ("  name: units", f"  name: {'a' * 41}", 4, "metadata.name"),
        ("  name: units", "  name: Units_1", 4, "metadata.name"),
        ("  name: units", "  name: a.b", 4, "metadata.name"),
        ("  name: units", "  name: 1a", 4, "metadata.name"),
        ("      uri: pvc://models/rows.jsonl\n", "", 8, "spec.datasets[0]"),
        ("      uri: pvc", "      inline: '{}'\n      uri: pvc", 8, "spec.datasets[0]"),
        (
            "  trainer:",
            "    - {name: rows, inline: '{}'}\n  trainer:",
            7,
            "spec.datasets",
        ),
        (
            "  trainer:",
            "  numProcPerNode: 3\n  resourcesPerNode: {limits: {nvidia.com/gpu: 2}}\n  trainer:",
            10,
            "spec.numProcPerNode",
        ),
        (
            "    - name: rows\n      uri: pvc://models/rows.jsonl\n",
            "".join(f"    - {{name: d{n}, inline: {'x' * 131072}}}\n" for n in range(5)),
            7,
            "spec.datasets",
        ),
        ("  trainer:", "  tuning: {r: 8}\n  trainer:", 10, "spec.tuning.r"),
    ],
    ids=[
        "unknown scheme",
        "unknown field",
        "bad name in a list",
        "wrong word",
        "no number",
        "mistyped field",
        "field in Python's spelling",
        "missing field at its parent",
        "wrong version",
        "wrong kind",
        "no name",
        "no metadata",
        "text for a number",
        "text for a truth value",
        "fraction for an integer",
        "name too long",
        "name with capitals",
        "name with a dot",
        "name that begins with a digit",
        "no source",
        "two sources",
        "two datasets of a name",
        "more processes than GPUs",
        "too many rows in the manifest",
        "rank without LoRA",
    ],
)
def test_fault_is_told_with_line_and_field(file, old, new, line, field):
    assert old in JOB
    faults = manifests.check_file(file(JOB.replace(old, new))).faults
    assert (line, field) in [(fault.line, fault.field) for fault in faults]
    assert all(fault.problem for fault in faults)


def test_unknown_field_is_told_with_the_one_that_was_meant(file):
    (fault,) = manifests.check_file(file(JOB.replace("learningRate", "learning_rate"))).faults
    assert fault.problem == "unknown field; did you mean learningRate?"


def test_deepspeed_keys_that_the_operator_refuses_are_told_with_their_reasons(file):
    config = "{train_batch_size: 8, zero_optimization: {stage: 3, overlap_comm: true}, 1: 2}"
    text = JOB.replace("  trainer:", f"  deepspeed:\n    config: {config}\n  trainer:")
    faults = manifests.check_file(file(text)).faults
    assert [(fault.line, fault.field, fault.problem.split(",")[0]) for fault in faults] == [
        (11, "spec.deepspeed.config.train_batch_size", "decided by numNodes"),
        (11, "spec.deepspeed.config.zero_optimization.stage", "decided by deepspeed.zeroStage"),
    ]


def test_deepspeed_configuration_that_is_too_deep_is_told(file):
    config = "{a: " * 17 + "1" + "}" * 17
    text = JOB.replace("  trainer:", f"  deepspeed:\n    config: {config}\n  trainer:")
    (fault,) = manifests.check_file(file(text)).faults
    assert (fault.line, fault.field) == (11, "spec.deepspeed.config")
    assert "more than 16" in fault.problem


@pytest.mark.parametrize("deepspeed", ["{}", "{config: {}}", "{config: null}", "null"])
def test_deepspeed_stanza_without_a_configuration_is_well(file, deepspeed):
    text = JOB.replace("  trainer:", f"  deepspeed: {deepspeed}\n  trainer:")
    refused = [
        fault for fault in manifests.check_file(file(text)).faults if "config." in fault.field
    ]
    assert refused == []


def test_model_of_a_hub_is_told_what_is_read(file):
    text = JOB.replace("uri: pvc://models/base", "uri: hf://team/model")
    (fault,) = manifests.check_file(file(text)).faults
    assert "must be pvc://CLAIM/PATH; model hubs and object stores are not read" in str(fault)


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ("{requests: {cpu: 2}, limits: {cpu: 1500m}}", "requests must not be above limits"),
        ("{requests: {nvidia.com/gpu: 1}, limits: {nvidia.com/gpu: 2}}", "must be equal"),
        ("{limits: {nvidia.com/gpu: 500m}}", "whole numbers"),
        ("{limits: {gpu: 1}}", "with their domain"),
        ("{requests: {cpu: 1, memory: 2Gi}, limits: {cpu: 1000m, memory: 2147483648}}", None),
        ("{requests: {nvidia.com/gpu: 2}, limits: {nvidia.com/gpu: '2'}}", None),
        ("{requests: {ephemeral-storage: 1e9}}", None),
        ("{limits: {hugepages-2Mi: 4Mi}}", "with their domain"),
        ("{limits: {/: 1}}", "with their domain"),
        ("{limits: {requests.nvidia.com/gpu: 1}}", "with their domain"),
        ("{limits: {nvidia.com/gpu: '1000000000000000000'}}", "whole numbers"),
    ],
    ids=[
        "above",
        "devices",
        "half a device",
        "unknown",
        "equal amounts",
        "equal devices",
        "exponent",
        "huge pages",
        "slash alone",
        "of a quota",
        "more than can be counted",
    ],
)
def test_resources_are_judged_by_what_they_amount_to(file, resources, said):
    text = JOB.replace("  trainer:", f"  resourcesPerNode: {resources}\n  trainer:")
    problems = [fault.problem for fault in manifests.check_file(file(text)).faults]
    assert len(problems) == (said is not None)
    assert (said or "") in "".join(problems)


@pytest.mark.parametrize(
    "new",
    [
        "learningRate: 2e-4",
        "learningRate: 1",
        "numTrainEpochs: 3.0",
        "seed: 42.0",
        "bf16: yes",
        "extraArgs: {since: 2026-11-25}",
    ],
)
def test_value_is_read_as_kubectl_reads_it(file, new):
    assert manifests.check_file(file(JOB.replace("learningRate: 0.001", new))).faults == ()


def test_each_document_of_a_file_is_checked(file):
    broken = JOB.replace("SFT", "RLHF")
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
    report = manifests.check_file(file(f"{JOB}---\n{pod}---\n---\n{broken}"))
    assert len(report.checked) == 2
    assert report.passed_over == 1
    assert [fault.line for fault in report.faults] == [JOB.count("\n") + 6 + 10]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("a: [", "no YAML", id="cut short"),
        pytest.param("\x00", "no YAML", id="binary"),
        pytest.param("? [a]: b", "no YAML", id="list for a key"),
        pytest.param("? !!binary aa==\n: b", "keys must be str", id="bytes for a key"),
        pytest.param(JOB + "status: &a\n  b: *a\n", "Circular", id="anchor holds itself"),
    ],
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


def test_folder_is_said_to_be_one(tmp_path, capsys):
    assert main(["validate", str(tmp_path)]) == 2
    assert f"{tmp_path}: Is a directory" in capsys.readouterr().err


def test_command_tells_every_fault_and_fails(file, capsys):
    path = file(JOB.replace("SFT", "x").replace("0.001", "-1"))
    assert main(["validate", str(path)]) == 1
    err = capsys.readouterr().err
    assert "2 fault(s)" in err
    assert f"{path}:10: spec.trainer.type" in err
    assert f"{path}:12: spec.hyperparameters.learningRate" in err


def test_command_says_what_it_checked(file, capsys):
    assert main(["validate", str(file(JOB))]) == 0
    out = capsys.readouterr().out
    assert "FineTuneJob/units ok" in out
    assert "kubectl apply --dry-run=server" in out


@pytest.mark.parametrize(
    "text",
    ["", "apiVersion: v1\nkind: Pod\n", JOB.replace("fairlead.dev", "farlead.dev"), "- a\n"],
    ids=["empty", "other kind", "mistyped group", "no object"],
)
def test_file_with_nothing_of_ours_is_not_ok(file, text, capsys):
    path = file(text)
    assert main(["validate", str(path)]) == 1
    told = capsys.readouterr()
    assert f"{path}: nothing of ours in it" in told.out
    assert "ok" not in told.out
    assert "such as fairlead.dev/v1alpha1" in told.err


def test_file_of_other_kinds_beside_ours_is_passed_over(file, tmp_path, capsys):
    claim = tmp_path / "claim.yaml"
    claim.write_text("apiVersion: v1\nkind: PersistentVolumeClaim\n")
    assert main(["validate", str(claim), str(file(JOB))]) == 0
    assert f"{claim}: nothing of ours in it; 1 of other kinds" in capsys.readouterr().out


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(EXAMPLES))
)
def test_every_example_is_valid(path):
    assert manifests.check_file(path).faults == ()
