"""A peer that sends a byte now and then holds no HTTP client of ours beyond its deadline."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.certificates import certify
from tests.trickling import trickling
from tiergate.cli.control_plane_client import ControlPlane
from tiergate.cli.health import probe
from tiergate.cluster.kubernetes_api import KubernetesApi, ObjectMeta
from tiergate.control.auth.jwks import IssuerKeys, JwksError
from tiergate.errors import ClusterError, SyncError
from tiergate.process.request_deadline import enforce_deadlines, request_deadline
from tiergate.sidecar.replica.sync.control_plane_client import ControlPlaneClient as SyncedPlane

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMISED = 5.0
"""Seconds, on a machine that has much else to do, for deadlines of a fraction of one."""

WHERE = pytest.mark.parametrize("in_head", [True, False], ids=["head", "body"])


@contextmanager
def in_time() -> Iterator[None]:
    """See that it does not take long."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < PROMISED


@WHERE
def test_a_client_ends_at_the_deadline(*, in_head: bool) -> None:
    """However many steps it takes, each of which is in time."""
    with (
        trickling(in_head=in_head) as port,
        enforce_deadlines(httpx.Client(timeout=1.0, trust_env=False)) as client,
        in_time(),
        request_deadline(0.3),
        pytest.raises(httpx.TimeoutException),
    ):
        client.get(f"http://127.0.0.1:{port}/")


def test_by_way_of_a_proxy_too() -> None:
    """The way to it is bounded as well."""
    with trickling(in_head=True) as port, in_time():
        client = enforce_deadlines(httpx.Client(timeout=1.0, proxy=f"http://127.0.0.1:{port}"))
        with client, request_deadline(0.3), pytest.raises(httpx.TimeoutException):
            client.get("http://192.0.2.1/")


def test_what_goes_on_at_its_rate_is_not_cut() -> None:
    """Each byte puts the end off; a slower transfer ends."""
    with trickling(every=0.005) as port, enforce_deadlines(httpx.Client(timeout=1.0, trust_env=False)) as client:
        begun = time.monotonic()
        with request_deadline(0.2, rate=20), client.stream("GET", f"http://127.0.0.1:{port}/") as answer:
            read = 0
            for piece in answer.iter_raw():
                read += len(piece)
                if time.monotonic() - begun > 1.0:
                    break
        assert read > 20
        with in_time(), pytest.raises(httpx.TimeoutException), request_deadline(0.2, rate=10_000):
            client.get(f"http://127.0.0.1:{port}/")


@WHERE
def test_keys_of_an_issuer(monkeypatch: pytest.MonkeyPatch, *, in_head: bool) -> None:
    """Whoever signs in does not wait for it."""
    monkeypatch.setattr("tiergate.control.auth.jwks._TOTAL_TIMEOUT", 0.3)
    with trickling(in_head=in_head) as port, in_time(), pytest.raises(JwksError):
        IssuerKeys(f"http://127.0.0.1:{port}/keys").find("k1", "RS256")


@WHERE
def test_the_api_of_a_cluster(tmp_path: Path, *, in_head: bool) -> None:
    """A Job, or the injector, goes on to try again."""
    certificate, key = certify(tmp_path)
    for name, text in (("token", "it"), ("namespace", "here"), ("ca.crt", certificate.read_text())):
        (tmp_path / name).write_text(text)
    with (
        trickling(in_head=in_head, certificate=(certificate, key)) as port,
        KubernetesApi(f"https://127.0.0.1:{port}", tmp_path, timeout=0.5) as api,
        in_time(),
        pytest.raises(ClusterError),
    ):
        api.read("/api/v1/namespaces/here/secrets/it", ObjectMeta)


@WHERE
def test_a_command_that_asks_a_control_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_head: bool) -> None:
    """Whether it wants an answer or lines."""
    monkeypatch.setattr("tiergate.cli.control_plane_client._TIMEOUT", 0.3)
    monkeypatch.setattr("tiergate.cli.control_plane_client._PATIENCE", 0.3)
    (tmp_path / "key").write_text("a-key")
    with trickling(in_head=in_head) as port, in_time():
        plane = ControlPlane(f"http://127.0.0.1:{port}", tmp_path / "key")
        with pytest.raises(SyncError):
            plane.call("GET", "/v1/whoami")
        with pytest.raises(SyncError):
            list(plane.stream_lines("GET", "/v1/export"))


@WHERE
def test_what_asks_the_probes(tmp_path: Path, *, in_head: bool) -> None:
    """A container's health check has its own time limit, and says so itself. Over TLS too."""
    with trickling(in_head=in_head) as port, in_time():
        assert probe("127.0.0.1", port, 0.3)[0] == 5
    with trickling(in_head=in_head, certificate=certify(tmp_path)) as port, in_time():
        assert probe("127.0.0.1", port, 0.5, tls=True)[0] == 5


@WHERE
def test_a_sidecar_that_follows(monkeypatch: pytest.MonkeyPatch, *, in_head: bool) -> None:
    """It gives up, and tries again."""
    monkeypatch.setattr("tiergate.sidecar.replica.sync.control_plane_client._WHOLE_SECONDS", 0.3)

    async def follow(port: int) -> None:
        plane = SyncedPlane(f"http://127.0.0.1:{port}", None)
        with pytest.raises(SyncError, match="no complete response"):
            await plane.changes(0, 0.1, 100)
        await plane.close()

    with trickling(in_head=in_head) as port, in_time():
        asyncio.run(follow(port))
