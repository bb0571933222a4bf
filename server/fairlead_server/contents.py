"""What a single file of a model may be: no pickle, no code, no broken safetensors.

Reads heads of files only, so it is cheap on models of any size; digests are ``digests``' matter.
"""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from fairlead_api.termination import Cause
from fairlead_server.refusal import StartRefused

PICKLE_SUFFIXES: Final = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})
CODE_SUFFIXES: Final = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh"})
WEIGHTS_SUFFIX: Final = ".safetensors"

_ZIP_MAGIC: Final = b"PK\x03\x04"  # what torch.save writes
_PICKLE_OPCODE: Final = 0x80  # PROTO, followed by the protocol's number
_PICKLE_PROTOCOLS: Final = range(2, 6)
_MAX_HEADER_BYTES: Final = 100_000_000  # safetensors' own bound
_CONFIG_NAMES: Final = ("config.json", "*_config.json")
# What vLLM 0.32 and transformers 5.23 follow out of a configuration, to what isn't checked here.
_LEADING_AWAY: Final = {
    "auto_map": (
        "names Python code to be loaded with the model, which is never done here: remove the "
        "entry if vLLM knows the architecture"
    ),
    "speculators_config": (
        "names another model, which vLLM would serve in this one's place: point spec.model.uri "
        "at that model"
    ),
    "configuration_files": (
        "names other files to be read in this one's place: keep the one that fits as config.json "
        "and remove the entry"
    ),
    "audio_tokenizer_name_or_path": (
        "names another model, which would be loaded unchecked: only models that bring all their "
        "parts are served"
    ),
    "gguf_file": (
        "names a file to be read as the tokenizer: save the tokenizer as tokenizer.json and "
        "remove the entry"
    ),
}


def _refused(message: str) -> StartRefused:
    return StartRefused(Cause.ARTIFACT_REFUSED, message)


def check_file(path: Path, name: str) -> None:
    """Refuse a file that could run code, or weights that are cut short."""
    suffix = path.suffix.lower()
    if suffix in PICKLE_SUFFIXES:
        raise _refused(
            f"{name} is a pickle file, and loading one runs whatever it holds: convert the "
            "weights to safetensors and remove it"
        )
    if suffix in CODE_SUFFIXES:
        raise _refused(
            f"{name} is code, and models may bring none: use an architecture that vLLM knows "
            "and remove the file"
        )
    with path.open("rb") as file:
        head = file.read(8)
        if suffix == WEIGHTS_SUFFIX:
            _check_weights(head, file.read, path.stat().st_size, name)
        elif _is_pickle(head):
            raise _refused(
                f"{name} is a pickle file by its first bytes, whatever its name: convert the "
                "weights to safetensors and remove it"
            )


def _is_pickle(head: bytes) -> bool:
    if head.startswith(_ZIP_MAGIC):
        return True
    return len(head) > 1 and head[0] == _PICKLE_OPCODE and head[1] in _PICKLE_PROTOCOLS


def _check_weights(head: bytes, read: Callable[[int], bytes], size_bytes: int, name: str) -> None:
    """Check that a safetensors file's header reads and that its tensors are all there."""
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not 2 <= length <= min(_MAX_HEADER_BYTES, size_bytes - 8):
        raise _refused(f"{name} is not a safetensors file: save or copy the model again")
    try:
        header = json.loads(read(length))
        ends = [
            int(tensor["data_offsets"][1])
            for key, tensor in header.items()
            if key != "__metadata__"
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _refused(
            f"{name} has no readable safetensors header ({error}): save or copy the model again"
        ) from error
    expected_bytes = 8 + length + max(ends, default=0)
    if size_bytes != expected_bytes:
        raise _refused(
            f"{name} has {size_bytes} bytes where its header promises {expected_bytes}: the copy "
            "is incomplete, copy the model again"
        )


def check_configs(folder: Path) -> None:
    """Refuse a model whose configuration leads to code, or to what lies elsewhere."""
    if not (folder / "config.json").is_file():
        raise _refused(
            f"config.json is missing in {folder}: point spec.model.uri at the folder that "
            "holds config.json, the tokenizer and *.safetensors"
        )
    for pattern in _CONFIG_NAMES:
        for path in sorted(folder.glob(pattern)):
            for place, key in _leading_away(_load(path), path.name):
                raise _refused(f"{place}: {key} {_LEADING_AWAY[key]}")


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _refused(f"{path.name} is not JSON ({error}): copy the model again") from error


def _leading_away(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Place and key of each entry that leads away, at any depth; an empty one leads nowhere."""
    stack = [(place, value)]
    while stack:
        where, part = stack.pop()
        if isinstance(part, dict):
            yield from ((where, key) for key in _LEADING_AWAY if part.get(key))
            stack.extend((f"{where}: {key}", member) for key, member in part.items())
        elif isinstance(part, list):
            stack.extend((f"{where}[{i}]", member) for i, member in enumerate(part))
