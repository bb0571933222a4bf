"""Manifests as files: checked against the typed resources, each fault with file and line.

Pure but for reading the files. Types are taken as strictly as the API server takes them. What
needs the object as it was, or the cluster (whether a claim exists), is the API server's and the
operator's to say.
"""

import json
import re
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


class _Loader(yaml.SafeLoader):
    """Reads YAML as kubectl does, where PyYAML differs: 2e-4 is a number, 2.0 an integer.

    A date is text.
    """


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    number = loader.construct_yaml_float(node)
    return int(number) if number.is_integer() else number


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)


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
    line = node.start_mark.line + 1
    model = KINDS.get(str(body.get("kind")))
    if body.get("apiVersion") != names.API_VERSION:
        yield Fault(file, line, "apiVersion", f"must be {names.API_VERSION}")
    if model is None:
        yield Fault(file, line, "kind", f"must be one of {', '.join(KINDS)}")
        return
    try:
        text = json.dumps(body, default=str)
        resource = model.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            yield Fault(file, _line(node, error["loc"]), _field(error["loc"]), error["msg"])
        return
    for way, rule in resource.broken_rules():
        where = (*way, *(rule.field_path or "").split(".")[1:])
        yield Fault(file, _line(node, where), _field(where), rule.message)


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
