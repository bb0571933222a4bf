"""Model folders as Export and people leave them, small and real."""

import hashlib
import json
import struct

import pytest

from fairlead_api.artifact import ARTIFACT_FILE, ArtifactFile, ArtifactRecord, content_digest


def _safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


@pytest.fixture
def safetensors():
    """The bytes of a whole safetensors file."""
    return _safetensors()


@pytest.fixture
def mount(tmp_path):
    folder = tmp_path / "claims" / "models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def model(mount):
    """A raw model folder inside a claim."""
    folder = mount / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (folder / "tokenizer.json").write_text('{"model": {"type": "BPE"}}')
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (folder / "model.safetensors").write_bytes(_safetensors())
    return folder


@pytest.fixture
def record():
    """A function that writes artifact.json for what a folder holds, and returns the record."""

    def write(folder, **changes):
        files = tuple(
            ArtifactFile(
                path=path.relative_to(folder).as_posix(),
                size_bytes=path.stat().st_size,
                digest="sha256:" + hashlib.sha256(path.read_bytes()).hexdigest(),
            )
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ARTIFACT_FILE
        )
        written = ArtifactRecord(
            **{
                "uri": "pvc://models/tiny",
                "digest": content_digest(files),
                "size_bytes": sum(file.size_bytes for file in files),
                "kind": "Model",
                "base_model": "pvc://models/base",
                "dataset_digest": "",
                "files": files,
            }
            | changes
        )
        (folder / ARTIFACT_FILE).write_text(written.model_dump_json(by_alias=True))
        return written

    return write


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    """A claim with a model of 100,000 random weights; a token a byte."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    claims = tmp_path_factory.mktemp("claims")
    folder = claims / "models" / "tiny"
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    fast.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    fast.save_pretrained(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return claims
