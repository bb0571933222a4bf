"""Settings of the tool: the only module that reads the environment.

The command line may replace single fields (`dataclasses.replace`); nothing is cached here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import errors

DEFAULT_NAME = "fairlead"
NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(frozen=True)
class Settings:
    """Where the tool works and on which cluster."""

    name: str
    """Name of the embedded cluster; namespaces, devices and folders derive from it."""
    cache_dir: Path
    """Built programs, wheels and registry data; kept when a cluster goes."""
    state_dir: Path
    """One folder a cluster; removed by `down`."""
    context: str | None
    """A kubeconfig context of the user's own, used in place of an embedded cluster."""
    provider: str | None
    """`embedded` or `kind`; None lets the machine decide."""
    registry: str | None
    """Where the images of a foreign context are pulled from."""
    slot: int | None
    """Address ranges to use; None takes the first that is free."""


def check_name(name: str) -> str:
    """Return the name when it may name a cluster.

    Raises:
        ClusterError: When a namespace, a device or a folder could not carry the name.
    """
    if NAME_PATTERN.fullmatch(name) is None:
        raise errors.ClusterError(
            f"{name!r} can't name a cluster",
            "use up to 40 lower-case letters, digits and dashes, e.g. --name fairlead",
        )
    return name


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment."""
    env = os.environ if environment is None else environment
    home = Path(env.get("HOME", "/root"))
    cache = Path(env.get("XDG_CACHE_HOME") or home / ".cache")
    state_home = env.get("XDG_STATE_HOME")
    slot = env.get("FAIRLEAD_SLOT")
    if slot is not None and not slot.isdecimal():
        raise errors.ClusterError(f"FAIRLEAD_SLOT={slot!r} is no number", "set 0 to 15 or unset it")
    return Settings(
        name=check_name(env.get("FAIRLEAD_CLUSTER") or DEFAULT_NAME),
        cache_dir=cache / "fairlead",
        state_dir=Path(state_home) / "fairlead" if state_home else Path("/var/lib/fairlead"),
        context=env.get("FAIRLEAD_CONTEXT") or None,
        provider=env.get("FAIRLEAD_PROVIDER") or None,
        registry=env.get("FAIRLEAD_REGISTRY") or None,
        slot=None if slot is None else int(slot),
    )
