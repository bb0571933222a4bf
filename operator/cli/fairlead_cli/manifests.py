"""Manifests as files: checked against the typed resources, each fault with file and line.

Pure but for reading the files.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from fairlead_api import deepspeed, manifest, names
from fairlead_cli import errors


class _Loader(yaml.SafeLoader):
    """Reads YAML as kubectl does."""


manifest.read_as_kubectl(_Loader)


@dataclass(frozen=True)
class Fault:
    """One thing that the API server would refuse, or the operator, however it is set up."""

    file: str
    line: int
    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.problem}"


@dataclass(frozen=True)
class Report:
    """What one file holds."""

    checked: tuple[str, ...]
    """``kind/name`` of our resources."""
    passed_over: int
    """Documents of other kinds, which we can't judge."""
    faults: tuple[Fault, ...]


def check_file(path: Path) -> Report:
    """Check every document of a file.

    Raises:
        WrongUsage: When the file can't be read or is no YAML.
    """
    try:
        documents = [(node, _plain(node)) for node in yaml.compose_all(path.read_text(), _Loader)]
    except OSError as unreadable:
        raise errors.WrongUsage(f"{path}: {unreadable.strerror}") from unreadable
    except (yaml.YAMLError, UnicodeDecodeError) as broken:
        raise errors.WrongUsage(f"{path}: no YAML: {broken}") from broken
    checked: list[str] = []
    faults: list[Fault] = []
    passed_over = 0
    for node, body in documents:
        if body is None:  # nothing between two ---
            continue
        if not isinstance(body, dict) or not str(body.get("apiVersion", "")).startswith(
            f"{names.GROUP}/"
        ):
            passed_over += 1
            continue
        metadata = body.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        checked.append(f"{body.get('kind')}/{name}")
        faults += _faults(str(path), node, body)
    return Report(tuple(checked), passed_over, tuple(faults))


def _plain(node: yaml.Node) -> object:
    loader = _Loader("")
    try:
        document = loader.construct_document(node)
        json.dumps(document, default=str)
    except (TypeError, ValueError) as error:  # an anchor that holds itself, a key of bytes
        raise yaml.constructor.ConstructorError(
            problem=f"no document of JSON: {error}", problem_mark=node.start_mark
        ) from error
    finally:
        loader.dispose()
    return document


def _faults(file: str, node: yaml.Node, body: dict[str, object]) -> Iterator[Fault]:
    for fault in manifest.faults(body):
        yield Fault(file, _line(node, fault.way), fault.field, fault.problem)
    for way, problem in _refused(body):
        yield Fault(file, _line(node, way), ".".join(way), problem)


def _refused(body: dict[str, object]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What the operator refuses of a job's DeepSpeed configuration: where, and why."""
    way = ("spec", "deepspeed", "config")
    config: object = body if body.get("kind") == names.FINETUNEJOB else None
    for part in way:
        config = config.get(part) if isinstance(config, dict) else None
    if not isinstance(config, dict):
        return
    as_sent = json.loads(json.dumps(config, default=str))  # every key is text
    if deepspeed.is_too_deep(as_sent):
        yield way, deepspeed.TOO_DEEP
    for path in deepspeed.refused(as_sent):
        yield (*way, *path.split(".")), deepspeed.OWNED[path]


def _line(node: yaml.Node, path: tuple[int | str, ...]) -> int:
    """Line of the deepest node on the path: a missing field is told at its parent."""
    line = node.start_mark.line
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pairs = [(key, value) for key, value in node.value if key.value == part]
            if not pairs:
                break
            line, node = pairs[0][0].start_mark.line, pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line + 1
