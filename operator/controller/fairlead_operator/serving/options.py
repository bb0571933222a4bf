"""What the installation's administrator decides about every ModelService.

Data only; ``settings`` fills it from the operator's environment.
"""

from dataclasses import dataclass

from fairlead_api.modelservice import GatewayRef


@dataclass(frozen=True)
class Options:
    """The same for all ModelServices of one installation."""

    image: str
    """Image of the server; its entry point serves."""
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets in the ModelService's namespace."""
    gateway: GatewayRef | None = None
    """Gateway of services that name none; None where the installation has none."""
    domain: str = "fairlead.local"
    """Services answer at <name>.<namespace>.<domain> unless they say otherwise."""
    allowed_arguments: frozenset[str] = frozenset()
    """Keys of engine.extraArgs beyond our own list."""
    startup_timeout_seconds: int = 1800
    """Longest time from container start to the first token; large models take minutes."""
    progress_deadline_seconds: int = 2400
    """Time without progress after which a revision counts as failed; it is not given up."""
    drain_seconds: int = 60
    """Longest time that running requests get to end when their pod goes: once before its engine is
    told to end, and once more after that."""
    settle_seconds: int = 5
    """How long pods must be ready before traffic moves: gateways learn of them a little later."""
    retire_seconds: int = 10
    """How long the revision before stays untouched after the traffic left it."""
    request_timeout_seconds: int = 3600
    """Longest request, streaming included, that gateways let through."""
    kept_revisions: int = 3
    """ControllerRevisions kept besides those in use."""
    shared_memory: str = "2Gi"
    """Largest size of /dev/shm, which counts towards the pod's memory limit."""
    cpu_kv_cache_gib: int = 1
    """KV cache of an engine that runs without GPUs."""
