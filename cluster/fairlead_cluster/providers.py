"""Which cluster is meant: the user's own context, kind, or the embedded one.

FAIRLEAD_CONTEXT wins; then kind, where it is installed and docker answers; else the embedded
cluster. FAIRLEAD_PROVIDER=embedded or kind decides between the last two.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fairlead_cluster import down, errors, foreign, kind, programs, progress, status, up
from fairlead_cluster.settings import Settings

CONTEXT, KIND, EMBEDDED = "context", "kind", "embedded"


@dataclass(frozen=True)
class Access:
    """How to reach the cluster that is up."""

    kubeconfig: Path | None
    """None: what kubectl reads by itself."""
    context: str | None


def choose(settings: Settings) -> str:
    """Name the provider of these settings.

    Raises:
        ClusterError: When the environment names one that doesn't exist or can't be used.
    """
    if settings.context is not None:
        return CONTEXT
    if settings.provider not in (None, KIND, EMBEDDED):
        raise errors.ClusterError(
            f"there is no provider {settings.provider!r}",
            f"set FAIRLEAD_PROVIDER to {EMBEDDED} or {KIND}, or unset it",
        )
    if settings.provider == EMBEDDED:
        return EMBEDDED
    if kind.is_usable():
        return KIND
    if settings.provider == KIND:
        raise errors.HostUnfit(
            "kind can't be used: it is not installed, or no docker engine answers",
            "install both, or unset FAIRLEAD_PROVIDER",
        )
    return EMBEDDED


def bring_up(settings: Settings, wanted: up.Wanted) -> Access:
    """Bring up the cluster that is meant, and say how to reach it."""
    chosen = choose(settings)
    if chosen == CONTEXT:
        return _check_context(settings)
    if chosen == KIND:
        return Access(kind.Kind(settings).up(), None)
    return Access(up.up(settings, wanted).where.kubeconfig, None)


def take_down(settings: Settings) -> None:
    """Remove what `bring_up` made; a context of the user's own is left as it is."""
    chosen = choose(settings)
    if chosen == CONTEXT:
        progress.say(
            f"context {settings.context} is yours and stays; remove Fairlead from it with "
            "`helm uninstall fairlead`"
        )
    elif chosen == KIND:
        kind.Kind(settings).down()
    else:
        down.down(settings)


def kubeconfig(settings: Settings) -> Path | None:
    """Where the kubeconfig lies; None for the user's own.

    Raises:
        NoCluster: When the cluster is not there.
    """
    chosen = choose(settings)
    if chosen == CONTEXT:
        return None
    if chosen == KIND:
        return kind.Kind(settings).kubeconfig
    return status.require(settings)[0].where.kubeconfig


def report(settings: Settings) -> tuple[list[str], bool]:
    """Describe the cluster in lines, and tell whether all of it is there."""
    chosen = choose(settings)
    if chosen == EMBEDDED:
        return status.report(*status.require(settings))
    if chosen == KIND:
        return [f"kind cluster {settings.name} (see `kind get nodes`)"], True
    missing = _foreign(settings).check()
    return [f"context {settings.context} answers", *(f"  {line}" for line in missing)], True


def _check_context(settings: Settings) -> Access:
    for line in _foreign(settings).check():
        progress.say(f"  ! {line}")
    progress.say(f"context {settings.context} answers")
    return Access(None, settings.context)


def _foreign(settings: Settings) -> foreign.Foreign:
    assert settings.context is not None
    cache = programs.open_cache(settings.cache_dir)
    return foreign.Foreign(settings.context, cache.build(["kubectl"])["kubectl"])
