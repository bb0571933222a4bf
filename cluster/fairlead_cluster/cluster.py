"""One embedded cluster with everything its parts work on; made once, passed down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import (
    api,
    cgroups,
    components,
    layout,
    pins,
    processes,
    programs,
    ranges,
    state,
)
from fairlead_cluster.settings import Settings


@dataclass(frozen=True)
class Cluster:
    """An embedded cluster that has its address ranges."""

    where: layout.Layout
    addresses: ranges.Ranges
    cache: programs.Cache

    @property
    def cgroup(self) -> cgroups.Cgroup:
        """The cgroup that holds everything of the cluster."""
        return cgroups.of(self.where.kernel_name)

    @property
    def supervisor(self) -> processes.Supervisor:
        """Starts and finds the cluster's processes."""
        return processes.Supervisor(
            pids=self.where.pids,
            logs=self.where.logs,
            cgroup=self.cgroup,
            namespace=self.where.namespace_file,
        )

    @property
    def parts(self) -> components.Parts:
        """What command lines are rendered from."""
        paths: dict[str, Path] = {name: self.cache.path(name) for name in pins.PROGRAMS}
        return components.Parts(self.where, self.addresses, paths)

    @property
    def server(self) -> api.Api:
        """The client of the API server."""
        return api.Api(self.where, self.addresses, self.cache.path("kubectl"))


def open_cluster(settings: Settings, record: state.State) -> Cluster:
    """Open the cluster that a record describes."""
    return Cluster(
        where=state.layout_of(settings.state_dir, record.name),
        addresses=ranges.Ranges(record.slot),
        cache=programs.open_cache(settings.cache_dir),
    )
