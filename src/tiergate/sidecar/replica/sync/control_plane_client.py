"""The client of a control plane's sync API, over HTTP. It returns bytes; `bundle.TrustedFeed` verifies them.

Everything except the requested content is a `SyncError`, with the status and the problem's code if there is one.
Redirects are not followed, HTTPS is required beyond loopback, and sizes and times are limited, compressed or not.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from tiergate import __version__
from tiergate.bundle import MAX_ARCHIVE_BYTES
from tiergate.errors import SettingsError, SyncError
from tiergate.http.loopback import is_loopback
from tiergate.naming import PROBLEM_TYPE_PREFIX, path_segment
from tiergate.process.absent_modules import remember_absence
from tiergate.process.detached_threads import run_detached
from tiergate.sidecar.replica.sync.trust_config import read_credential

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tiergate.bundle import PageEntry
    from tiergate.model import Subject

remember_absence("sniffio")  # httpcore imports it ten times for each request

MAX_FEED_BYTES: Final = 64 * 1024**2
"""Most bytes of a page of the feed."""

_MAX_MANIFEST_BYTES: Final = 64 * 1024**2
_MAX_SUBJECT_BYTES: Final = 8 * 1024**2
_MAX_PROBLEM_BYTES: Final = 64 * 1024
_MAX_USAGE_BYTES: Final = 64 * 1024**2
_USAGE_SECONDS: Final = 10.0
_USAGE_CONNECT_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 20.0
_WHOLE_SECONDS: Final = 60.0
_SNAPSHOT_SECONDS: Final = 300.0
_SLOWEST: Final = 16 * 1024
"""Bytes per second at which a transfer may take any time: a slower one ends after `_WHOLE_SECONDS`."""

_KEY_SECONDS: Final = 10.0
_GZIP: Final = 31


class BundleOrigin(Protocol):
    """An origin of immutable files: a control plane or an object store. All methods raise `SyncError`."""

    async def snapshot(self) -> tuple[bytes, bytes]:
        """Fetch the newest snapshot: the envelope of its head, and its manifest."""
        ...

    async def page(self, entry: PageEntry) -> bytes:
        """Fetch a page of a snapshot."""
        ...

    async def bundle(self, revision: str, have: str | None) -> bytes:
        """Fetch the archive of a bundle, perhaps without the files of the bundle `have`."""
        ...


class _Problem(msgspec.Struct):
    type: str = ""
    title: str = ""
    detail: str = ""


class ControlPlaneClient:
    """The sync API of a control plane."""

    def __init__(
        self,
        url: str,
        key_file: Path | None,
        *,
        authorities: str | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        """Prepare; no request is sent yet. `url` has passed `check_url`.

        `authorities`: CA certificates that verify the control plane (PEM), instead of those of the system.
        """
        self.url = url.rstrip("/")
        self._key_file = key_file
        self._client = client or httpx.AsyncClient(
            verify=True if authorities is None else _tls_context(authorities),
            follow_redirects=False,
            # Proxies and certificates of the environment, but no proxy to this machine itself.
            trust_env=not is_loopback(urlsplit(url).hostname or ""),
            timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=120.0),
            headers={"user-agent": f"tiergate-sidecar/{__version__}"},
        )

    async def changes(self, after: int, wait: float, limit: int) -> bytes:
        """Fetch the page of the feed after a position; `wait`: seconds to wait if there is none yet."""
        path = f"changes?after={after}&wait={wait:g}&limit={limit}"
        return await self._get(path, MAX_FEED_BYTES, wait=wait)

    async def snapshot(self) -> tuple[bytes, bytes]:
        """Fetch the newest snapshot, as in `BundleOrigin`."""
        content = await self._get("snapshot", _MAX_MANIFEST_BYTES, wait=_SNAPSHOT_SECONDS)
        head, _, rest = content.partition(b"\n")
        manifest, _, after = rest.partition(b"\n")
        try:
            envelope = bytes(msgspec.json.decode(head, type=dict[str, msgspec.Raw])["head"])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
            raise SyncError(self.url, "the snapshot does not begin with a head") from None
        if after or not manifest:
            raise SyncError(self.url, "the snapshot is not two lines")
        return envelope, manifest

    async def page(self, entry: PageEntry) -> bytes:
        """Fetch a page of a snapshot, as in `BundleOrigin`."""
        return await self._get(f"snapshot/pages/{entry.sha256}", entry.size, unpacked=False)

    async def bundle(self, revision: str, have: str | None) -> bytes:
        """Fetch the archive of a bundle, as in `BundleOrigin`."""
        known = "" if have is None else f"?have={quote(have, safe='')}"
        return await self._get(f"bundles/{quote(revision, safe='')}{known}", MAX_ARCHIVE_BYTES)

    async def subject(self, subject: Subject) -> bytes:
        """Fetch the envelope of a statement about one subject."""
        path = f"subjects/{subject.type}s/{path_segment(subject.id)}"
        return await self._get(path, _MAX_SUBJECT_BYTES)

    async def exchange_usage(self, request: bytes) -> bytes:
        """Send a request of a holder of leases to the ledger, and return the reply, both in MessagePack."""
        return await self._post("usage", request)

    async def deliver_outcomes(self, request: bytes) -> bytes:
        """Send a batch of outcomes, and return the reply, both in MessagePack."""
        return await self._post("outcomes", request)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, path: str, request: bytes) -> bytes:
        url = f"{self.url}/v1/sync/{path}"
        timeout = httpx.Timeout(_USAGE_SECONDS, connect=_USAGE_CONNECT_SECONDS)
        try:
            async with asyncio.timeout(_USAGE_SECONDS) as limit:
                headers = {**await self._headers(packed=True), "content-type": "application/msgpack"}
                stream = self._client.stream("POST", url, content=request, headers=headers, timeout=timeout)
                async with stream as response:
                    if response.status_code != httpx.codes.OK:
                        raise await self._rejection(url, response)
                    return await _read(response, url, _MAX_USAGE_BYTES, limit=limit)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise SyncError(url, f"no response: {str(error) or type(error).__name__}") from None
        except TimeoutError:
            raise SyncError(url, f"no response in {_USAGE_SECONDS:g} seconds") from None

    async def _get(self, path: str, most: int, *, wait: float = 0.0, unpacked: bool = True) -> bytes:
        url = f"{self.url}/v1/sync/{path}"
        timeout = httpx.Timeout(_SILENCE_SECONDS + wait, connect=_CONNECT_SECONDS)
        try:
            async with (
                asyncio.timeout(_WHOLE_SECONDS + wait) as limit,
                self._client.stream(
                    "GET", url, headers=await self._headers(packed=unpacked), timeout=timeout
                ) as response,
            ):
                if response.status_code != httpx.codes.OK:
                    raise await self._rejection(url, response)
                return await _read(response, url, most, unpacked=unpacked, limit=limit)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise SyncError(url, f"no response: {str(error) or type(error).__name__}") from None
        except TimeoutError:
            detail = f"no complete response in {_WHOLE_SECONDS + wait:.0f} seconds, at least {_SLOWEST} bytes a second"
            raise SyncError(url, detail) from None

    async def _headers(self, *, packed: bool) -> Mapping[str, str]:
        headers = {"accept-encoding": "gzip" if packed else "identity"}
        path = self._key_file
        if path is not None:
            try:
                async with asyncio.timeout(_KEY_SECONDS):  # its file system may not answer
                    credential = await run_detached(lambda: read_credential(path), "key-file")
                headers["authorization"] = f"Bearer {credential.key}"
            except TimeoutError:
                raise SyncError(self.url, f"key file `{path}` cannot be read within {_KEY_SECONDS:g} seconds") from None
            except SettingsError as error:
                raise SyncError(self.url, str(error)) from None
        return headers

    @staticmethod
    async def _rejection(url: str, response: httpx.Response) -> SyncError:
        status = response.status_code
        try:
            problem = msgspec.json.decode(await _read(response, url, _MAX_PROBLEM_BYTES), type=_Problem)
        except (SyncError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            problem = _Problem()
        code = problem.type.removeprefix(PROBLEM_TYPE_PREFIX) if problem.type.startswith(PROBLEM_TYPE_PREFIX) else ""
        text = problem.detail or problem.title
        return SyncError(url, f"status {status}" + (f": {text[:300]}" if text else ""), status, code)


async def _read(
    response: httpx.Response, url: str, most: int, *, unpacked: bool = True, limit: asyncio.Timeout | None = None
) -> bytes:
    """Read the body, never more than `most` bytes, compressed or not. Received bytes extend `limit` by their rate."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    unpacking = zlib.decompressobj(wbits=_GZIP) if encoding == "gzip" and unpacked else None
    if unpacking is None and encoding != "identity":
        raise SyncError(url, f"the response has the encoding `{encoding[:40]}`, which was not requested")
    body = bytearray()
    async for piece in response.aiter_raw():
        if limit is not None:
            limit.reschedule((limit.when() or 0.0) + len(piece) / _SLOWEST)
        try:
            body += piece if unpacking is None else unpacking.decompress(piece, most + 1 - len(body))
        except zlib.error as error:
            raise SyncError(url, f"cannot decompress the response: {error}") from None
        if len(body) > most or (unpacking is not None and unpacking.unconsumed_tail):
            raise SyncError(url, f"the response has more than {most} bytes")
    if unpacking is not None and not unpacking.eof:
        raise SyncError(url, "the response ends early")
    return bytes(body)


def _tls_context(authorities: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=authorities)
    except ssl.SSLError as error:
        raise SettingsError("control-plane-ca-pem", f"cannot be used: {error}") from None


def check_url(url: str, *, insecure: bool) -> None:
    """Reject an address to which a key must not be sent: beyond loopback without HTTPS, or not an address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
        raise SettingsError("control-plane", f"`{url}` is not an address such as `https://tiergate.example:8440`")
    if parts.scheme == "http" and not insecure and not is_loopback(host):
        detail = f"`{url}` is beyond loopback, where the key would travel unprotected: use https, or `insecure`"
        raise SettingsError("control-plane", detail)
