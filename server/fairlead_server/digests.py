"""Sizes and sha256 of many files at once, with progress for models of many gigabytes.

Knows nothing of models or records: files in, digests out.
"""

import hashlib
import logging
import os
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 4 * 1024 * 1024
_PROGRESS_SECONDS: Final = 5.0
_MAX_THREADS: Final = 8  # storage is the limit beyond that
_GIB: Final = 1024**3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """What one file holds."""

    size_bytes: int
    digest: str


class _Progress:
    """Bytes read so far; each thread only ever adds to its own slot."""

    def __init__(self, num_files: int) -> None:
        self.read_bytes = [0] * num_files

    @property
    def total_bytes(self) -> int:
        return sum(self.read_bytes)


def _measure(path: Path, progress: _Progress, slot: int) -> Measured:
    sha256 = hashlib.sha256()
    buffer = bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            sha256.update(view[:count])  # releases the GIL, so threads use all cores
            progress.read_bytes[slot] += count
    return Measured(progress.read_bytes[slot], f"sha256:{sha256.hexdigest()}")


def measure(paths: list[Path]) -> list[Measured]:
    """Measure every file, in the order given; raises OSError where one can't be read."""
    progress = _Progress(len(paths))
    total_bytes = sum(path.stat().st_size for path in paths)
    num_threads = max(1, min(_MAX_THREADS, len(os.sched_getaffinity(0)), len(paths)))
    begun = time.monotonic()
    with ThreadPoolExecutor(num_threads, thread_name_prefix="digest") as pool:
        futures = [pool.submit(_measure, path, progress, i) for i, path in enumerate(paths)]
        pending = set(futures)
        while pending:
            done, pending = wait(pending, _PROGRESS_SECONDS, FIRST_EXCEPTION)
            if any(future.exception() for future in done):
                pool.shutdown(cancel_futures=True)
                break
            if pending:
                logger.info(
                    "checked %.1f of %.1f GiB in %.0f s",
                    progress.total_bytes / _GIB,
                    total_bytes / _GIB,
                    time.monotonic() - begun,
                )
        return [future.result() for future in futures if not future.cancelled()]
