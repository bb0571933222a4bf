"""What the ranks know of each other: proven by reductions, never read from settings.

torch is imported inside functions. Every function here is a collective: all ranks call it, in
the same order.
"""

import os
import socket
from dataclasses import dataclass

from fairlead_api import names


@dataclass(frozen=True)
class World:
    """The processes that train together."""

    size: int
    """Sum over all ranks of 1."""
    num_nodes: int
    """How many different pods (hosts, when run by hand) they run in."""


def prove() -> World:
    """Count the ranks by a reduction, and the pods by their names."""
    import torch
    import torch.distributed as dist

    ones = torch.ones(1, dtype=torch.int64, device=_device())
    dist.all_reduce(ones)
    hosts: list[str | None] = [None] * int(ones.item())
    dist.all_gather_object(hosts, os.environ.get(names.ENV_POD_UID) or socket.gethostname())
    return World(size=int(ones.item()), num_nodes=len(set(hosts)))


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on one rank at least."""
    import torch
    import torch.distributed as dist

    flags = torch.tensor([int(flag)], device=_device())
    dist.all_reduce(flags, op=dist.ReduceOp.MAX)
    return bool(flags.item())


def from_first(value: str) -> str:
    """Rank 0's value, on every rank."""
    import torch.distributed as dist

    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def barrier() -> None:
    """Wait for all ranks."""
    any_rank(False)


def leave() -> None:
    """End the group, as the last that a rank does when all went well.

    A rank that ends within it may be aborted at its exit by a thread of gloo's, now and then, which
    fails a training that is done (PyTorch's issue 190489).
    """
    import torch.distributed as dist

    dist.destroy_process_group()


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
