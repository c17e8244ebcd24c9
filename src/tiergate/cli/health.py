"""`tiergate health`: ask a sidecar's probe port, for images that have no other client.

Also runs as `python -m tiergate.cli.health`, which imports nothing but the standard library and ends within some tens
of milliseconds: a container's health check runs it every few seconds.
"""

from __future__ import annotations

import http.client
import os
import sys

__all__ = ["ask", "health"]

_PORT = 8438
_READY, _NOT_READY, _USAGE, _UNREACHABLE = 0, 1, 2, 5


def health(host: str = "127.0.0.1", port: int = 0, timeout: float = 2.0, *, live: bool = False) -> None:
    """Say whether the sidecar on this machine can decide (or, with `--live`, whether it runs at all).

    The port is that of the probes; without one, `TIERGATE_PROBE_PORT`, else 8438. Ends with 0 for yes, 1 for no, and 5
    where nothing answers.
    """
    given = os.environ.get("TIERGATE_PROBE_PORT", "")
    code, said = ask(host, port or (int(given) if given.isdecimal() else _PORT), timeout, live=live)
    sys.stdout.write(said + "\n")
    raise SystemExit(code)


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
    health(live="--live" in sys.argv[1:])
