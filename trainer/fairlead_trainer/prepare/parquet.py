"""Normalised rows as parquet shards, with the digest over their content.

Streams: one row group in memory. The digest is over the rows, not over the files, so that equal
data has an equal digest whatever wrote it.
"""

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from fairlead_trainer.prepare.rows import Shape

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import parquet

ROWS_A_GROUP: Final = 10_000
ROWS_A_SHARD: Final = 1_000_000


class ShardWriter:
    """Writes rows of one shape into ``train-00000.parquet`` and so on."""

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.num_rows = 0
        self._folder = folder
        self._schema = schema(shape)
        self._digest = hashlib.sha256(shape.encode() + b"\n")
        self._pending: list[dict[str, Any]] = []
        self._file: parquet.ParquetWriter | None = None
        self._num_shards = 0
        self._shard_rows = 0

    @property
    def digest(self) -> str:
        """sha256 over all rows written so far."""
        return f"sha256:{self._digest.hexdigest()}"

    def write(self, row: dict[str, Any]) -> None:
        """Take one normalised row."""
        canonical = json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        self._digest.update(canonical.encode() + b"\n")
        self._pending.append(row)
        self.num_rows += 1
        if len(self._pending) >= ROWS_A_GROUP:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._flush()
        self._close()

    def _flush(self) -> None:
        import pyarrow
        from pyarrow import parquet

        if not self._pending:
            return
        if self._file is None:
            path = self._folder / f"train-{self._num_shards:05}.parquet"
            self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")
            self._num_shards += 1
        self._file.write_table(pyarrow.Table.from_pylist(self._pending, schema=self._schema))
        self._shard_rows += len(self._pending)
        self._pending = []
        if self._shard_rows >= ROWS_A_SHARD:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._shard_rows = None, 0


def schema(shape: Shape) -> "pyarrow.Schema":
    """The columns of a shape."""
    import pyarrow

    message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    columns = {
        Shape.TEXT: {"text": pyarrow.string()},
        Shape.CONVERSATIONAL: {"messages": pyarrow.list_(message)},
        Shape.PROMPT_COMPLETION: {"prompt": pyarrow.string(), "completion": pyarrow.string()},
        Shape.PROMPT_COMPLETION_MESSAGES: {
            "prompt": pyarrow.list_(message),
            "completion": pyarrow.list_(message),
        },
    }
    return pyarrow.schema(list(columns[shape].items()))
