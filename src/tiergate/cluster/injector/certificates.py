"""The certificates that the injector creates itself: which are in the Secret, and which should be next.

Pure. All replicas share one Secret, `StoredCertificates`: CA certificates (with the private key of the first one; the
others are about to expire or were just replaced) and the certificate that replicas serve with. A CA is exchanged in two
steps, so that clients always trust the served certificate: first the API server gets the new CA certificate beside the
old one, and only then a certificate is issued by the new CA.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.process.certificates import CertificateAuthority, read_certificates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tiergate.process.certificates import Certificate

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
LIFETIME: Final = timedelta(days=90)

_RENEWAL_SHARE: Final = 3
"""A certificate is renewed when less than a third of its lifetime is left."""

_KEYS: Final = ("ca.crt", "ca.key", "tls.crt", "tls.key")
_NAME: Final = "tiergate-injector"


class StoredCertificates(NamedTuple):
    """The data of the Secret, in PEM. Its keys are those of a TLS Secret, so that other programs can read it."""

    authorities: str
    authority_key: str
    certificate: str
    key: str

    @classmethod
    def from_secret(cls, data: Mapping[str, bytes]) -> StoredCertificates | None:
        """Read a Secret's data; `None` if a value is missing or not ASCII."""
        try:
            return cls(*(data[name].decode("ascii") for name in _KEYS))
        except (KeyError, UnicodeDecodeError):
            return None

    def to_secret(self) -> dict[str, bytes]:
        """Return the data of the Secret."""
        return {name: value.encode() for name, value in zip(_KEYS, self, strict=True)}


def renew_certificates(
    stored: StoredCertificates | None,
    names: Sequence[str],
    now: datetime,
    *,
    trusted: str = "",
    lifetime: timedelta = LIFETIME,
    authority_lifetime: timedelta = AUTHORITY_LIFETIME,
) -> StoredCertificates:
    """Return the next data of the Secret; the same data if nothing has to be renewed.

    `names`: the DNS names that the API server calls; `trusted`: the CA certificates that it trusts now, in PEM.
    Unusable parts are created again.
    """
    authorities = () if stored is None else tuple(it for it in _read(stored.authorities) if it.is_valid(now))
    authority = None if stored is None else _authority(stored, authorities)
    if authority is None or _expires_soon(authority.certificate, now, authority_lifetime):
        authority = CertificateAuthority.new(_NAME, now, authority_lifetime)
        authorities = (authority.certificate, *authorities)
    written = "".join(it.to_pem() for it in authorities)
    if stored is not None and _is_certificate_good(stored, authorities, names, now, lifetime, trusted):
        return stored._replace(authorities=written, authority_key=authority.key_to_pem())
    return StoredCertificates(written, authority.key_to_pem(), *authority.issue(names, now, lifetime))


def _is_certificate_good(
    stored: StoredCertificates,
    authorities: Sequence[Certificate],
    names: Sequence[str],
    now: datetime,
    lifetime: timedelta,
    trusted: str,
) -> bool:
    """Return whether the serving certificate needs no renewal."""
    certificate = next(iter(_read(stored.certificate)), None)
    if certificate is None or not (
        certificate.belongs_to(stored.key) and certificate.is_valid(now) and certificate.names >= set(names)
    ):
        return False
    if certificate.is_issued_by(authorities[0]):
        return not _expires_soon(certificate, now, lifetime)
    # Issued by an earlier CA: it serves until the API server trusts the CA that is first now.
    return any(map(certificate.is_issued_by, authorities)) and authorities[0] not in _read(trusted)


def _authority(stored: StoredCertificates, authorities: Sequence[Certificate]) -> CertificateAuthority | None:
    """Return the CA that issues certificates now, if it is usable."""
    try:
        authority = CertificateAuthority.from_pem(stored.authorities, stored.authority_key)
    except ValueError:
        return None
    return authority if authority.certificate in authorities else None


def _expires_soon(certificate: Certificate, now: datetime, lifetime: timedelta) -> bool:
    return certificate.not_after - now < lifetime / _RENEWAL_SHARE


def _read(pem: str) -> tuple[Certificate, ...]:
    """Read the certificates of a text; an unreadable text has none, so that all are created again."""
    try:
        return read_certificates(pem)
    except ValueError:
        return ()
