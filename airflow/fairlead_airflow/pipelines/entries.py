"""Parameters that forms have in common, and how each kind of them is made."""

import json
from typing import Any, Final

from airflow.sdk import Param

from fairlead_airflow.pipelines import plan
from fairlead_api import names, uris
from fairlead_api.base import DNS_LABEL_PATTERN

Form = dict[str, Any]
URI: Final[dict[str, Any]] = {"pattern": uris.URI_PATTERN, "maxLength": uris.MAX_URI_LENGTH}
LABEL: Final[dict[str, Any]] = {"pattern": DNS_LABEL_PATTERN, "maxLength": 63}
RESOURCE: Final[dict[str, Any]] = {"pattern": DNS_LABEL_PATTERN, "maxLength": names.MAX_NAME_LENGTH}
QUESTIONS: Final = "\n".join(
    json.dumps(
        {
            "messages": [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": completion},
            ]
        }
    )
    for prompt, completion in (
        ("How much is 933 kilometres?", "933 km"),
        ("seventy-eight mm", "78 mm"),
        ("fourteen cl", "14 cl"),
        ("Order 228 grams of coffee please.", "228 g"),
        ("twenty-eight and a half centilitres of milk", "28.5 cl"),
        ("How much is twenty-nine and a half kilograms?", "29.5 kg"),
        ("thirty-three centimetres", "33 cm"),
        ("Order seventy-nine ml of cream please.", "79 ml"),
    )
)
"""What the example's model is asked where the form says nothing else."""


def service_name() -> Param:
    """Which service."""
    about = "Name of the ModelService that users ask."
    name = {"pattern": DNS_LABEL_PATTERN, "maxLength": plan.MAX_NAME}
    return text("units", "Service", about, "Model", **name)


def namespace() -> Param:
    """Where resources are made."""
    return optional_text(None, "Namespace", "Empty: the connection's.", "Model", **LABEL)


def serving() -> Form:
    """How a model is served."""
    section = "Serving"
    return {
        "gpus_per_replica": number(0, 0, 64, "GPUs a replica", "0 serves on CPUs.", section),
        "serving_resources": mapping(
            {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "6Gi"}},
            "Resources a replica",
            "As in a pod: requests and limits.",
            section,
        ),
        "engine": mapping(
            {"maxModelLen": 256, "dtype": "float32", "extraArgs": {"enforce-eager": ""}},
            "Engine",
            "The ModelService's spec.engine: settings of vLLM.",
            section,
        ),
    }


def questions(section: str) -> Param:
    """An exam."""
    return Param(
        QUESTIONS,
        type="string",
        minLength=1,
        maxLength=1_000_000,
        format="multiline",
        title="Questions",
        description="JSONL with prompt (or messages) and completion, or the path of such a file"
        " below the DAG file's folder, relative to it.",
        section=section,
    )


def gates(default: list[dict[str, Any]], title: str, description: str, section: str) -> Param:
    """Thresholds on scores."""
    return Param(
        default,
        type="array",
        items={
            "type": "object",
            "properties": {
                "metric": {"type": "string", "minLength": 1},
                "operator": {"enum": [">=", ">", "<=", "<"]},
                "threshold": {"type": "number"},
            },
            "required": ["metric", "operator", "threshold"],
            "additionalProperties": False,
        },
        title=title,
        description=description,
        section=section,
    )


def text(default: str, title: str, description: str, section: str, **schema: Any) -> Param:
    """A text that must be there."""
    whole: dict[str, Any] = {"type": "string", "minLength": 1} | schema
    return Param(default, **whole, title=title, description=description, section=section)


def optional_text(
    default: str | None, title: str, description: str, section: str, **schema: Any
) -> Param:
    """A text that may be left out."""
    whole: dict[str, Any] = {"type": ["null", "string"], "minLength": 1} | schema
    return Param(default, **whole, title=title, description=description, section=section)


def choice(options: list[str], title: str, description: str, section: str) -> Param:
    """One of several; the first where nobody chooses."""
    whole: dict[str, Any] = {"type": "string", "enum": options}
    return Param(options[0], **whole, title=title, description=description, section=section)


def flag(default: bool, title: str, description: str, section: str) -> Param:
    """Yes or no."""
    return Param(default, type="boolean", title=title, description=description, section=section)


def number(
    default: int, least: int, most: int, title: str, description: str, section: str
) -> Param:
    """A whole number."""
    bounds: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    return Param(default, **bounds, title=title, description=description, section=section)


def share(default: float, title: str, description: str, section: str) -> Param:
    """A number from 0 to 1."""
    bounds: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
    return Param(default, **bounds, title=title, description=description, section=section)


def mapping(default: dict[str, Any], title: str, description: str, section: str) -> Param:
    """A JSON object."""
    return Param(default, type="object", title=title, description=description, section=section)
