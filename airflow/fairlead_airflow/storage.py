"""Lists files, on a volume or wherever Airflow has a storage for."""

from typing import Final

from airflow.sdk import ObjectStoragePath

from fairlead_airflow import listing
from fairlead_airflow.fields import InvalidField

_SCHEME: Final = "://"
_NONE: Final = (None, "", "None")


def check(uri: str) -> None:
    """See that it is an address or the whole path of files.

    Raises:
        InvalidField: Where it isn't.
    """
    if not isinstance(uri, str) or not (uri.startswith("/") or _SCHEME in uri):
        raise InvalidField(
            f"uri: must be an address or the whole path of files that all workers share, it is"
            f" {uri!r}"
        )


def entries(uri: str, conn_id: str | None = None) -> list[listing.Entry]:
    """The files that a path or address means, with patterns or without.

    Blocks for as long as the storage takes.

    Raises:
        InvalidField: Where Airflow has no storage for such addresses.
    """
    check(uri)
    try:
        path = ObjectStoragePath(uri, conn_id=None if conn_id in _NONE else conn_id)
        files = path.fs
    except ValueError as unknown:
        raise InvalidField(f"uri: {uri}: {unknown}; install the provider of it") from unknown
    files.invalidate_cache()
    found = files.glob(path.path, detail=True)
    return [
        listing.entry(files.unstrip_protocol(name) if _SCHEME in uri else name, told)
        for name, told in sorted(found.items())
        if told.get("type") == "file"
    ]
