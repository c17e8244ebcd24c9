"""The object store that usage is exported to: S3 and what speaks it, Google Cloud Storage, Azure, or a folder.

Credentials come from the environment, from the same variables as for the cloud's own tools. Errors of the library have
no common root: callers catch all of them where they retry.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tiergate.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from obstore.store import ObjectStore

_SCHEMES: Final = ("s3://", "gs://", "az://", "file:///")
_SETTING: Final = "usage-export"


class ExportStore:
    """One place in an object store. For one thread at a time."""

    def __init__(self, url: str) -> None:
        """Prepare; no request is sent yet.

        Raises:
            SettingsError: the URL cannot be used, or the library is not installed.
        """
        if not url.startswith(_SCHEMES):
            words = ", ".join(f"`{scheme}…`" for scheme in _SCHEMES)
            raise SettingsError(_SETTING, f"`{url}` must be one of {words}")
        try:
            import obstore  # noqa: PLC0415 - loaded only if there is an object store
            from obstore.store import from_url  # noqa: PLC0415
        except ImportError:
            words = "needs a library that is not installed: `pip install tiergate[usage-export]`"
            raise SettingsError(_SETTING, words) from None
        self._obstore = obstore
        self._is_folder = url.startswith("file:")
        try:
            self._store: ObjectStore = (
                from_url(url, mkdir=True)
                if self._is_folder
                else from_url(
                    url,
                    client_options={"timeout": timedelta(seconds=120), "allow_http": True},
                    retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=120)},
                )
            )
        except Exception as error:  # noqa: BLE001 - the library's errors have no common root
            raise SettingsError(_SETTING, f"`{url}` cannot be used: {error}") from None

    def read(self, name: str) -> bytes | None:
        """Return the content of an object; `None` if there is none."""
        try:
            return bytes(self._obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes | Path, media_type: str) -> None:
        """Write an object, of which readers see all or nothing; large files go in parts."""
        attributes = None if self._is_folder else {"Content-Type": media_type}
        self._obstore.put(self._store, name, content, attributes=attributes)

    def delete_others(self, prefix: str, kept: Collection[str]) -> None:
        """Delete the objects under a prefix that are not among `kept`."""
        for part in self._obstore.list(self._store, prefix=prefix):
            gone = [meta["path"] for meta in part if meta["path"] not in kept]
            if gone:
                self._obstore.delete(self._store, gone)
