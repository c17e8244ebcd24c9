"""The certificate that the webhook serves with: its two files, and whether they have changed.

Either another program writes the files, such as cert-manager through a mounted Secret; or the injector creates the
certificate, and the files exist in memory only, so that no disk has the private key.
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

    from tiergate.cluster.injector.webhook_registration import WebhookRegistration


class MountedCertificate:
    """Two files that another program writes."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read nothing yet."""
        self.paths = (certificate, key)
        self.expires_at: datetime | None = None
        self._known: tuple[bytes, bytes] | None = None

    def update(self) -> bool:
        """Read the files; return whether they have changed.

        Raises:
            SettingsError: they cannot be read, or the key belongs to another certificate.
        """
        try:
            found = self.paths[0].read_bytes(), self.paths[1].read_bytes()
        except OSError as error:
            raise SettingsError("tls-cert", f"`{error.filename}` cannot be read: {error.strerror}") from None
        if found == self._known:
            return False
        # A separate context: one that failed to load a pair is unusable.
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*self.paths)
        except OSError as error:
            detail = f"`{self.paths[0]}` with `{self.paths[1]}` cannot be used: {error}"
            raise SettingsError("tls-cert", detail) from None
        self.expires_at = _expiry(found[0].decode("ascii", "replace"))
        self._known = found
        return True


class ManagedCertificate:
    """Two files in memory with the certificate of a registration."""

    def __init__(self, registration: WebhookRegistration, opened: ExitStack) -> None:
        """Create empty files, which `opened` closes."""
        self._registration = registration
        self._files = [_in_memory(opened, name) for name in ("certificate", "key")]
        self.paths = (self._files[0][1], self._files[1][1])
        self.expires_at: datetime | None = None
        self._known: tuple[str, str] | None = None

    def update(self) -> bool:
        """Create or renew the certificate if necessary; return whether it has changed.

        Raises:
            ClusterError: as `WebhookRegistration.update`.
        """
        stored = self._registration.update()
        found = stored.certificate, stored.key
        if found == self._known:
            return False
        for (descriptor, _), text in zip(self._files, found, strict=True):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text.encode(), 0)
        self.expires_at = _expiry(stored.certificate)
        self._known = found
        return True


def _in_memory(opened: ExitStack, name: str) -> tuple[int, Path]:
    """Create a file in memory; on systems without memory files, a private temporary file."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(f"tiergate-{name}")
        opened.callback(os.close, descriptor)
        return descriptor, Path(f"/proc/self/fd/{descriptor}")
    file = opened.enter_context(tempfile.NamedTemporaryFile(prefix="tiergate-"))  # noqa: SIM115 - `opened` closes it
    return file.fileno(), Path(file.name)


def _expiry(pem: str) -> datetime:
    try:
        found = read_certificates(pem)
    except ValueError:
        found = ()
    if not found:
        raise SettingsError("tls-cert", "has no certificate in PEM")
    return found[0].not_after.astimezone(UTC)
