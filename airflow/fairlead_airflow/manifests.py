"""From what a DAG gives to a manifest that the API server would take; pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml

from fairlead_airflow import naming
from fairlead_api import manifest, names

Manifest = dict[str, Any]


class InvalidManifest(ValueError):
    """Not a manifest of the kind that was asked for; the message names the fields."""


class _Loader(yaml.SafeLoader):
    """Reads YAML as kubectl does."""


manifest.read_as_kubectl(_Loader)


def parse(given: Mapping[str, Any] | str) -> Manifest:
    """Read a manifest given as text or as a mapping.

    Raises:
        InvalidManifest: When it is no single document of YAML, or no mapping.
    """
    if isinstance(given, str):
        try:
            given = yaml.load(given, _Loader)  # noqa: S506  # a SafeLoader
        except yaml.YAMLError as broken:
            raise InvalidManifest(f"the manifest is no single document of YAML: {broken}") from None
    if not isinstance(given, Mapping):
        raise InvalidManifest(f"the manifest must be a mapping, it is {type(given).__name__}")
    copied: Manifest = json.loads(json.dumps(given, default=str))
    return copied


def complete(body: Manifest, kind: str, name: str, namespace: str, key: naming.TaskKey) -> Manifest:
    """Fill in what a DAG may leave out, note who asks, and check the whole.

    A name or namespace in the manifest itself goes first.

    Raises:
        InvalidManifest: With each field that the API server would refuse, or for another kind.
    """
    if body.setdefault("kind", kind) != kind:
        raise InvalidManifest(f"kind: must be {kind}, it is {body['kind']}")
    body.setdefault("apiVersion", names.API_VERSION)
    metadata = body.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise InvalidManifest("metadata: must be a mapping")
    for member, value in (("name", name), ("namespace", namespace)):
        if metadata.get(member) is None:
            metadata[member] = value
    if faults := [str(fault) for fault in manifest.faults(body)]:
        raise InvalidManifest("\n".join([f"{kind} {metadata['name']} is invalid:", *faults]))
    annotations = metadata["annotations"] = metadata.get("annotations") or {}  # perhaps null
    annotations[names.ANNOTATION_TASK] = str(key)
    annotations[names.ANNOTATION_SPEC] = digest(body["spec"])
    return body


def digest(spec: Mapping[str, Any]) -> str:
    """What tells one spec from another."""
    text = json.dumps(spec, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
