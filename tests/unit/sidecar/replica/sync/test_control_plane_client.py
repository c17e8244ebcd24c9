from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.certificates import certify
from tests.ids import OPAQUE
from tests.sync_simulator import KEY
from tiergate.bundle import PageEntry
from tiergate.errors import SettingsError, SyncError
from tiergate.model import Subject, SubjectType
from tiergate.naming import path_segment
from tiergate.process.setting_types import CERTIFICATES
from tiergate.sidecar.replica.sync import control_plane_client
from tiergate.sidecar.replica.sync.control_plane_client import ControlPlaneClient, check_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class Pieces(httpx.AsyncByteStream):
    """A body that comes from a network."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """All of it, at once."""
        yield self._content


def reply(status: int = 200, content: bytes = b"", **headers: str) -> httpx.Response:
    """An answer with this body; `_` in a header's name stands for `-`."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=names, stream=Pieces(content))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a key."""
    (tmp_path / "key").write_text(KEY)
    return tmp_path / "key"


def plane(answer: Callable[[httpx.Request], httpx.Response], key_file: Path | None = None) -> ControlPlaneClient:
    """A control plane that answers so."""
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return ControlPlaneClient("https://plane.example/", key_file, client=client)


def refusal(answer: Callable[[httpx.Request], httpx.Response]) -> SyncError:
    """Why this answer to a request for changes is refused."""
    with pytest.raises(SyncError) as refused:
        asyncio.run(plane(answer).changes(0, 0, 10))
    return refused.value


def test_a_key_is_read_again_at_every_request(key_file: Path) -> None:
    """A projected token is replaced in its file, and the new one is used at once."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        key_file.write_text("another-token")
        return reply()

    async def scenario() -> None:
        control = plane(answer, key_file)
        await control.changes(0, 0, 10)
        await control.changes(0, 0, 10)

    asyncio.run(scenario())
    key_file.unlink()
    with pytest.raises(SyncError, match="cannot be read"):
        asyncio.run(plane(answer, key_file).changes(0, 0, 10))
    assert seen == [f"Bearer {KEY}", "Bearer another-token"]


def test_redirects_are_not_followed() -> None:
    """A key is for the control plane alone."""
    assert refusal(lambda _: reply(302, location="https://elsewhere.example/")).status == 302


def test_a_problem_says_its_code() -> None:
    """So that the follower knows what to do about it."""
    problem = {"type": "urn:tiergate:problem:resync-needed", "title": "resync", "detail": "the feed begins at 9"}
    error = refusal(lambda _: reply(410, json.dumps(problem).encode()))
    assert (error.status, error.code) == (410, "resync-needed")
    assert "the feed begins at 9" in str(error)


def test_a_body_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of it is read."""
    monkeypatch.setattr(control_plane_client, "MAX_FEED_BYTES", 1000)
    assert "more than 1000" in str(refusal(lambda _: reply(content=bytes(1001))))


def test_a_packed_body_has_the_same_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small it was on the way."""
    monkeypatch.setattr(control_plane_client, "MAX_FEED_BYTES", 1000)
    bomb = gzip.compress(bytes(10_000_000))
    error = refusal(lambda _: reply(content=bomb, content_encoding="gzip"))
    assert "more than 1000" in str(error)


def test_a_packed_body_is_unpacked() -> None:
    """And one that ends early is refused."""
    packed = gzip.compress(b"hello")
    answer = plane(lambda _: reply(content=packed, content_encoding="gzip"))
    assert asyncio.run(answer.changes(0, 0, 10)) == b"hello"
    assert "ends early" in str(refusal(lambda _: reply(content=packed[:-4], content_encoding="gzip")))


def test_an_encoding_that_was_not_asked_for_is_refused() -> None:
    """It cannot be bounded."""
    error = refusal(lambda _: reply(content=b"x", content_encoding="br"))
    assert "`br`, which was not requested" in str(error)


def test_a_page_of_a_snapshot_is_what_it_is() -> None:
    """Packed by itself, and not unpacked on the way; never longer than the manifest says."""
    answer = plane(lambda _: reply(content=b"12345"))
    assert asyncio.run(answer.page(PageEntry("0" * 64, 5, 1))) == b"12345"
    with pytest.raises(SyncError, match="more than 4"):
        asyncio.run(answer.page(PageEntry("0" * 64, 4, 1)))


def test_ids_are_quoted() -> None:
    """An id cannot lead to another path."""
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return reply()

    asyncio.run(plane(answer).subject(Subject("../../keys?x=#", SubjectType.CUSTOMER)))
    asyncio.run(plane(answer).bundle("sha256:ab", "sha256:cd"))
    assert seen == [
        b"/v1/sync/subjects/customers/..%2F..%2Fkeys%3Fx%3D%23",
        b"/v1/sync/bundles/sha256%3Aab?have=sha256%3Acd",
    ]


def test_nobody_there_is_a_sync_error(key_file: Path) -> None:
    """Without a status."""
    with pytest.raises(SyncError) as refused:
        asyncio.run(ControlPlaneClient("http://127.0.0.1:9", key_file).changes(0, 0, 10))
    assert refused.value.status is None


def test_a_body_that_is_cut_is_a_sync_error(key_file: Path) -> None:
    """Fewer bytes than were announced are no answer."""

    async def scenario() -> None:
        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello")
            writer.close()

        async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(SyncError, match="no response"):
                await ControlPlaneClient(f"http://127.0.0.1:{port}", key_file).changes(0, 0, 10)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "url",
    [
        "https://plane.example",
        "https://plane.example:8440/",
        "http://127.0.0.1:8440",
        "http://[::1]:1",
        "http://localhost",
    ],
)
def test_https_and_loopback_are_spoken_to(url: str) -> None:
    """A key travels protected, or not beyond this machine."""
    check_url(url, insecure=False)


@pytest.mark.parametrize("url", ["http://plane.example", "http://10.0.0.7:8440", "http://127.0.0.1.example"])
def test_beyond_loopback_needs_https(url: str) -> None:
    """Unless the operator says that the network is to be trusted."""
    with pytest.raises(SettingsError, match="beyond loopback"):
        check_url(url, insecure=False)
    check_url(url, insecure=True)


@pytest.mark.parametrize(
    "url", ["", "plane.example", "ftp://plane.example", "https://", "https://u:p@x", "https://x:y", "https://x/?a"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """With an example of one."""
    with pytest.raises(SettingsError, match="is not an address such as"):
        check_url(url, insecure=True)


def test_an_authority_of_the_clusters_own_is_trusted(tmp_path: Path, key_file: Path) -> None:
    """Where its certificate is given, though one line was made of it on the way; and nobody else is, then or before."""
    certificate, key = certify(tmp_path)
    (tmp_path / "other").mkdir()
    given = CERTIFICATES.read(certificate.read_text().replace("\n", "\\n"))
    other = certify(tmp_path / "other")[0].read_text()

    async def scenario() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            writer.close()

        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        served.load_cert_chain(certificate, key)
        async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=served) as server:
            url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
            for authorities in (other, None):
                control = ControlPlaneClient(url, key_file, authorities=authorities)
                with pytest.raises(SyncError, match="CERTIFICATE_VERIFY_FAILED"):
                    await control.changes(0, 0, 10)
                await control.close()
            control = ControlPlaneClient(url, key_file, authorities=given)
            assert await control.changes(0, 0, 10) == b"hello"
            await control.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN CERTIFICATE-----AA==-----END CERTIFICATE----- and more"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError, match="must be certificates in PEM"):
        CERTIFICATES.read(text)


@pytest.mark.parametrize("id_", OPAQUE)
def test_a_subject_is_asked_for_by_one_segment_of_the_path(id_: str) -> None:
    """Whatever its id holds; nothing on the way takes it for more of the path, or for a query."""
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return reply(content=b"{}")

    asyncio.run(plane(answer).subject(Subject(id_, SubjectType.SUBSCRIPTION)))
    (path,) = seen
    assert path == b"/v1/sync/subjects/subscriptions/" + path_segment(id_).encode()


def test_usage_is_exchanged_with_the_key(key_file: Path) -> None:
    """As MessagePack; what is not a reply is an error with its status and code."""
    seen: list[httpx.Request] = []
    answers = [reply(content=b"\x01\x02"), reply(403, json.dumps({"title": "forbidden"}).encode()), reply(302)]

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answers[len(seen) - 1]

    async def scenario() -> list[int | None]:
        control = plane(answer, key_file)
        assert await control.exchange_usage(b"\x93") == b"\x01\x02"
        statuses = []
        for _ in range(2):
            with pytest.raises(SyncError) as refused:
                await control.exchange_usage(b"\x93")
            statuses.append(refused.value.status)
        return statuses

    assert asyncio.run(scenario()) == [403, 302]
    assert (seen[0].method, str(seen[0].url), seen[0].content) == (
        "POST",
        "https://plane.example/v1/sync/usage",
        b"\x93",
    )
    assert seen[0].headers["content-type"] == "application/msgpack"
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
