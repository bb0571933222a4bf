"""What a build takes from this host: package index, proxies, certificates, Debian mirror.

Builds get the first three as secrets, so that no image records them. One of the two modules that
read the environment (`settings` is the other): these variables belong to pip, uv and apt.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

_PASSED = re.compile(
    r"(?i:(https?|all|no)_proxy)"
    r"|PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|DEFAULT_TIMEOUT)"
    r"|UV_(INDEX|DEFAULT_INDEX|INDEX_URL|EXTRA_INDEX_URL|INSECURE_HOST|HTTP_TIMEOUT|INDEX_.*)"
)
"""Names of the variables that a build is given."""
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_PIP_FILES = (Path("/etc/pip.conf"), Path("~/.config/pip/pip.conf"), Path("~/.pip/pip.conf"))
PUBLIC_MIRROR = "http://deb.debian.org/debian"


def secrets(folder: Path, environment: Mapping[str, str] | None = None) -> dict[str, Path]:
    """Write what builds need into `folder` and return it by secret's name."""
    env = dict(os.environ if environment is None else environment)
    target = folder / "environment"
    target.touch(mode=0o600)
    target.write_text("".join(f"{k}={shlex.quote(v)}\n" for k, v in sorted(passed(env).items())))
    found = {"fairlead-env": target}
    bundle = Path(env.get("SSL_CERT_FILE") or _BUNDLE)
    if bundle.is_file():
        found["fairlead-ca"] = bundle
    return found


def passed(env: Mapping[str, str]) -> dict[str, str]:
    """Choose the variables that reach a build; an index named in pip.conf counts as one."""
    chosen = {name: value for name, value in env.items() if _PASSED.fullmatch(name)}
    configured = [Path(env["PIP_CONFIG_FILE"])] if env.get("PIP_CONFIG_FILE") else _PIP_FILES
    for file in configured:
        index = _index_url(file.expanduser())
        if index is not None:
            chosen.setdefault("PIP_INDEX_URL", index)
    if "PIP_INDEX_URL" in chosen and not {"UV_INDEX_URL", "UV_DEFAULT_INDEX"} & chosen.keys():
        chosen["UV_DEFAULT_INDEX"] = chosen["PIP_INDEX_URL"]
    return chosen


def _index_url(file: Path) -> str | None:
    parser = configparser.RawConfigParser()
    if not parser.read(file):
        return None
    return parser.get("global", "index-url", fallback=None)


def debian_mirror(apt: Path = Path("/etc/apt")) -> str:
    """Find the Debian archive that this host uses; a host that is no Debian uses the public one."""
    sources = [*apt.glob("sources.list.d/*.sources"), *apt.glob("sources.list.d/*.list")]
    for file in [apt / "sources.list", *sorted(sources)]:
        if not file.is_file():
            continue
        for line in file.read_text().splitlines():
            address = re.match(r"(?:URIs:|deb\s+(?:\[[^]]*\]\s+)?)\s*(\S+/debian)/?(?:\s|$)", line)
            if address is not None:
                return address.group(1)
    return PUBLIC_MIRROR
