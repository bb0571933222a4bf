"""CustomResourceDefinitions from the pydantic models.

Turns pydantic's JSON Schema into the structural OpenAPI v3 schema that the API server takes:
references resolved, ``null`` dropped, descriptions kept for ``kubectl explain``.
"""

from typing import Any, Final

from fairlead_api import names
from fairlead_api.base import Resource
from fairlead_api.finetunejob import FineTuneJob
from fairlead_api.modelservice import ModelService
from fairlead_api.rules import RULES

_DROPPED: Final = ("title", "const", "$defs", "exclusiveMinimum", "exclusiveMaximum")
_LIST_KEYS: Final = {"conditions": ["type"], "stages": ["name"], "datasets": ["name"]}

Column = dict[str, Any]


def _column(name: str, path: str, type_: str = "string", *, wide: bool = False) -> Column:
    column: Column = {"name": name, "type": type_, "jsonPath": path}
    return column | ({"priority": 1} if wide else {})


_AGE: Final = _column("Age", ".metadata.creationTimestamp", "date")
FINETUNEJOB_COLUMNS: Final = (
    _column("Phase", ".status.phase"),
    _column("Step", ".status.progress.step", "integer"),
    _column("Loss", ".status.progress.loss", "number"),
    _column("ETA", ".status.progress.eta"),
    _column("GPUs", ".status.workers.gpus", "integer"),
    _AGE,
    _column("Model", ".spec.model.uri", wide=True),
    _column("Method", ".spec.tuning.type", wide=True),
    _column("Nodes", ".spec.numNodes", "integer", wide=True),
    _column("Reason", ".status.reason", wide=True),
)
MODELSERVICE_COLUMNS: Final = (
    _column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    _column("Model", ".status.model.uri"),
    _column("Revision", ".status.stable"),
    _column("URL", ".status.url"),
    _AGE,
    _column("Replicas", ".status.readyReplicas", "integer", wide=True),
    _column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
)


def finetunejob_crd() -> dict[str, Any]:
    """The CustomResourceDefinition of FineTuneJob."""
    return _crd(FineTuneJob, "ftj", names.FINETUNEJOB_PLURAL, FINETUNEJOB_COLUMNS)


def modelservice_crd() -> dict[str, Any]:
    """The CustomResourceDefinition of ModelService."""
    crd = _crd(ModelService, "msvc", names.MODELSERVICE_PLURAL, MODELSERVICE_COLUMNS)
    crd["spec"]["versions"][0]["subresources"]["scale"] = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return crd


def _crd(
    model: type[Resource], short: str, plural: str, columns: tuple[Column, ...]
) -> dict[str, Any]:
    kind = model.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": [names.CATEGORY],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": list(columns),
                    "schema": {"openAPIV3Schema": openapi_schema(model)},
                }
            ],
        },
    }


def openapi_schema(model: type[Resource]) -> dict[str, Any]:
    """The structural schema of a whole resource."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    root = _structural(schema, schema.get("$defs", {}))
    name = {"type": "string", "maxLength": 253}  # so that the rule can point at it
    root["properties"]["metadata"] = {"type": "object", "properties": {"name": name}}
    root["properties"]["apiVersion"] = {"type": "string"}
    root["properties"]["kind"] = {"type": "string"}
    root["properties"]["status"] = _without_defaults(root["properties"]["status"])
    root["required"] = ["spec"]
    return root


def _structural(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """One node of JSON Schema as one node of structural schema."""
    node = _resolved(node, definitions)
    out = {key: value for key, value in node.items() if key not in _DROPPED}
    if "const" in node:
        out["enum"] = [node["const"]]
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in node:
            out[bound.lower()] = node[f"exclusive{bound}"]
            out[f"exclusive{bound}"] = True
    if "properties" in out:
        out.pop("additionalProperties", None)
        out["properties"] = {
            name: _property(name, child, definitions) for name, child in out["properties"].items()
        }
    if "items" in out:
        out["items"] = _structural(out["items"], definitions)
    if isinstance(values := out.get("additionalProperties"), dict):
        out["additionalProperties"] = _structural(values, definitions)
    elif values is True:
        # Free-form values of named keys: as a free-form object, CEL's == is blind to renamed keys.
        out["additionalProperties"] = {"x-kubernetes-preserve-unknown-fields": True}
    out.pop("propertyNames", None)
    if isinstance(out.get("default"), dict):
        # Written out, since the rules are tried on a default before it is filled in.
        members = out.get("properties", {})
        out["default"] = {k: v["default"] for k, v in members.items() if "default" in v}
    return out


def _without_defaults(node: Any) -> Any:
    """A status says what was seen: the API server must not fill it in."""
    if isinstance(node, dict):
        return {
            key: _without_defaults(child)
            for key, child in node.items()
            if key != "default" or isinstance(child, dict) and "type" in child
        }
    return node


def _property(name: str, node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _structural(node, definitions)
    if name in _LIST_KEYS and schema.get("type") == "array":
        schema["x-kubernetes-list-type"] = "map"
        schema["x-kubernetes-list-map-keys"] = _LIST_KEYS[name]
    return schema


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference and drop ``null``; what stands beside them wins, rules add up."""
    beside = {key: value for key, value in node.items() if key not in ("$ref", "anyOf", "allOf")}
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        return _with(_resolved(target, definitions), beside)
    if "anyOf" in node:
        choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        if beside.get("default", ...) is None:
            del beside["default"]
        if len(choices) == 1:
            return _with(_resolved(choices[0], definitions), beside)
        if sorted(choice.get("type", "") for choice in choices) == ["integer", "string"]:
            bounds = {key: value for choice in choices for key, value in choice.items()}
            del bounds["type"]  # each bound speaks of one of the two types only
            return beside | bounds | {"x-kubernetes-int-or-string": True}
        raise ValueError(f"no structural schema for the union {node['anyOf']}")
    return node


def _with(below: dict[str, Any], beside: dict[str, Any]) -> dict[str, Any]:
    rules = [*below.get(RULES, ()), *beside.get(RULES, ())]
    return below | beside | ({RULES: rules} if rules else {})
