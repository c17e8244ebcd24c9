"""The certificate that the webhook is served with: where its two files are, and whether they are others than before.

Either somebody else writes the files, such as cert-manager by way of a mounted Secret; or they are made here, and then
exist in memory alone, so that a private key is on no disk.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tiergate.errors import SettingsError
from tiergate.process.certificates import read_certificates

if TYPE_CHECKING:
    from contextlib import ExitStack

    from tiergate.cluster.injector.webhook_registration import Registration


class GivenFiles:
    """Two files that somebody else writes."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Take note of them; nothing is read yet."""
        self.paths = (certificate, key)
        self.ends: datetime | None = None
        self._known: tuple[bytes, bytes] | None = None

    def bring(self) -> bool:
        """Look at them; say whether they are others than before.

        Raises:
            SettingsError: they cannot be read, or do not belong together.
        """
        try:
            found = self.paths[0].read_bytes(), self.paths[1].read_bytes()
        except OSError as error:
            raise SettingsError("tls-cert", f"`{error.filename}` cannot be read: {error.strerror}") from None
        if found == self._known:
            return False
        # Tried out first: a context that has failed to load a pair is of no use any more.
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*self.paths)
        except OSError as error:
            detail = f"`{self.paths[0]}` with `{self.paths[1]}` cannot be used: {error}"
            raise SettingsError("tls-cert", detail) from None
        self.ends = _end_of(found[0].decode("ascii", "replace"))
        self._known = found
        return True


class OwnFiles:
    """Two files in memory, with what a registration brings. `opened` closes them."""

    def __init__(self, registration: Registration, opened: ExitStack) -> None:
        """Make them, empty."""
        self._registration = registration
        self._files = [_in_memory(opened, name) for name in ("certificate", "key")]
        self.paths = (self._files[0][1], self._files[1][1])
        self.ends: datetime | None = None
        self._known: tuple[str, str] | None = None

    def bring(self) -> bool:
        """Make or renew what has to be, and write it; say whether it is another one than before.

        Raises:
            ClusterError: the API server does not let it.
        """
        kept = self._registration.bring()
        found = kept.certificate, kept.key
        if found == self._known:
            return False
        for (descriptor, _), text in zip(self._files, found, strict=True):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text.encode(), 0)
        self.ends = _end_of(kept.certificate)
        self._known = found
        return True


def _in_memory(opened: ExitStack, name: str) -> tuple[int, Path]:
    """A file that no path of a file system names; on systems that have no such thing, a private temporary one."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(f"tiergate-{name}")
        opened.callback(os.close, descriptor)
        return descriptor, Path(f"/proc/self/fd/{descriptor}")
    file = opened.enter_context(tempfile.NamedTemporaryFile(prefix="tiergate-"))  # noqa: SIM115 - `opened` closes it
    return file.fileno(), Path(file.name)


def _end_of(pem: str) -> datetime:
    try:
        found = read_certificates(pem)
    except ValueError:
        found = ()
    if not found:
        raise SettingsError("tls-cert", "holds no certificate in PEM")
    return found[0].not_after.astimezone(UTC)
