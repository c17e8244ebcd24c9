"""Asking a sidecar's probe port, for images that have no other client: `tiergate health`.

Runs as `python -m tiergate.cli.health` too, which imports nothing but the standard library and ends within some tens of
milliseconds: a container's health check runs it every few seconds. The command with its options is in `sidecar`.
"""

from __future__ import annotations

import http.client
import os
import sys

__all__ = ["ask", "probe_port"]

_PORT = 8438
_TIMEOUT = 2.0
_READY, _NOT_READY, _USAGE, _UNREACHABLE = 0, 1, 2, 5


def probe_port() -> int:
    """The port that the environment says, else the usual one."""
    given = os.environ.get("TIERGATE_PROBE_PORT", "")
    return int(given) if given.isdecimal() else _PORT


def ask(host: str, port: int, timeout: float, *, live: bool = False) -> tuple[int, str]:
    """Ask once, waiting for at most `timeout` seconds; return the exit code and what to say."""
    path = "/livez" if live else "/readyz"
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return _UNREACHABLE, f"no answer from http://{host}:{port}{path}: {error}"
    finally:
        connection.close()
    if answer.status == http.client.OK:
        return _READY, "live" if live else "ready"
    return _NOT_READY, f"not {'live' if live else 'ready'}: status {answer.status}"


if __name__ == "__main__":
    if set(sys.argv[1:]) - {"--live"}:
        sys.stderr.write("usage: python -m tiergate.cli.health [--live]\n")
        raise SystemExit(_USAGE)
    code, said = ask("127.0.0.1", probe_port(), _TIMEOUT, live="--live" in sys.argv[1:])
    sys.stdout.write(said + "\n")
    raise SystemExit(code)
