"""Whether the cluster would take what a run is going to apply, asked before compute is spent.

A server-side dry run passes rights, namespace and admission as the real one does, and leaves
nothing behind.
"""

from __future__ import annotations

import logging

from fairlead_airflow import hooks, manifests, naming
from fairlead_airflow.pipelines.plan import InvalidPlan

log = logging.getLogger(__name__)


def require_taken(
    there: hooks.FairleadHook, of: hooks.Target, body: manifests.Manifest, key: naming.TaskKey
) -> None:
    """Apply a manifest, which stays as it is, by a dry run.

    Args:
        there: The connection.
        of: What it would make or change.
        body: The manifest; name and namespace are those of ``of``.
        key: The task that asks.

    Raises:
        InvalidPlan: For a manifest that is invalid as it stands.
        hooks.Refused: By the API server.
    """
    try:
        whole = manifests.complete(manifests.parse(body), of.kind, of.name, of.namespace, key)
    except manifests.InvalidManifest as invalid:
        raise InvalidPlan(str(invalid)) from invalid
    log.info("dry run of a %s in namespace %s", of.kind, of.namespace)
    there.apply(whole, dry_run=True)
