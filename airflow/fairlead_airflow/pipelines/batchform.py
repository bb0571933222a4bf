"""The form of batch_generation."""

from airflow.sdk import Param

from fairlead_airflow.pipelines import entries
from fairlead_airflow.pipelines.entries import Form


def batch_generation() -> Form:
    """The form of batch_generation."""
    return {**_prompts(), **_asked(), **_quality(), **_warehouse()}


def _prompts() -> Form:
    section = "Prompts"
    return {
        "day": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Day",
            description="Empty: that of the run, in UTC.",
            section=section,
        ),
        "folder": Param(
            None,
            type=["null", "string"],
            pattern="^/",
            title="Folder",
            description="On a volume that all workers share; prompts/DAY.jsonl is waited for, and"
            " results/DAY/ is written. Empty: fairlead/ beside Airflow's folder of DAGs.",
            section=section,
        ),
        "max_chars": entries.number(
            32_000, 1, 10_000_000, "Longest prompt", "In characters.", section
        ),
        "max_broken": entries.share(
            0.5, "Broken rows", "Share above which the run fails.", section
        ),
    }


def _asked() -> Form:
    section = "Generation"
    return {
        "name": entries.service_name(),
        "namespace": entries.namespace(),
        "replicas": entries.number(
            1, 1, 10_000, "Replicas at least", "While it is asked; then as before.", section
        ),
        "concurrency": entries.number(8, 1, 10_000, "Requests at once", "On their way.", section),
        "max_tokens": entries.number(64, 1, 1_000_000, "Longest answer", "In tokens.", section),
        "parameters": entries.mapping(
            {"temperature": 0}, "More of each request", "As temperature, stop, seed.", section
        ),
    }


def _quality() -> Form:
    section = "Quality"
    return {
        "min_chars": entries.number(1, 0, 1_000_000, "Shortest answer", "In characters.", section),
        "max_repetition": entries.share(
            0.6, "Repetition", "Share of an answer's phrases that it may repeat.", section
        ),
        "format": entries.choice(
            ["text", "json"],
            "Format",
            "json: an answer that is no JSON document is rejected.",
            section,
        ),
        "min_accepted": entries.share(
            0.5, "Good answers", "Share below which the run fails.", section
        ),
    }


def _warehouse() -> Form:
    section = "Warehouse"
    return {
        "warehouse_conn_id": Param(
            "fairlead_warehouse",
            type="string",
            minLength=1,
            title="Connection",
            description="Of a SQLite, PostgreSQL, MySQL or BigQuery.",
            section=section,
        ),
        "table": Param(
            "answers",
            type="string",
            minLength=1,
            maxLength=200,
            title="Table",
            description="Made where there is none; the day's rows of a service are replaced.",
            section=section,
        ),
    }
