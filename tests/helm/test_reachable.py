"""What `helm test` runs, against a control plane."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.certificates import certify
from tests.control_planes import control_plane
from tests.helm.charts import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.control_planes import ControlPlane

SCRIPT = (CHART / "files" / "reachable.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a certificate, which is its own authority, and its key."""
    return certify(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[ControlPlane]:
    """Run one that speaks HTTPS."""
    arguments = ("--tls-cert", certificate[0], "--tls-key", certificate[1])
    with control_plane(tmp_path_factory.mktemp("plane"), None, *arguments) as served:
        yield served


def reach(url: str, key: Path, authority: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as the chart does."""
    command = [sys.executable, "-c", SCRIPT, url, str(key), str(authority)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_control_plane_is_reached_with_the_admin_s_key(plane: ControlPlane, certificate: tuple[Path, Path]) -> None:
    """Over HTTPS, believing the authority that is mounted; it says whose the key is."""
    done = reach(plane.url, plane.key_file("admin"), certificate[0])
    assert done.returncode == 0, done.stderr
    assert f"{plane.url}/readyz: ready" in done.stdout
    assert '"admin"' in done.stdout


def test_without_a_key_it_is_enough_that_it_is_ready(
    plane: ControlPlane, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    """As where the first admin's key is not mounted any more."""
    done = reach(plane.url, tmp_path / "none", certificate[0])
    assert done.returncode == 0, done.stderr
    assert "whoami" not in done.stdout


def test_a_wrong_key_fails(plane: ControlPlane, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    """It is no use that the control plane is there."""
    (tmp_path / "key").write_text("tg_000000000000_" + "0" * 43, encoding="utf-8")
    done = reach(plane.url, tmp_path / "key", certificate[0])
    assert done.returncode != 0
    assert "401" in done.stderr


def test_a_certificate_of_somebody_else_fails(plane: ControlPlane, tmp_path: Path) -> None:
    """And so does one that nobody vouches for."""
    for authority in (certify(tmp_path)[0], tmp_path / "none"):
        done = reach(plane.url, plane.key_file("admin"), authority)
        assert done.returncode != 0
        assert "CERTIFICATE_VERIFY_FAILED" in done.stderr


def test_probes_may_be_on_a_port_of_their_own(tmp_path: Path) -> None:
    """A Service has ready pods alone, so any answer of the API is enough."""
    with control_plane(tmp_path, None, "--probe-port", "0", "--probe-host", "127.0.0.1") as served:
        served.process.event("ready")
        done = reach(served.url, tmp_path / "none", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    assert "/openapi.json:" in done.stdout
