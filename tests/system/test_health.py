"""`python -m tiergate.cli.health --control-plane`, the health check of the control plane's image."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.certificates import certify
from tests.control_planes import control_plane, free_port

if TYPE_CHECKING:
    from pathlib import Path


def health(*arguments: str, **variables: object) -> int:
    """Ask as a container does, with these variables alone; return the exit code."""
    return subprocess.run(
        [sys.executable, "-m", "tiergate.cli.health", *arguments],
        env={f"TIERGATE_CP_{name}": str(value) for name, value in variables.items()},
        capture_output=True,
        check=False,
    ).returncode


def test_it_asks_the_port_that_the_control_plane_was_given(tmp_path: Path) -> None:
    """0 ready and live, 5 when nothing answers."""
    with control_plane(tmp_path) as plane:
        port = plane.url.rpartition(":")[2]
        assert health("--control-plane", PORT=port) == 0
        assert health("--control-plane", "--live", PORT=port) == 0
    assert health("--control-plane", PORT=free_port()) == 5


@pytest.mark.slow
def test_it_asks_the_port_that_probes_have_of_their_own(tmp_path: Path) -> None:
    """Over plain HTTP, whatever the other port speaks."""
    with control_plane(tmp_path, None, "--probe-port", "0", "--probe-host", "127.0.0.1") as plane:
        port = str(plane.process.event("listening")["probes"]).rpartition(":")[2]
        plane.process.event("ready")
        assert health("--control-plane", PORT=free_port(), TLS_CERT="cert.pem", PROBE_PORT=port) == 0


@pytest.mark.slow
def test_it_speaks_https_where_the_control_plane_has_a_certificate(tmp_path: Path) -> None:
    """Whosever the certificate is: it is another name's than the one that is asked by."""
    certify(tmp_path)
    certificate = tmp_path / "cert.pem"
    with control_plane(tmp_path, None, "--tls-cert", certificate, "--tls-key", tmp_path / "key.pem") as plane:
        port = plane.url.split()[0].rpartition(":")[2]
        assert health("--control-plane", PORT=port, TLS_CERT=certificate) == 0
        assert health("--control-plane", PORT=port) == 5


def test_an_argument_that_it_does_not_know_is_refused() -> None:
    """Nothing is asked."""
    assert health("--contol-plane") == 2
