"""Training rows from where Airflow can open them: an http(s) address, an object store, a file."""

from collections.abc import Mapping
from typing import Any

from airflow.sdk import ObjectStoragePath

from fairlead_airflow.pipelines import rows
from fairlead_api import uris


def training_rows(form: Mapping[str, Any]) -> str | None:
    """The rows that a run brings along, checked one by one; None: the cluster has them.

    Raises:
        rows.BrokenRows: Naming the lines.
        OSError: When the address doesn't open.
    """
    if form["rows"]:
        rows.check("rows", form["rows"], form["data_format"])
        return str(form["rows"])
    source = form["dataset"]
    if source.startswith("pvc://"):
        uris.parse(source)
        return None
    text = _read(source, form["dataset_conn_id"])
    rows.check(source, text, form["data_format"])
    return text


def _read(source: str, conn_id: str | None) -> str:
    """The text at an address, of one byte more than is allowed at most."""
    path: Any = ObjectStoragePath(source, conn_id=conn_id)
    with path.open("rb") as stream:
        data: bytes = stream.read(4 * rows.MAX_CHARS + 1)  # UTF-8 takes four bytes at most
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as broken:
        line = data[: broken.start].count(b"\n") + 1
        raise rows.BrokenRows(f"{source}, line {line}: no UTF-8") from broken
