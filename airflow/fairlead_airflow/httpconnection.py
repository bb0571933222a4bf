"""Where an Airflow connection of type http leads, and how one logs in there; pure.

Host, schema and port as in Airflow's own: the host may be a whole address with a path. A password
alone is a bearer token; with a login it is basic authentication. The extra may hold ``verify``
(false: any certificate will do), ``ca`` (a file of certificates to trust) and ``path``.
"""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit


class InvalidConnection(ValueError):
    """The connection can't be used; the message names it and its field."""


class Described(Protocol):
    """A connection as Airflow tells it."""

    conn_id: str
    host: str | None
    schema: str | None
    port: int | None
    login: str | None
    password: str | None


@dataclass(frozen=True)
class HttpConnection:
    """An address and how to log in; what may be secret never shows."""

    conn_id: str
    url: str
    """Base address, without a slash at its end."""
    path: str = field(default="", repr=False)
    """Of the extra; a webhook's is as good as a password."""
    authorization: str = field(default="", repr=False)
    """Header; empty: none."""
    verify: bool = True
    ca: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What each request carries."""
        return {"Authorization": self.authorization} if self.authorization else {}

    def tls(self) -> ssl.SSLContext | bool:
        """Whose certificates are good, in aiohttp's words; reads the file.

        Raises:
            InvalidConnection: When there is no such file, or no certificate in it.
        """
        if not self.verify or not self.ca:
            return self.verify
        try:
            return ssl.create_default_context(cafile=self.ca)
        except OSError as unreadable:  # SSLError is one
            raise InvalidConnection(
                f"connection {self.conn_id}: ca: {self.ca} can't be read: {unreadable}"
            ) from unreadable


def of(described: Described, extra: Mapping[str, Any], scheme: str = "http") -> HttpConnection:
    """Where a connection leads.

    Args:
        described: The connection.
        extra: Its extra.
        scheme: Where neither its host nor its schema says one.

    Raises:
        InvalidConnection: With the field that can't be meant.
    """
    name = f"connection {described.conn_id}"
    verify, ca, path = extra.get("verify", True), extra.get("ca", ""), extra.get("path", "")
    if verify in ("true", "True", "false", "False"):  # as a connection's URI tells it
        verify = verify in ("true", "True")
    if not isinstance(verify, bool):
        raise InvalidConnection(f"{name}: verify: must be true or false")
    if not isinstance(ca, str) or not isinstance(path, str):
        raise InvalidConnection(f"{name}: ca and path: must be text")
    return HttpConnection(
        described.conn_id,
        _url(name, described, scheme),
        f"/{path.lstrip('/')}" if path else "",
        _authorization(name, described.login, described.password),
        verify,
        ca,
    )


def _url(name: str, described: Described, scheme: str) -> str:
    host = (described.host or "").strip()
    if not host:
        raise InvalidConnection(f"{name}: host: is empty")
    if "@" in host:
        raise InvalidConnection(f"{name}: host: login and password have fields of their own")
    whole = host if "://" in host else f"{described.schema or scheme}://{host}"
    try:
        parts = urlsplit(whole)
        port = parts.port or described.port
    except ValueError as invalid:
        raise InvalidConnection(f"{name}: host: {invalid}") from None
    if parts.scheme not in ("http", "https"):
        raise InvalidConnection(f"{name}: schema: must be http or https, it is {parts.scheme}")
    if not parts.hostname or parts.query or parts.fragment:
        raise InvalidConnection(f"{name}: host: must be a host or http(s)://HOST[:PORT][/PATH]")
    literal = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    at_port = f":{port}" if port else ""
    return f"{parts.scheme}://{literal}{at_port}{parts.path.rstrip('/')}"


def _authorization(name: str, login: str | None, password: str | None) -> str:
    for field_, text in (("login", login), ("password", password)):
        # No header holds one, and a Secret that is made of a file often ends with one.
        if any(char < " " or char == "\x7f" for char in text or ""):
            raise InvalidConnection(
                f"{name}: {field_}: has a line break or another control character"
            )
    if login:
        pair = f"{login}:{password or ''}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"
    return f"Bearer {password}" if password else ""
