"""Certificates for servers that are talked to inside a cluster: an authority of one's own, and what it vouches for.

Keys are of the curve P-256, which every TLS library speaks. Where keys and certificates are kept, when they are renewed
and who is told of them, others say; `now` comes in as an argument, in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

_SKEW: Final = timedelta(minutes=5)
"""How far clocks may be behind: certificates are valid since before they were made."""

_MOST_IN_A_NAME: Final = 64


class Certificate:
    """A certificate. Equal to every other one of the same bytes."""

    __slots__ = ("_read",)

    def __init__(self, read: x509.Certificate) -> None:
        """Use `read_certificates` instead."""
        self._read = read

    @property
    def not_after(self) -> datetime:
        """The instant from which it counts no more."""
        return self._read.not_valid_after_utc

    @property
    def names(self) -> frozenset[str]:
        """The DNS names that it is for."""
        try:
            found = self._read.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return frozenset()
        return frozenset(found.value.get_values_for_type(x509.DNSName))

    def is_valid(self, now: datetime) -> bool:
        """Say whether it counts at `now`."""
        return self._read.not_valid_before_utc <= now < self._read.not_valid_after_utc

    def is_issued_by(self, other: Certificate) -> bool:
        """Say whether the authority of this other certificate made it."""
        try:
            self._read.verify_directly_issued_by(other._read)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def belongs_to(self, key: str) -> bool:
        """Say whether this is the certificate of a private key, in PEM."""
        try:
            return _read_key(key).public_key() == self._read.public_key()
        except ValueError:
            return False

    def to_pem(self) -> str:
        """Write it as a `CERTIFICATE` block."""
        return self._read.public_bytes(Encoding.PEM).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and other._read == self._read

    def __hash__(self) -> int:
        return hash(self._read)

    def __repr__(self) -> str:
        return f"Certificate({self._read.subject.rfc4514_string()})"


class CertificateAuthority:
    """An authority: its certificate, and the private key by which it vouches. The key is never in its `repr`."""

    __slots__ = ("_key", "certificate")

    def __init__(self, certificate: Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        """Use `new` or `from_pem` instead."""
        self.certificate = certificate
        self._key = key

    @classmethod
    def new(cls, name: str, now: datetime, lifetime: timedelta) -> Self:
        """Make one, with a new key, that vouches for servers' certificates and for no further authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        made = (
            _builder(key.public_key(), subject, subject, now, lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(Certificate(made), key)

    @classmethod
    def from_pem(cls, certificate: str, key: str) -> Self:
        """Read one; of several certificates the first is its own.

        Raises:
            ValueError: it is none, or the key is another one's. The message holds nothing of the key.
        """
        found = read_certificates(certificate)
        if not found or not found[0].belongs_to(key):
            raise ValueError("is no certificate with its private key, in PEM")
        return cls(found[0], _read_key(key))

    def issue(self, names: Sequence[str], now: datetime, lifetime: timedelta) -> tuple[str, str]:
        """Make a certificate with a new key for a server of these DNS names; both in PEM, the key a secret.

        It ends with the authority's own certificate at the latest.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        lifetime = min(lifetime, self.certificate.not_after - now)
        issuer = self.certificate._read  # noqa: SLF001 - one module
        made = (
            _builder(key.public_key(), _name(names[0]), issuer.subject, now, lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Certificate(made).to_pem(), _pem_of(key)

    def key_to_pem(self) -> str:
        """Write its private key as a `PRIVATE KEY` block without a password: a secret."""
        return _pem_of(self._key)

    def __repr__(self) -> str:
        return f"Authority({self.certificate!r})"


def read_certificates(pem: str) -> tuple[Certificate, ...]:
    """Read the `CERTIFICATE` blocks of a text.

    Raises:
        ValueError: one of them is none.
    """
    if "-----BEGIN CERTIFICATE-----" not in pem:
        return ()
    try:
        return tuple(Certificate(one) for one in x509.load_pem_x509_certificates(pem.encode()))
    except ValueError:
        raise ValueError("holds what is no certificate in PEM") from None


def _builder(
    key: ec.EllipticCurvePublicKey, subject: x509.Name, issuer: x509.Name, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = now.astimezone(UTC).replace(microsecond=0)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + lifetime)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_MOST_IN_A_NAME])])


def _read_key(pem: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is no private key in PEM without a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("is a private key, but not of an elliptic curve")
    return key


def _pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
