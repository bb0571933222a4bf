"""Parameters that forms have in common, and how each kind of them is made."""

import json
from typing import Any, Final

from airflow.sdk import Param

from fairlead_airflow.pipelines import plan
from fairlead_api.base import DNS_LABEL_PATTERN

Form = dict[str, Any]
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


def service_name(default: str = "units") -> Param:
    """Which service."""
    return Param(
        default,
        type="string",
        pattern=DNS_LABEL_PATTERN,
        maxLength=plan.MAX_NAME,
        title="Service",
        description="Name of the ModelService that users ask.",
        section="Model",
    )


def namespace() -> Param:
    """Where resources are made."""
    return Param(
        None,
        type=["null", "string"],
        pattern=DNS_LABEL_PATTERN,
        maxLength=63,
        title="Namespace",
        description="Empty: the connection's.",
        section="Model",
    )


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
        " on the workers.",
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


def notify_conn_id() -> Param:
    """Whom to tell."""
    return Param(
        None,
        type=["null", "string"],
        minLength=1,
        title="Connection to notify",
        description="Told when no gate passed; empty: the task's log only.",
        section="Afterwards",
    )


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
