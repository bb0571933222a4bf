"""Bring a cluster up, from nothing or from wherever the last `up` was interrupted.

Every step looks at the machine and does what is missing, so running it again is always right.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from fairlead_cluster import (
    addons,
    cluster,
    commands,
    control_plane,
    errors,
    host,
    kubeconfig,
    network,
    node,
    pins,
    programs,
    progress,
    ranges,
    registry,
    simulated,
    state,
)
from fairlead_cluster.settings import Settings

_SIMULATED_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Wanted:
    """What the caller of `up` asks for; None keeps what the cluster has."""

    control_plane_only: bool = False
    num_simulated_gpu_nodes: int | None = None
    with_addons: bool = True


def up(settings: Settings, wanted: Wanted) -> cluster.Cluster:
    """Bring the cluster to what is wanted and return it.

    Raises:
        ClusterError: One clear line with the way out; the next `up` takes over.
    """
    started = time.monotonic()
    host.require_root()
    host.ensure_packages(_packages(wanted))
    with _disk_full_named():
        cache = programs.open_cache(settings.cache_dir)
        host.require_room(
            [
                (settings.state_dir, host.ROOM_BYTES["state"]),
                (settings.cache_dir, _room_for_builds(cache, wanted)),
            ]
        )
        cache.build(_programs(wanted))
        busy = f"  … another fairlead-cluster works on {settings.name}; waiting for it"
        with state.lock(settings.state_dir, settings.name, busy):
            record = _decide(settings, wanted)
            opened = cluster.open_cluster(settings, record)
            _bring_up(settings, opened, record)
            state.write(opened.where.state_file, replace(record, complete=True))
    progress.note(
        f"cluster {settings.name} is up ({progress.duration(time.monotonic() - started)})"
    )
    return opened


def _bring_up(settings: Settings, opened: cluster.Cluster, record: state.State) -> None:
    opened.cgroup.create()
    with progress.step("network namespace without a way out"):
        network.ensure(opened.where, opened.addresses)
    with progress.step("control plane"):
        control_plane.configure(opened.parts, opened.cache)
        kubeconfig.ensure(opened.where, opened.addresses)
        control_plane.start(opened.parts, opened.supervisor, opened.server)
    if not record.control_plane_only:
        _bring_up_node(settings, opened, record)
    if record.num_simulated_gpu_nodes or simulated.any_exist(opened.server):
        _simulate(opened, record.num_simulated_gpu_nodes)


def _bring_up_node(settings: Settings, opened: cluster.Cluster, record: state.State) -> None:
    with progress.step("registry of the machine's own"):
        images = registry.ensure(settings.state_dir, opened.cache)
        pause_tag = node.push_pause(images, opened.cache)
    with progress.step("node"):
        real = node.Node(opened.parts, images, pause_tag)
        real.configure()
        real.start(opened.supervisor, opened.server)
    if record.with_addons:
        image = addons.push_image(images, opened.cache)
        with progress.step("add-ons: DNS, volumes, gateway", 30):
            installed = addons.Addons(opened.parts, opened.server, opened.cache, image)
            installed.install()
            installed.wait(opened.supervisor)


def _simulate(opened: cluster.Cluster, num_nodes: int) -> None:
    with progress.step(f"{num_nodes} simulated GPU nodes"):
        simulated.ensure(opened.server, num_nodes)
        opened.supervisor.wait_ready(
            "kwok",
            lambda: simulated.are_ready(opened.server, num_nodes),
            _SIMULATED_PATIENCE_SECONDS,
        )


def _decide(settings: Settings, wanted: Wanted) -> state.State:
    where = state.layout_of(settings.state_dir, settings.name)
    # One slot must not go to two clusters that start at the same moment.
    with state.lock(settings.state_dir, ".slots", "  … another cluster takes its addresses"):
        record = state.read(where.state_file) or state.State(
            name=settings.name,
            slot=_free_slot(settings),
            control_plane_only=wanted.control_plane_only,
        )
        taken = ranges.conflict(ranges.Ranges(record.slot), network.taken(where))
        if taken is not None:
            raise errors.RangeTaken(taken, "free it, or run `down` and then `up` for another range")
        nodes = wanted.num_simulated_gpu_nodes
        record = replace(
            record,
            # A whole cluster is never reduced to its control plane by a later `up`.
            control_plane_only=record.control_plane_only and wanted.control_plane_only,
            num_simulated_gpu_nodes=record.num_simulated_gpu_nodes if nodes is None else nodes,
            with_addons=wanted.with_addons,
            complete=False,
        )
        state.write(where.state_file, record)
    return record


def _free_slot(settings: Settings) -> int:
    where = state.layout_of(settings.state_dir, settings.name)
    used = state.slots(settings.state_dir, besides=settings.name)
    return ranges.allocate(network.taken(where), used, settings.slot).slot


def _packages(wanted: Wanted) -> dict[str, str]:
    node = {} if wanted.control_plane_only else host.NODE_PACKAGES
    return {**host.PACKAGES, **node}


def _programs(wanted: Wanted) -> list[str]:
    names = list(pins.CONTROL_PLANE)
    if not wanted.control_plane_only:
        names += pins.NODE
        names += pins.ADDONS if wanted.with_addons else ()
    return names


def _room_for_builds(cache: programs.Cache, wanted: Wanted) -> int:
    is_built = all(cache.path(name).exists() for name in _programs(wanted))
    return 0 if is_built else host.ROOM_BYTES["cache"]


@contextmanager
def _disk_full_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if commands.is_disk_full(error):
            raise commands.disk_full("bring up the cluster") from error
        raise
