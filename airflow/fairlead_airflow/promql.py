"""The queries that sensors ask of Prometheus; pure."""

import re
from collections.abc import Mapping
from typing import Final

from fairlead_airflow.fields import InvalidField
from fairlead_api import metrics

_LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def selector(labels: Mapping[str, str]) -> str:
    """A metric's series by their labels.

    Raises:
        InvalidField: Where a label can't be one.
    """
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise InvalidField(f"labels: {label!r} is no label of Prometheus")
    pairs = (f'{label}="{_escaped(str(value))}"' for label, value in sorted(labels.items()))
    return f"{{{', '.join(pairs)}}}"


def gpu_utilization(labels: Mapping[str, str]) -> str:
    """Percent, the mean of all GPUs with these labels."""
    return f"avg({metrics.GPU_UTILIZATION}{selector(labels)})"


def request_rate(service: str, namespace: str, window_seconds: int) -> str:
    """Requests a second that a ModelService has answered, over a window.

    No answer while one of its pods is younger than the window: a counter that has just appeared
    tells of no rate, since what it counted before the first look isn't seen.
    """
    of = {metrics.LABEL_NAMESPACE: namespace, metrics.LABEL_MODELSERVICE: service}
    series = f"{metrics.VLLM_REQUESTS}{selector(of)}"
    window = f"{window_seconds}s"
    young = f"count({series} unless {series} offset {window})"
    return f"sum(rate({series}[{window}])) unless on() {young}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
