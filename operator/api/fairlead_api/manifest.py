"""What the API server would refuse of a manifest of ours, each fault with its place.

Types are taken as strictly as the API server takes them. What needs the object as it was, or the
cluster (whether a claim exists), is the API server's and the operator's to say.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from fairlead_api import names
from fairlead_api.base import Resource
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService

KINDS: Final[dict[str, type[Resource]]] = {
    names.FINETUNEJOB: FineTuneJob,
    names.MODELSERVICE: ModelService,
}


@dataclass(frozen=True)
class Fault:
    """One thing that the API server would refuse."""

    way: tuple[int | str, ...]
    """From the document's root to the place, as keys and indices."""
    problem: str

    @property
    def field(self) -> str:
        """The place as kubectl spells it: ``spec.datasets[0].name``."""
        text = ""
        for part in self.way:
            text += f"[{part}]" if isinstance(part, int) else f".{part}"
        return text.removeprefix(".")

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


def faults(body: Mapping[str, Any]) -> Iterator[Fault]:
    """Everything wrong with a manifest; dates and the like in it count as their text."""
    model = KINDS.get(str(body.get("kind")))
    if body.get("apiVersion") != names.API_VERSION:
        yield Fault(("apiVersion",), f"must be {names.API_VERSION}")
    if model is None:
        yield Fault(("kind",), f"must be one of {', '.join(KINDS)}")
        return
    try:
        text = json.dumps(body, default=str)
        resource = model.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            yield Fault(error["loc"], error["msg"])
        return
    for way, rule in resource.broken_rules():
        yield Fault((*way, *(rule.field_path or "").split(".")[1:]), rule.message)


def read_as_kubectl(loader: Any) -> None:
    """Teach a class of PyYAML's loaders to read numbers and dates as kubectl does.

    2e-4 is a number, 2.0 an integer, a date is text. The class comes from the caller: this
    package does without PyYAML.
    """
    loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
        list("-+.0123456789"),
    )
    loader.add_constructor("tag:yaml.org,2002:float", _number)
    loader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def _number(loader: Any, node: Any) -> float:
    number: float = loader.construct_yaml_float(node)
    return int(number) if number.is_integer() else number


def _text(loader: Any, node: Any) -> str:
    return str(loader.construct_scalar(node))
