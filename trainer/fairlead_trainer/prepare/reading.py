"""Rows out of files, one at a time, whatever the file's size.

Yields (line number, row); raises StageFailure(DatasetError) that names dataset, file and line.
"""

import io
import json
from collections.abc import Iterator
from typing import IO, Any, Final

from fairlead_trainer import failures
from fairlead_trainer.prepare.rows import COLUMNS
from fairlead_trainer.prepare.sources import JSONL, Source

MAX_LINE_BYTES: Final = 64 << 20  # what one row may take of our memory
_BATCH_ROWS: Final = 1024


def rows(source: Source) -> Iterator[tuple[int, Any]]:
    """Every row of a file with its line (or row) number, from 1."""
    return _jsonl(source) if source.suffix == JSONL else _parquet(source)


def _jsonl(source: Source) -> Iterator[tuple[int, Any]]:
    with _open(source) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise source.refuse(number, f"longer than {MAX_LINE_BYTES} bytes")
            if line.strip():
                yield number, _parse(source, number, line)


def _open(source: Source) -> IO[bytes]:
    if source.path is None:
        return io.BytesIO(source.text.encode())
    try:
        return source.path.open("rb")
    except OSError as error:
        failure = source.refuse(0, f"cannot be read: {error}")
        raise failures.blamed(failure.cause, failure.message, error) from error


def _parse(source: Source, number: int, line: bytes) -> Any:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        return json.loads(text.rstrip("\r\n"))  # what is wrong at the end is wrong in this line
    except UnicodeDecodeError as error:
        raise source.refuse(number, f"is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # some of json's words end so already
        raise source.refuse(
            number, f"expected one JSON object a line: {what} at column {error.colno}"
        ) from error
    except RecursionError as error:
        raise source.refuse(number, "is nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits
        raise source.refuse(number, str(error)) from error


def _parquet(source: Source) -> Iterator[tuple[int, Any]]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(source.path) as file:
            # Other columns are named only: they may hold what Python has no value for.
            read = [name for name in file.schema_arrow.names if name in COLUMNS]
            absent = dict.fromkeys(file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=read):
                for index in range(batch.num_rows):
                    values = [column[index].as_py() for column in batch.columns]
                    number += 1
                    yield number, absent | dict(zip(batch.schema.names, values, strict=True))
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        failure = source.refuse(number + 1, f"is no readable parquet: {error}")
        raise failures.blamed(failure.cause, failure.message, error) from error
