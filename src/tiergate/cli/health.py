"""Calls a sidecar's probes, for images without another client: `tiergate health`.

Runs as `python -m tiergate.cli.health` too, which imports only the standard library and ends within some tens of
milliseconds: a container's health check runs it every few seconds. The command with its options is in `sidecar`. With
`--control-plane` it calls the control plane on this machine, with the port and TLS of that one's variables.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import sys
import threading

_PORT, _CONTROL_PLANE_PORT = 8438, 8440
_TIMEOUT = 2.0
_STATES = {"livez": "live", "startupz": "started", "readyz": "ready"}
_READY, _NOT_READY, _USAGE, _UNREACHABLE = 0, 1, 2, 5


def probe_port() -> int:
    """Return the port in the environment, else the default."""
    return _port("TIERGATE_PROBE_PORT", _PORT)


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else default


def _connection(host: str, port: int, timeout: float, *, tls: bool) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=timeout)
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)


def probe(host: str, port: int, timeout: float, *, path: str = "readyz", tls: bool = False) -> tuple[int, str]:
    """Call a probe once, for at most `timeout` seconds; return the exit code and the message to print.

    `path`: `livez`, `startupz` or `readyz`.

    With `tls`, any certificate is accepted: it has another name, and nothing secret is sent.
    """
    connection = _connection(host, port, timeout, tls=tls)
    # The connection's timeout is for each step; a peer that sends a byte now and then would outlast any.
    is_late = threading.Event()
    watch = threading.Timer(timeout, _cut, (connection, is_late))
    watch.daemon = True
    watch.start()
    try:
        connection.request("GET", f"/{path}")
        response = connection.getresponse()
        response.read()
        if is_late.is_set():
            raise TimeoutError(f"no complete response within {timeout:g} seconds")
    except (OSError, ValueError, http.client.HTTPException) as error:
        return _UNREACHABLE, f"no answer from {'https' if tls else 'http'}://{host}:{port}/{path}: {error}"
    finally:
        watch.cancel()
        connection.close()
    if response.status == http.client.OK:
        return _READY, _STATES[path]
    return _NOT_READY, f"not {_STATES[path]}: status {response.status}"


def _cut(connection: http.client.HTTPConnection, is_late: threading.Event) -> None:
    """Shut the connection down, whatever it waits for."""
    is_late.set()
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _main(arguments: list[str]) -> int:
    path = "livez" if "--live" in arguments else "startupz" if "--startup" in arguments else "readyz"
    if set(arguments) - {"--live", "--startup", "--control-plane"}:
        sys.stderr.write("usage: python -m tiergate.cli.health [--live | --startup] [--control-plane]\n")
        return _USAGE
    port, tls = probe_port(), False
    if "--control-plane" in arguments:
        port, tls = _port("TIERGATE_CP_PORT", _CONTROL_PLANE_PORT), bool(os.environ.get("TIERGATE_CP_TLS_CERT"))
        own = _port("TIERGATE_CP_PROBE_PORT", 0)
        port, tls = (own, False) if own else (port, tls)
    code, message = probe("127.0.0.1", port, _TIMEOUT, path=path, tls=tls)
    sys.stdout.write(message + "\n")
    return code


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1:]))
