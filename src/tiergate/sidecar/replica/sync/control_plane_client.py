"""What a sidecar asks of a control plane, over HTTP. Bytes come out: what is believed of them, `bundle.Trust` says.

Everything that is not the answer asked for is a `SyncError`, with the status and the problem's code where there is one.
Redirects are not followed, nothing but HTTPS is spoken off loopback, bodies and times are bounded, compressed ones too.
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
from tiergate.process.detached_threads import run_detached
from tiergate.sidecar.replica.sync.trust_config import read_credential

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tiergate.bundle import PageEntry
    from tiergate.model import Subject

MAX_FEED_BYTES: Final = 64 * 1024**2
"""Most bytes of a page of the feed."""

_MAX_MANIFEST_BYTES: Final = 64 * 1024**2
_MAX_SUBJECT_BYTES: Final = 8 * 1024**2
_MAX_PROBLEM_BYTES: Final = 64 * 1024
_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 20.0
_WHOLE_SECONDS: Final = 60.0
_SNAPSHOT_SECONDS: Final = 300.0
_SLOWEST: Final = 16 * 1024
"""Bytes per second at which a transfer may take as long as it has to: a slower one ends after `_WHOLE_SECONDS`."""

_KEY_SECONDS: Final = 10.0
_GZIP: Final = 31


class BundleOrigin(Protocol):
    """Where immutable files come from: a control plane or an object store."""

    async def snapshot(self) -> tuple[bytes, bytes]:
        """The newest snapshot: its head's envelope, and its manifest.

        Raises:
            SyncError: there is no answer, or not this one.
        """
        ...

    async def page(self, entry: PageEntry) -> bytes:
        """A page of a snapshot.

        Raises:
            SyncError: as `snapshot`.
        """
        ...

    async def bundle(self, revision: str, have: str | None) -> bytes:
        """The pack of a bundle, perhaps without what the bundle `have` has.

        Raises:
            SyncError: as `snapshot`.
        """
        ...


class _Problem(msgspec.Struct):
    type: str = ""
    title: str = ""
    detail: str = ""


class ControlPlaneClient:
    """The sync interface of a control plane."""

    def __init__(
        self,
        url: str,
        key_file: Path | None,
        *,
        authorities: str | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        """Prepare; nothing is sent yet. `url` has passed `check_url`.

        `authorities`: the certificates, in PEM, of who may vouch for it instead of those that the system trusts.

        Raises:
            SettingsError: they cannot be read.
        """
        self.url = url.rstrip("/")
        self._key_file = key_file
        self._client = client or httpx.AsyncClient(
            verify=True if authorities is None else _trusting(authorities),
            follow_redirects=False,
            # Proxies and certificates as the environment says, but no proxy on the way to this machine itself.
            trust_env=not is_loopback(urlsplit(url).hostname or ""),
            timeout=httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=120.0),
            headers={"user-agent": f"tiergate-sidecar/{__version__}"},
        )

    async def changes(self, after: int, wait: float, limit: int) -> bytes:
        """The page of the feed after a position; where there is nothing yet, wait so many seconds for it.

        Raises:
            SyncError: there is no answer, or not this one.
        """
        path = f"changes?after={after}&wait={wait:g}&limit={limit}"
        return await self._get(path, MAX_FEED_BYTES, wait=wait)

    async def snapshot(self) -> tuple[bytes, bytes]:
        """The newest snapshot, as `BundleOrigin` has it."""
        content = await self._get("snapshot", _MAX_MANIFEST_BYTES, wait=_SNAPSHOT_SECONDS)
        head, _, rest = content.partition(b"\n")
        manifest, _, after = rest.partition(b"\n")
        try:
            envelope = bytes(msgspec.json.decode(head, type=dict[str, msgspec.Raw])["head"])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
            raise SyncError(self.url, "its snapshot does not begin with a head") from None
        if after or not manifest:
            raise SyncError(self.url, "its snapshot is not two lines")
        return envelope, manifest

    async def page(self, entry: PageEntry) -> bytes:
        """A page of a snapshot, as `BundleOrigin` has it."""
        return await self._get(f"snapshot/pages/{entry.sha256}", entry.size, unpacked=False)

    async def bundle(self, revision: str, have: str | None) -> bytes:
        """The pack of a bundle, as `BundleOrigin` has it."""
        known = "" if have is None else f"?have={quote(have, safe='')}"
        return await self._get(f"bundles/{quote(revision, safe='')}{known}", MAX_ARCHIVE_BYTES)

    async def subject(self, subject: Subject) -> bytes:
        """What the store knows of one subject: an envelope.

        Raises:
            SyncError: there is no answer, or not this one.
        """
        path = f"subjects/{subject.type}s/{path_segment(subject.id)}"
        return await self._get(path, _MAX_SUBJECT_BYTES)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

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
                    raise await self._refusal(url, response)
                return await _read(response, url, most, unpacked=unpacked, limit=limit)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise SyncError(url, f"no answer: {str(error) or type(error).__name__}") from None
        except TimeoutError:
            detail = f"no whole answer in {_WHOLE_SECONDS + wait:.0f} seconds, at {_SLOWEST} bytes a second at least"
            raise SyncError(url, detail) from None

    async def _headers(self, *, packed: bool) -> Mapping[str, str]:
        headers = {"accept-encoding": "gzip" if packed else "identity"}
        path = self._key_file
        if path is not None:
            try:
                async with asyncio.timeout(_KEY_SECONDS):  # it may be on a file system that does not answer
                    credential = await run_detached(lambda: read_credential(path), "key-file")
                headers["authorization"] = f"Bearer {credential.key}"
            except TimeoutError:
                raise SyncError(self.url, f"key file `{path}` cannot be read within {_KEY_SECONDS:g} seconds") from None
            except SettingsError as error:
                raise SyncError(self.url, str(error)) from None
        return headers

    @staticmethod
    async def _refusal(url: str, response: httpx.Response) -> SyncError:
        status = response.status_code
        try:
            problem = msgspec.json.decode(await _read(response, url, _MAX_PROBLEM_BYTES), type=_Problem)
        except (SyncError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            problem = _Problem()
        code = problem.type.removeprefix(PROBLEM_TYPE_PREFIX) if problem.type.startswith(PROBLEM_TYPE_PREFIX) else ""
        said = problem.detail or problem.title
        return SyncError(url, f"it answers {status}" + (f": {said[:300]}" if said else ""), status, code)


async def _read(
    response: httpx.Response, url: str, most: int, *, unpacked: bool = True, limit: asyncio.Timeout | None = None
) -> bytes:
    """The body, never more than `most` bytes of it, packed or not. What arrives puts `limit` off, by its rate."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    unpacking = zlib.decompressobj(wbits=_GZIP) if encoding == "gzip" and unpacked else None
    if unpacking is None and encoding != "identity":
        raise SyncError(url, f"its answer has the encoding `{encoding[:40]}`, which was not asked for")
    body = bytearray()
    async for piece in response.aiter_raw():
        if limit is not None:
            limit.reschedule((limit.when() or 0.0) + len(piece) / _SLOWEST)
        try:
            body += piece if unpacking is None else unpacking.decompress(piece, most + 1 - len(body))
        except zlib.error as error:
            raise SyncError(url, f"its answer cannot be unpacked: {error}") from None
        if len(body) > most or (unpacking is not None and unpacking.unconsumed_tail):
            raise SyncError(url, f"its answer has more than {most} bytes")
    if unpacking is not None and not unpacking.eof:
        raise SyncError(url, "its answer ends early")
    return bytes(body)


def _trusting(authorities: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=authorities)
    except ssl.SSLError as error:
        raise SettingsError("control-plane-ca-pem", f"cannot be used: {error}") from None


def check_url(url: str, *, insecure: bool) -> None:
    """Refuse an address to which a key must not be sent.

    Raises:
        SettingsError: it is none, or is not HTTPS and beyond loopback.
    """
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
