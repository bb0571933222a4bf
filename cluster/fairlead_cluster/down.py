"""Take a cluster down: everything of it, whatever state it is in."""

from __future__ import annotations

from dataclasses import replace

from fairlead_cluster import host, progress, registry, state, teardown
from fairlead_cluster.settings import Settings


def down(settings: Settings) -> None:
    """Remove the cluster; a cluster that is not there is no error."""
    host.require_root()
    busy = f"  … another fairlead-cluster works on {settings.name}; waiting for it"
    with (
        state.lock(settings.state_dir, settings.name, busy),
        progress.step(f"remove cluster {settings.name}"),
    ):
        teardown.remove(state.layout_of(settings.state_dir, settings.name))
        if not state.names(settings.state_dir):
            registry.stop(settings.state_dir)
    progress.say(f"cluster {settings.name} is gone; built programs stay in {settings.cache_dir}")


def down_all(settings: Settings) -> None:
    """Remove every cluster of this machine, whatever its name."""
    host.require_root()
    for name in state.names(settings.state_dir):
        down(replace(settings, name=name))
    registry.stop(settings.state_dir)
