"""Manifests as files: checked against the typed resources, each fault with file and line.

Pure but for reading the files. What needs other fields or the cluster (CEL rules, whether a claim
exists) is the API server's and the operator's to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from pydantic import ValidationError

from fairlead_api import names
from fairlead_api.base import Resource
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService
from fairlead_cli import errors

KINDS: Final[dict[str, type[Resource]]] = {
    names.FINETUNEJOB: FineTuneJob,
    names.MODELSERVICE: ModelService,
}


@dataclass(frozen=True)
class Fault:
    """One thing that the API server would refuse."""

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
        documents = [node for node in yaml.compose_all(path.read_text(), yaml.SafeLoader)]
    except OSError as unreadable:
        raise errors.WrongUsage(f"{path}: {unreadable.strerror}") from unreadable
    except (yaml.YAMLError, UnicodeDecodeError) as broken:
        raise errors.WrongUsage(f"{path}: no YAML: {broken}") from broken
    checked: list[str] = []
    faults: list[Fault] = []
    passed_over = 0
    for node in documents:
        body = _plain(node)
        if body is None:  # nothing between two ---
            continue
        if not isinstance(body, dict) or not str(body.get("apiVersion", "")).startswith(
            f"{names.GROUP}/"
        ):
            passed_over += 1
            continue
        checked.append(f"{body.get('kind')}/{(body.get('metadata') or {}).get('name')}")
        faults += _faults(str(path), node, body)
    return Report(tuple(checked), passed_over, tuple(faults))


def _plain(node: yaml.Node) -> object:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _faults(file: str, node: yaml.Node, body: dict[str, object]) -> Iterator[Fault]:
    line = node.start_mark.line + 1
    model = KINDS.get(str(body.get("kind")))
    if body.get("apiVersion") != names.API_VERSION:
        yield Fault(file, line, "apiVersion", f"must be {names.API_VERSION}")
    if model is None:
        yield Fault(file, line, "kind", f"must be one of {', '.join(KINDS)}")
        return
    try:
        model.read(body)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            yield Fault(file, _line(node, error["loc"]), _field(error["loc"]), error["msg"])


def _field(path: tuple[int | str, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


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
