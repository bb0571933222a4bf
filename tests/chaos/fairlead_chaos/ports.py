"""Ports of this machine for servers that tests start."""

import contextlib
import itertools
import os
import socket
from typing import Final

_NUMBERS: Final = itertools.count(20_000 + os.getpid() * 97 % 10_000)
"""Below those that the kernel gives to outgoing connections: a server may bind its port late."""


def draw() -> int:
    """A port on which nothing listens, never the same twice in this process."""
    while True:
        port = next(_NUMBERS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))  # past the last number an OverflowError
            return port
