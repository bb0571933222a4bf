"""What the API server would refuse of a manifest of ours, each fault with its place.

Types are taken as strictly as the API server takes them, and no stricter. What needs the object as
it was, or the cluster (whether a claim exists), is the API server's and the operator's to say.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import ValidationError

from fairlead_api import names, spelling, uris
from fairlead_api.base import DNS_SUBDOMAIN_PATTERN, ObjectMeta, Resource
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService

KINDS: Final[dict[str, type[Resource]]] = {
    names.FINETUNEJOB: FineTuneJob,
    names.MODELSERVICE: ModelService,
}
_METADATA: Final = frozenset(
    {
        "annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp",
        "finalizers", "generateName", "generation", "labels", "managedFields", "name", "namespace",
        "ownerReferences", "resourceVersion", "selfLink", "uid",
    }
)  # fmt: skip
"""Members of Kubernetes' ObjectMeta."""
_MAX_ANNOTATIONS_BYTES: Final = 256 * 1024
_UNKNOWN: Final = "unknown field"
_NO_URI: Final = "must be pvc://CLAIM/PATH; model hubs and object stores are not read"
_LABEL_VALUE: Final = re.compile("([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_DOMAIN: Final = re.compile(DNS_SUBDOMAIN_PATTERN.strip("^$"))


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
    given = _with_numbers_as_read(json.loads(json.dumps(body, default=str)))
    if isinstance(metadata := given.get("metadata"), dict):
        yield from _faults_of_metadata(metadata)
        given["metadata"] = _without_what_we_never_read(metadata)
    yield from _unknown_members(model, given)
    given.pop("status", None)  # set aside on creation, though its names are looked at
    try:
        resource = _read(model, _without_nulls(given), extra="ignore")
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            is_uri = (error.get("ctx") or {}).get("pattern") == uris.URI_PATTERN
            yield Fault(error["loc"], _NO_URI if is_uri else error["msg"])
        return
    for way, rule in resource.broken_rules():
        yield Fault((*way, *(rule.field_path or "").split(".")[1:]), rule.message)


def _read(model: type[Resource], plain: Any, extra: Literal["ignore", "forbid"]) -> Resource:
    """Type data as the API server does; raises ValidationError."""
    text = json.dumps(plain)
    return model.model_validate_json(text, strict=True, extra=extra, by_alias=True, by_name=False)


def _unknown_members(model: type[Resource], given: Any) -> Iterator[Fault]:
    """Members that no model has, null or not; what else is wrong is told by a reading without."""
    try:
        _read(model, given, extra="forbid")
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            if error["type"] == "extra_forbidden":
                meant = spelling.meant(model, error["loc"])
                hint = f"; did you mean {meant}?" if meant else ""
                yield Fault(error["loc"], f"{_UNKNOWN}{hint}")


def _without_nulls(value: Any) -> Any:
    """A member that is null is as if it weren't there; an item of a list isn't."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _with_numbers_as_read(value: Any) -> Any:
    """2.0 is sent as 2, and a whole number beyond 64 bits isn't read as one."""
    if isinstance(value, dict):
        return {key: _with_numbers_as_read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_numbers_as_read(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    is_whole = value % 1 == 0 and -(2**63) <= value < 2**63
    return int(value) if is_whole else float(value)


def _faults_of_metadata(metadata: dict[str, Any]) -> Iterator[Fault]:
    for key in metadata.keys() - _METADATA:
        yield Fault(("metadata", key), _UNKNOWN)
    for member, values in (("labels", _LABEL_VALUE), ("annotations", re.compile("(?s).*"))):
        entries = metadata.get(member)
        for key, value in entries.items() if isinstance(entries, dict) else ():
            if not _is_key(key if member == "labels" else key.lower()):
                yield Fault(("metadata", member, key), "is no name, nor a name with a domain")
            elif isinstance(value, str) and not values.fullmatch(value):
                yield Fault(("metadata", member, key), "is no value of a label")
    if isinstance(annotations := metadata.get("annotations"), dict):
        texts = [*annotations, *map(str, annotations.values())]
        if sum(len(text.encode()) for text in texts) > _MAX_ANNOTATIONS_BYTES:
            yield Fault(("metadata", "annotations"), "are more than an object may carry")


def _is_key(text: str) -> bool:
    domain, slash, name = text.rpartition("/")
    is_named = name != "" and _LABEL_VALUE.fullmatch(name) is not None
    return is_named and (not slash or bool(len(domain) <= 253 and _DOMAIN.fullmatch(domain)))


def _without_what_we_never_read(metadata: dict[str, Any]) -> dict[str, Any]:
    """What ``ObjectMeta`` knows; a name that is to be made up stands as it would be."""
    read = {field.alias or name for name, field in ObjectMeta.model_fields.items()}
    kept = {key: value for key, value in metadata.items() if key in read}
    begin = metadata.get("generateName")
    return kept | ({"name": f"{begin}aaaaa"} if begin and not kept.get("name") else {})


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
