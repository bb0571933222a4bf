"""A kubeconfig's exec plugin whose process ends with whoever waits for it.

Upstream's provider leaves the process of a login that is given up, one more each time, and reads
its two outputs one after the other, so that a talkative one blocks.
"""

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from typing import Any, Final

from kubernetes_asyncio.config import ConfigException, exec_provider, kube_config

_LAST_WORDS_SECONDS: Final = 5.0


class ExecPlugin(exec_provider.ExecProvider):
    """Upstream's in all but how its program is run."""

    async def run(self, previous_response: str | None = None) -> Any:
        """The status of the credential that the program prints.

        Raises:
            ConfigException: The program fails, or prints something else.
        """
        asked = {"apiVersion": self.api_version, "kind": "ExecCredential"}
        spec: dict[str, Any] = {"interactive": False}
        if previous_response:
            spec["response"] = previous_response
        self.env["KUBERNETES_EXEC_INFO"] = json.dumps({**asked, "spec": spec})
        process = await asyncio.create_subprocess_exec(
            *self.args,
            env=self.env,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,  # so that what it starts can be ended with it
        )
        try:
            output, complaint = await process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):  # what left the session holds its outputs open
                await asyncio.wait_for(process.communicate(), _LAST_WORDS_SECONDS)
            raise
        if process.returncode:
            said = complaint.decode(errors="replace").strip()
            raise ConfigException(f"exec: process returned {process.returncode}. {said}")
        return self._status(output)

    def _status(self, output: bytes) -> Any:
        try:
            credential = json.loads(output)
            if credential["apiVersion"] != self.api_version:
                raise ConfigException(
                    f"exec: plugin api version {credential['apiVersion']}"
                    f" does not match {self.api_version}"
                )
            return credential["status"]
        except (ValueError, LookupError, TypeError) as broken:
            # Not what it printed: that may be a secret.
            raise ConfigException(
                f"exec: no credential in what the program printed ({type(broken).__name__})"
            ) from None


def install() -> None:
    """Have kubernetes_asyncio use it; it offers no other way."""
    kube_config.ExecProvider = ExecPlugin  # type: ignore[attr-defined]
