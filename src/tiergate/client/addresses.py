"""The address of a sidecar, and what is sent there: the same for threads and for asyncio."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from tiergate.client.http_response import ResponseError
from tiergate.errors import SettingsError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_SCHEME: Final = "unix:"


class Forks:
    """Counts the forks that led to this process, which distinguishes it from its parent if process ids repeat."""

    count = 0

    @classmethod
    def happened(cls) -> None:
        """Count one."""
        cls.count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Forks.happened)


class Address(NamedTuple):
    """Where a sidecar listens: at a `path`, or at a host and port, with TLS or without.

    `authority`: what the header `Host` says.
    """

    path: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    authority: str

    @classmethod
    def of(cls, url: str, ca_file: str | None) -> Address:
        """Read an address; `ca_file`: the certificates, in PEM, that verify an `https://` server.

        Raises:
            SettingsError: it is neither `http(s)://host:port` nor `unix:/path`, or the certificates cannot be used.
        """
        path = url.removeprefix(_SCHEME) if url.startswith(_SCHEME) else ""
        host, port = ("", 0) if path else _host_and_port(url)
        tls = _tls_context(ca_file) if url.lower().startswith("https:") else None
        if ca_file is not None and tls is None:
            raise SettingsError("ca_file", "is for a `url` that begins with `https:`")
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return cls(path, host, port, tls, "localhost" if path else authority)


def request_bytes(method: str, target: str, authority: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """Return a request, head and body together."""
    head = f"{method} {target} HTTP/1.1\r\nHost: {authority}\r\nAccept-Encoding: identity\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if body is None:
        return f"{head}\r\n".encode("ascii")
    return f"{head}content-length: {len(body)}\r\n\r\n".encode("ascii") + body


def failure_detail(error: Exception) -> str:
    """Return what is wrong, for people, where there is no answer."""
    match error:
        case TimeoutError():
            return "the request timed out"
        case OSError() if getattr(error, "verify_message", ""):
            return f"the certificate is not valid: {getattr(error, 'verify_message', '')}"
        case OSError() if error.strerror:
            return error.strerror[:1].lower() + error.strerror[1:]
        case OSError() | ResponseError():
            return str(error)
        case _:
            return "the response is not HTTP"


def _host_and_port(url: str) -> tuple[str, int]:
    rule = "must be `http://host:port`, `https://host:port` or `unix:/path/of/the/socket`"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError("url", f"`{url}` {rule}") from None
    is_host = bool(parts.hostname) and (parts.hostname or "").isascii()
    is_plain = parts.path in {"", "/"} and not parts.query and not parts.username
    if parts.scheme not in {"http", "https"} or not is_host or not is_plain:
        raise SettingsError("url", f"`{url}` {rule}")
    default = 80 if parts.scheme == "http" else 443
    return parts.hostname or "", default if port is None else port


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - it takes long to import, and most clients need none

    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError("ca_file", f"`{ca_file}` cannot be used: {error.strerror or error}") from None
