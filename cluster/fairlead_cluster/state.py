"""The record of a cluster on disk: typed, written whole or not at all.

It holds what can't be observed (which ranges were chosen, what was asked for); what runs is
always asked of the machine.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fairlead_cluster import errors, layout, progress

FORMAT = 1


@dataclass(frozen=True)
class State:
    """What `up` decided for a cluster."""

    name: str
    slot: int
    control_plane_only: bool = False
    """No kubelet: the API server, its controllers and simulated nodes."""
    num_simulated_gpu_nodes: int = 0
    with_addons: bool = True
    complete: bool = False
    """The last `up` came to its end; False means that it was interrupted."""
    format: int = FORMAT


def write(path: Path, state: State) -> None:
    """Replace the record atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(asdict(state), indent=2) + "\n")
    os.replace(aside, path)


def read(path: Path) -> State | None:
    """Read the record, None when there is none.

    Raises:
        ClusterError: When the record is broken or of another version of the tool.
    """
    way_out = f"run `fairlead-cluster down --name {path.parent.name}`, then `up` again"
    try:
        document = json.loads(path.read_text())
        state = State(**document)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as broken:
        raise errors.ClusterError(f"{path} can't be read ({broken})", way_out) from broken
    if state.format != FORMAT:
        raise errors.ClusterError(
            f"{path} has format {state.format}, this tool writes {FORMAT}", way_out
        )
    return state


def names(state_dir: Path) -> list[str]:
    """All clusters that have a folder here, running or not."""
    if not state_dir.is_dir():
        return []
    return sorted(path.parent.name for path in state_dir.glob("*/state.json"))


def slots(state_dir: Path, besides: str) -> dict[int, str]:
    """Slots of the other clusters, by the name of the cluster; those of other formats, too.

    One whose record is torn counts for none: no other cluster's `up` fails for it. Its own refuses
    the record, and while it runs its routes keep its ranges (``network.taken``).
    """
    found = {}
    for name in names(state_dir):
        with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
            if name != besides:
                found[int(json.loads((state_dir / name / "state.json").read_text())["slot"])] = name
    return found


@contextmanager
def lock(state_dir: Path, name: str, notice: str) -> Iterator[None]:
    """Let one process at a time change a cluster; a killed holder frees the lock.

    Args:
        state_dir: The folder of all clusters.
        name: What is locked.
        notice: Printed when another process holds it.
    """
    folder = state_dir / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note(notice)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def layout_of(state_dir: Path, name: str) -> layout.Layout:
    """Paths of one cluster."""
    return layout.Layout(name=name, root=state_dir / name)
