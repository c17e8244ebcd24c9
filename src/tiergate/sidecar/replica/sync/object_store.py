"""Reading from an object store: S3, Google Cloud Storage, Azure, or a folder.

    head.json                     the envelope of a head that names a snapshot: the one object that changes
    snapshots/<sha256>.json       a snapshot's manifest
    pages/<sha256>.ndjson.gz      a page of a snapshot
    bundles/<hex>.zip             a whole bundle, by the digits of its revision

A writer of the object store can withhold content, and nothing more: hashes and signatures verify it. Credentials come
from the same places as for the cloud's own tools: the environment, the identity of the machine or of the pod.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tiergate.bundle import MAX_ARCHIVE_BYTES, Head
from tiergate.bundle.envelope import MAX_ENVELOPE_BYTES, read_payload
from tiergate.bundle.signed_statements import decode_statement, payload_type
from tiergate.errors import SettingsError, SyncError, TrustError
from tiergate.process.detached_threads import run_detached
from tiergate.process.regular_files import read_regular

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from tiergate.bundle import PageEntry

_MAX_MANIFEST_BYTES: Final = 64 * 1024**2
_FOLDER_SECONDS: Final = 120.0
_SCHEMES: Final = ("s3://", "gs://", "az://", "file:///")


class ObjectStoreOrigin:
    """An object store, as a `BundleOrigin`."""

    def __init__(self, url: str, *, insecure: bool = False) -> None:
        """Prepare; no request is sent yet.

        Raises `SettingsError` if the URL is not supported, or the library is not installed. A folder needs no library.
        """
        if not url.startswith(_SCHEMES):
            words = ", ".join(f"`{scheme}…`" for scheme in _SCHEMES)
            raise SettingsError("object-store", f"`{url}` must be one of {words}")
        self.url = url
        self._read: _ReadObject = _Folder(url) if url.startswith("file:") else _Bucket(url, insecure=insecure)

    async def snapshot(self) -> tuple[bytes, bytes]:
        """Fetch the newest snapshot, as in `BundleOrigin`."""
        envelope = await self._get("head.json", MAX_ENVELOPE_BYTES)
        try:  # before verification, only the name of the next object is used
            head = decode_statement(read_payload(envelope, payload_type(Head)), Head)
        except TrustError as error:
            raise SyncError(f"{self.url}/head.json", str(error)) from None
        if head.snapshot is None:
            raise SyncError(f"{self.url}/head.json", "it names no snapshot")
        return envelope, await self._get(f"snapshots/{head.snapshot}.json", _MAX_MANIFEST_BYTES)

    async def page(self, entry: PageEntry) -> bytes:
        """Fetch a page of a snapshot, as in `BundleOrigin`."""
        return await self._get(f"pages/{entry.sha256}.ndjson.gz", entry.size)

    async def bundle(self, revision: str, have: str | None) -> bytes:  # noqa: ARG002 - it is whole here
        """Fetch the archive of a bundle, as in `BundleOrigin`."""
        return await self._get(f"bundles/{revision.removeprefix('sha256:')}.zip", MAX_ARCHIVE_BYTES)

    async def _get(self, path: str, most: int) -> bytes:
        url = f"{self.url.rstrip('/')}/{path}"
        try:
            content = await self._read(path, most)
        except FileNotFoundError:
            raise SyncError(url, "there is no such object", 404) from None
        except Exception as error:  # noqa: BLE001 - the library's errors have no common root
            raise SyncError(url, f"cannot be read: {str(error)[:300]}") from None
        if len(content) > most:
            raise SyncError(url, f"it has more than {most} bytes")
        return content


class _ReadObject(Protocol):
    async def __call__(self, path: str, most: int) -> bytes:
        """Read an object, or more than `most` bytes of a larger one; raises `FileNotFoundError`."""
        ...


class _Folder:
    """A folder of this machine, such as a cache for all pods of a node. It needs no library."""

    def __init__(self, url: str) -> None:
        self._root = Path(url2pathname(urlsplit(url).path))

    async def __call__(self, path: str, most: int) -> bytes:
        async with asyncio.timeout(_FOLDER_SECONDS):  # a file server may not answer
            return await run_detached(lambda: self._get(path, most), "object-store")

    def _get(self, path: str, most: int) -> bytes:
        return read_regular(self._root / path, most + 1)


class _Bucket:
    """A bucket of a cloud provider."""

    def __init__(self, url: str, *, insecure: bool) -> None:
        try:
            from obstore.store import from_url  # noqa: PLC0415 - an extra, of which most sidecars have no need
        except ImportError:
            words = "needs a library that is not installed: `pip install tiergate[object-store]`"
            raise SettingsError("object-store", words) from None
        try:
            self._store: ObjectStore = from_url(
                url,
                client_options={"timeout": timedelta(seconds=120), "allow_http": insecure},
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
            )
        except Exception as error:  # noqa: BLE001 - as in `Objects`
            raise SettingsError("object-store", f"`{url}` cannot be used: {error}") from None

    async def __call__(self, path: str, most: int) -> bytes:
        found = await self._store.get_async(path)
        return bytes(most + 1) if found.meta["size"] > most else bytes(await found.bytes_async())
