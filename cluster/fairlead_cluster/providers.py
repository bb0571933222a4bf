"""Which cluster is meant: the user's own context, kind, or the embedded one.

FAIRLEAD_CONTEXT wins; then kind, where it is installed and docker answers; else the embedded
cluster. FAIRLEAD_PROVIDER=embedded or kind decides between the last two. Every verb asks here.
"""

from __future__ import annotations

from fairlead_cluster import embedded, errors, foreign, kind
from fairlead_cluster.provider import Provider
from fairlead_cluster.settings import Settings

KIND, EMBEDDED = "kind", "embedded"


def choose(settings: Settings) -> Provider:
    """Return the provider that these settings mean on this machine.

    Raises:
        ClusterError: When the environment names one that doesn't exist or can't be used.
    """
    if settings.context is not None:
        return foreign.Foreign(settings)
    if settings.provider not in (None, KIND, EMBEDDED):
        raise errors.ClusterError(
            f"there is no provider {settings.provider!r}",
            f"set FAIRLEAD_PROVIDER to {EMBEDDED} or {KIND}, or unset it",
        )
    if settings.provider != EMBEDDED and kind.is_usable():
        return kind.Kind(settings)
    if settings.provider == KIND:
        raise errors.HostUnfit(
            "kind can't be used: it is not installed, or no docker engine answers",
            "install both, or unset FAIRLEAD_PROVIDER",
        )
    return embedded.Embedded(settings)
