"""What the administrator decides for the whole installation, read once from the environment.

The chart writes one variable a field: ``FAIRLEAD_`` and the field's name in capitals. Nothing
else in the operator reads the environment.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final
from urllib.parse import urlsplit

from fairlead_api import names
from fairlead_api.modelservice import GatewayRef
from fairlead_operator.finetune import options as finetune_options
from fairlead_operator.serving import options as serving_options

PREFIX: Final = "FAIRLEAD_"


class SettingsError(Exception):
    """A variable is missing or can't be read; the message names it."""


@dataclass(frozen=True)
class Settings:
    """The operator's settings; a field without a default must be given."""

    trainer_image: str
    """Image of every training stage."""
    server_image: str
    """Image of every serving pod."""
    namespace: str
    """Namespace of the operator itself: its Lease and its certificate lie there."""
    pod_name: str = field(default_factory=socket.gethostname)
    """This replica's name in the Lease."""
    image_pull_policy: str = "IfNotPresent"
    """Pull policy of both images."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets, in the resources' namespaces, to pull both images with."""
    lease_name: str = "fairlead-operator"
    """Lease that decides which replica is active."""
    progress_url: str = ""
    """Address at which training pods reach PORT_PROGRESS, https://HOST:PORT; else no reports."""
    certificate_secret: str = "fairlead-operator-progress-tls"
    """Secret that holds the progress endpoint's own CA and certificate; made where absent."""
    domain: str = "fairlead.local"
    """ModelServices answer at <name>.<namespace>.<domain> unless they say otherwise."""
    gateway: str = ""
    """Gateway of ModelServices that name none, as NAMESPACE/NAME."""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces to serve; all of them where empty."""
    resync_seconds: float = 600.0
    """Time between two audits of the cache; every resource is looked at once within it."""
    workers: int = 32
    """Resources that are reconciled at the same time."""
    serving_startup_timeout_seconds: int = serving_options.Options.startup_timeout_seconds
    """Longest time from a serving container's start to its first token."""
    serving_progress_deadline_seconds: int = serving_options.Options.progress_deadline_seconds
    """Time without progress after which a revision counts as failed."""
    serving_drain_seconds: int = serving_options.Options.drain_seconds
    """Longest time that running requests get to end when their pod goes: once before its engine is
    told to end, and once more after that."""
    serving_request_timeout_seconds: int = serving_options.Options.request_timeout_seconds
    """Longest request, streaming included, that gateways let through."""
    serving_cpu_kv_cache_gib: int = serving_options.Options.cpu_kv_cache_gib
    """KV cache of an engine that runs without GPUs."""
    serving_shared_memory: str = serving_options.Options.shared_memory
    """Largest size of a serving pod's /dev/shm."""
    allowed_training_arguments: tuple[str, ...] = ()
    """Keys of hyperparameters.extraArgs allowed beyond the built-in list."""
    allowed_engine_arguments: tuple[str, ...] = ()
    """Keys of engine.extraArgs allowed beyond the built-in list."""
    metrics_port: int = names.PORT_METRICS
    """Port of /metrics."""
    probes_port: int = names.PORT_PROBES
    """Port of /healthz."""
    progress_port: int = names.PORT_PROGRESS
    """Port of the progress endpoint."""
    log_level: str = "INFO"
    """Least severe log lines to write: DEBUG, INFO, WARNING or ERROR."""

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> "Settings":
        """Read every field; raises SettingsError that names the variable."""
        known = {variable(one.name): one for one in fields(cls)}
        values: dict[str, Any] = {}
        for name, one in known.items():
            text = environment.get(name, "").strip()
            if text:
                values[one.name] = _READERS[one.type](name, text)
        try:
            settings = cls(**values)
        except TypeError:
            missing = [variable(name) for name in _REQUIRED if name not in values]
            raise SettingsError(f"not set: {', '.join(missing)}") from None
        settings.check()
        return settings

    def check(self) -> None:
        """Raise SettingsError for values that can't be acted on."""
        if self.gateway and self.gateway.count("/") != 1:
            raise SettingsError(f"{variable('gateway')}={self.gateway!r}: not NAMESPACE/NAME")
        url = urlsplit(self.progress_url)
        if self.progress_url and (url.scheme != "https" or not url.hostname):
            text = f"{variable('progress_url')}={self.progress_url!r}: not https://HOST:PORT"
            raise SettingsError(text)
        if self.workers < 1 or self.resync_seconds <= 0:
            raise SettingsError(
                f"{variable('workers')} and {variable('resync_seconds')} must be above 0"
            )
        if self.serving_progress_deadline_seconds <= self.serving_startup_timeout_seconds:
            raise SettingsError(
                f"{variable('serving_progress_deadline_seconds')} must be above "
                f"{variable('serving_startup_timeout_seconds')}, or a revision would count as "
                "failed while it may still start"
            )

    @property
    def progress_host(self) -> str:
        """Host name in the progress endpoint's address; empty where there is none."""
        return urlsplit(self.progress_url).hostname or ""

    @property
    def default_gateway(self) -> tuple[str, str] | None:
        """Namespace and name of the installation's Gateway."""
        namespace, _, name = self.gateway.partition("/")
        return (namespace, name) if name else None

    def finetune(self, progress_ca: str) -> finetune_options.Options:
        """What the planner of FineTuneJobs needs to know."""
        return finetune_options.Options(
            trainer_image=self.trainer_image,
            image_pull_policy=self.image_pull_policy,
            image_pull_secrets=self.image_pull_secrets,
            progress_url=self.progress_url,
            progress_ca=progress_ca,
            extra_args_allowed=frozenset(self.allowed_training_arguments),
        )

    def serving(self) -> serving_options.Options:
        """What the planner of ModelServices needs to know."""
        gateway = None
        if self.default_gateway:
            namespace, name = self.default_gateway
            gateway = GatewayRef(name=name, namespace=namespace)
        return serving_options.Options(
            image=self.server_image,
            image_pull_policy=self.image_pull_policy,
            image_pull_secrets=self.image_pull_secrets,
            gateway=gateway,
            domain=self.domain,
            allowed_arguments=frozenset(self.allowed_engine_arguments),
            startup_timeout_seconds=self.serving_startup_timeout_seconds,
            progress_deadline_seconds=self.serving_progress_deadline_seconds,
            drain_seconds=self.serving_drain_seconds,
            request_timeout_seconds=self.serving_request_timeout_seconds,
            cpu_kv_cache_gib=self.serving_cpu_kv_cache_gib,
            shared_memory=self.serving_shared_memory,
        )


_REQUIRED: Final = ("trainer_image", "server_image", "namespace")


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def _number(kind: type[int] | type[float]) -> Any:
    def read(name: str, text: str) -> float:
        try:
            return kind(text)
        except ValueError:
            raise SettingsError(f"{name}={text!r}: not a number") from None

    return read


def _words(_name: str, text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


_READERS: Final[dict[Any, Any]] = {
    str: lambda _name, text: text,
    int: _number(int),
    float: _number(float),
    tuple[str, ...]: _words,
}
