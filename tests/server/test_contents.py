"""No pickle, no code, no half-copied weights, whatever the file is called."""

import io
import json
import pickle
import struct
import zipfile

import pytest

from fairlead_api.termination import Cause
from fairlead_server import contents
from fairlead_server.refusal import StartRefused


def torch_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return buffer.getvalue()


def weights(header: dict, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def check(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    contents.check_file(path, name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{}"),
        ("tokenizer.model", b"\x0a\x0e"),
        ("merges.txt", b""),
        ("chat_template.jinja", b"{{ x }}"),
        ("README.md", b"# P"),
        ("model.safetensors", weights({"w": TENSOR}, bytes(8))),
        ("empty.safetensors", weights({"__metadata__": {"format": "pt"}}, b"")),
    ],
)
def test_ordinary_files_pass(tmp_path, name, content):
    check(tmp_path, name, content)


def test_weights_whose_length_looks_like_a_pickle_opcode_pass(tmp_path):
    # A header of 640 bytes begins with 80 02, as a pickle of protocol 2 does.
    padding = 640 - len(json.dumps({"__metadata__": {"p": ""}, "w": TENSOR}))
    content = weights({"__metadata__": {"p": "x" * padding}, "w": TENSOR}, bytes(8))
    assert content[:2] == b"\x80\x02"
    check(tmp_path, "model.safetensors", content)


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin", "a.pt", "a.pth", "a.pkl", "a.pickle", "A.BIN", "training_args.bin",
        "a.ckpt", "a.joblib",
    ],
)  # fmt: skip
def test_pickle_files_are_refused_by_name(tmp_path, name):
    with pytest.raises(StartRefused, match="is a pickle file") as caught:
        check(tmp_path, name, b"")
    assert caught.value.cause is Cause.ARTIFACT_REFUSED
    assert name in caught.value.message
    assert "safetensors" in caught.value.message


@pytest.mark.parametrize(
    "content",
    [*(pickle.dumps({"a": 1}, protocol=p) for p in range(2, 6)), torch_archive()],
    ids=["protocol 2", "protocol 3", "protocol 4", "protocol 5", "torch.save"],
)
@pytest.mark.parametrize("name", ["weights", "tokenizer.json", "model.gguf"])
def test_pickle_files_are_refused_by_content(tmp_path, name, content):
    with pytest.raises(StartRefused, match="pickle file by its first bytes"):
        check(tmp_path, name, content)


@pytest.mark.parametrize("content", [pickle.dumps({}), torch_archive()], ids=["pickle", "zip"])
def test_a_pickle_named_safetensors_is_no_safetensors(tmp_path, content):
    with pytest.raises(StartRefused, match="safetensors"):
        check(tmp_path, "model.safetensors", content)


@pytest.mark.parametrize("name", ["modeling_x.py", "x.pyc", "op.so", "run.sh"])
def test_code_is_refused(tmp_path, name):
    with pytest.raises(StartRefused, match=f"{name} is code"):
        check(tmp_path, name, b"")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "is not a safetensors file", id="empty"),
        pytest.param(b"\x08\0\0", "is not a safetensors file", id="shorter than its length"),
        pytest.param(struct.pack("<Q", 2**40), "is not a safetensors file", id="absurd length"),
        pytest.param(
            struct.pack("<Q", 4) + b"nope", "no readable safetensors header", id="no JSON"
        ),
        pytest.param(weights({"w": 3}, b""), "no readable safetensors header", id="no tensor"),
        pytest.param(weights({"w": TENSOR}, bytes(7)), "the copy is incomplete", id="cut short"),
        pytest.param(weights({"w": TENSOR}, bytes(9)), "the copy is incomplete", id="too long"),
        pytest.param(
            struct.pack("<Q", 200_000) + b"[" * 200_000,
            "no readable safetensors header",
            id="nested without end",
        ),
    ],
)
def test_broken_weights_are_refused(tmp_path, content, said):
    with pytest.raises(StartRefused, match=said):
        check(tmp_path, "model.safetensors", content)


AUTO_MAP = {"AutoModelForCausalLM": "modeling_x.Model"}


@pytest.mark.parametrize(
    ("name", "config", "place"),
    [
        ("config.json", {"auto_map": AUTO_MAP}, "config.json: auto_map"),
        (
            "config.json",
            {"text_config": {"auto_map": AUTO_MAP}},
            "config.json: text_config: auto_map",
        ),
        ("config.json", {"parts": [{"auto_map": AUTO_MAP}]}, "config.json: parts[0]: auto_map"),
        ("tokenizer_config.json", {"auto_map": AUTO_MAP}, "tokenizer_config.json: auto_map"),
        ("processor_config.json", {"auto_map": AUTO_MAP}, "processor_config.json: auto_map"),
        ("generation_config.json", {"auto_map": "x"}, "generation_config.json: auto_map"),
    ],
    ids=["model", "nested", "in a list", "tokenizer", "processor", "generation"],
)
def test_configurations_that_name_code_are_refused(tmp_path, name, config, place):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text(json.dumps(config))
    with pytest.raises(StartRefused) as caught:
        contents.check_configs(tmp_path)
    assert caught.value.cause is Cause.ARTIFACT_REFUSED
    assert caught.value.message.startswith(place + " names Python code")


SPECULATORS = {"verifier": {"name_or_path": "/mnt/claims/other/model"}}
AUDIO = {"audio_tokenizer_class": "DacModel", "audio_tokenizer_name_or_path": "/mnt/claims/other"}


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        (
            "config.json",
            {"speculators_config": SPECULATORS},
            "config.json: speculators_config names another model",
        ),
        (
            "config.json",
            {"configuration_files": ["config.5.0.0.json"]},
            "config.json: configuration_files names other files",
        ),
        (
            "processor_config.json",
            {"audio_tokenizer": AUDIO},
            "processor_config.json: audio_tokenizer: audio_tokenizer_name_or_path names another",
        ),
        (
            "tokenizer_config.json",
            {"gguf_file": "../other.gguf"},
            "tokenizer_config.json: gguf_file names a file",
        ),
    ],
    ids=["another model", "another configuration", "another tokenizer", "another file"],
)
def test_configurations_that_lead_elsewhere_are_refused(tmp_path, name, config, said):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_text(json.dumps(config))
    with pytest.raises(StartRefused) as caught:
        contents.check_configs(tmp_path)
    assert caught.value.cause is Cause.ARTIFACT_REFUSED
    assert caught.value.message.startswith(said)


@pytest.mark.parametrize(
    "config",
    [
        {"_name_or_path": "/home/me/base", "name_or_path": "org/base"},
        {"quantization_config": {"quant_method": "fp8"}, "speculators_config": None},
    ],
    ids=["where it came from", "quantization"],
)
def test_configurations_that_only_tell_pass(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    contents.check_configs(tmp_path)


def test_an_empty_auto_map_names_no_code(tmp_path):
    (tmp_path / "config.json").write_text('{"auto_map": {}}')
    contents.check_configs(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 200_000])
def test_a_broken_configuration_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(StartRefused, match="config.json is not JSON"):
        contents.check_configs(tmp_path)


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(StartRefused, match="config.json is missing") as caught:
        contents.check_configs(tmp_path)
    assert "spec.model.uri" in caught.value.message
