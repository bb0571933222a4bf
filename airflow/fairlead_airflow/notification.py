"""What is told of a task or a run, from the context that Airflow gives; pure."""

from collections.abc import Mapping
from typing import Any, Final

LONGEST: Final = 2000
"""Characters of a reason: whoever reads it finds the rest in the log."""


def payload(context: Mapping[str, Any], text: str = "") -> dict[str, Any]:
    """One flat JSON object: ``text``, as chat services show it, and fields for programs.

    What isn't known is left out: a callback of a whole run knows no task.
    """
    fields = {
        "dag_id": _first(context, ("ti", "dag_id"), ("dag", "dag_id")),
        "task_id": _first(context, ("ti", "task_id")),
        "run_id": _first(context, ("ti", "run_id"), ("dag_run", "run_id")),
        "map_index": _map_index(context),
        "try_number": _first(context, ("ti", "try_number")),
        "state": _state(context),
        "resource": _resource(context),
        "reason": _reason(context),
        "log_url": _first(context, ("ti", "log_url")),
    }
    told = {name: value for name, value in fields.items() if value not in (None, "")}
    return {"text": text or _text(told)} | told


def _text(told: Mapping[str, Any]) -> str:
    """One or two lines for people."""
    place = "/".join(str(told[key]) for key in ("dag_id", "task_id") if key in told)
    words = [f"{place or 'Airflow'}: {told.get('state', 'told')}"]
    if "run_id" in told:
        words.append(f"in run {told['run_id']}")
    if "resource" in told:
        words.append(f"({told['resource']['kind']} {told['resource']['name']})")
    line = " ".join(words)
    if "reason" in told:
        line += f": {told['reason']}"
    return f"{line}\n{told['log_url']}" if "log_url" in told else line


def _first(context: Mapping[str, Any], *places: tuple[str, str]) -> Any:
    for key, attribute in places:
        if (found := getattr(context.get(key), attribute, None)) is not None:
            return found
    return None


def _map_index(context: Mapping[str, Any]) -> int | None:
    index = _first(context, ("ti", "map_index"))
    return index if isinstance(index, int) and index >= 0 else None


def _state(context: Mapping[str, Any]) -> str | None:
    if context.get("exception") is not None:
        return "failed"
    state = _first(context, ("ti", "state"), ("dag_run", "state"))
    return None if state is None else str(getattr(state, "value", state))


def _reason(context: Mapping[str, Any]) -> str | None:
    """Why, cut where it is long: the end of a long message says least."""
    why = context.get("exception") or context.get("reason")
    text = str(why) if why is not None else ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _resource(context: Mapping[str, Any]) -> dict[str, str] | None:
    """What the task waited for, if it is a task of ours."""
    of = getattr(context.get("task"), "target", None)
    parts = ("kind", "namespace", "name")
    if of is None or not all(hasattr(of, part) for part in parts):
        return None
    return {part: str(getattr(of, part)) for part in parts}
