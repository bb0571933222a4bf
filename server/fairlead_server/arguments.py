"""From the serve file to vLLM's command line and environment.

Pure. Which engine arguments a user may give is the operator's allow-list; here stand the ones
that are always ours, and the guard that none of them is given twice.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fairlead_api import names
from fairlead_api.servefile import ServeFile
from fairlead_api.termination import Cause
from fairlead_server.refusal import StartRefused

ENTRY: Final = "vllm.entrypoints.launchers.api_server.entry"
MIDDLEWARE: Final = "fairlead_server.middleware.Gate"
PLUGIN: Final = "fairlead"  # our entry point in the group vllm.stat_logger_plugins

# vLLM takes an empty list for "all": a name that no host can have (RFC 6761) lets nothing in, and
# says so in the answer to a request that has the pod fetch something.
_NO_MEDIA_DOMAIN: Final = "media-urls-are-not-fetched.invalid"

# Longer than a gateway keeps an idle connection (Envoy: an hour): who closes first may do so while
# the other side sends a request on it, and vLLM's own 5 s lost one of 1,093 that way.
_KEEP_ALIVE_SECONDS: Final = 3660

_KEY: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Arguments that load code, take other code paths or open other doors; never, whoever asks.
_NEVER: Final = frozenset(
    {
        "allowed-local-media-path",
        "api-server-count",
        "config",
        "disable-log-stats",
        "grpc",
        "grpc-port",
        "headless",
        "logits-processors",
        "middleware",
        "reasoning-parser-plugin",
        "root-path",
        "tool-parser-plugin",
        "tool-server",
        "trust-remote-code",
        "uds",
        "worker-cls",
        "worker-extension-cls",
    }
)
_QUIET_PATHS: Final = (
    names.PATH_STARTUP,
    names.PATH_READY,
    names.PATH_LIVE,
    "/health",
    "/metrics",
)


def command(serve: ServeFile, folder: Path) -> list[str]:
    """The command that this process becomes; raises StartRefused."""
    own = {
        "model": str(folder),
        "host": "0.0.0.0",
        "port": str(names.PORT_SERVE),
        "middleware": MIDDLEWARE,
        "shutdown-timeout": str(serve.drain_seconds),
        # The middleware answers 429 first; this one counts n > 1 as n requests.
        "max-num-queued-reqs": str(serve.limits.max_queued_requests),
        "disable-access-log-for-endpoints": ",".join(_QUIET_PATHS),
        "disable-fastapi-docs": "",
        "allowed-media-domains": _NO_MEDIA_DOMAIN,
    }
    _check_keys(serve.engine_args, own.keys() | _NEVER | {"served-model-name"})
    # Without it vLLM falls back to pickle files where it finds no safetensors.
    given = {"load-format": "safetensors", **serve.engine_args}
    options = [_option(key, value) for key, value in (given | own).items()]
    # -P: the working directory is no place to import code from.
    return [sys.executable, "-P", "-m", ENTRY, *options, *_served_names(serve)]


def _option(key: str, value: str) -> str:
    # One word, so that no value can pass for an option of its own.
    return f"--{key}={value}" if value else f"--{key}"


def _check_keys(engine_args: Mapping[str, str], reserved: frozenset[str] | set[str]) -> None:
    for key in engine_args:
        if not _KEY.fullmatch(key):
            raise StartRefused(
                Cause.USER_ERROR,
                f"engine argument {key!r} is not spelt as vLLM does: lower-case words joined by "
                "dashes, without the leading dashes",
            )
        # argparse takes any unambiguous beginning of an option for the option.
        if any(name.startswith(key) for name in reserved):
            raise StartRefused(
                Cause.USER_ERROR,
                f"engine argument {key!r} is Fairlead's own or never allowed: remove it from "
                "spec.engine.extraArgs",
            )


def _served_names(serve: ServeFile) -> list[str]:
    served = list(dict.fromkeys((serve.served_model_name, *serve.aliases)))
    for name in served:
        if name.startswith("-"):
            raise StartRefused(
                Cause.USER_ERROR,
                f"served model name {name!r} begins with a dash: choose another "
                "spec.servedModelName",
            )
    return ["--served-model-name", *served]


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment that vLLM gets: the pod's, without doors to the outside."""
    return {
        **inherited,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(_KEEP_ALIVE_SECONDS),
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_PLUGINS": PLUGIN,  # no plugin but ours, whatever else is installed
        "VLLM_SERVER_DEV_MODE": "0",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "0",
    }
