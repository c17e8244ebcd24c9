"""X.509 certificates: a certificate authority (CA) of our own, and server certificates that it issues.

Keys use the curve P-256, which every TLS library supports. `now` is an argument, in UTC.
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
"""How far clocks may be behind: certificates are valid from before their creation."""

_MAX_NAME: Final = 64


class Certificate:
    """A certificate. Certificates with the same bytes are equal."""

    __slots__ = ("_x509",)

    def __init__(self, read: x509.Certificate) -> None:
        """Use `read_certificates` instead."""
        self._x509 = read

    @property
    def not_after(self) -> datetime:
        """Return when it expires."""
        return self._x509.not_valid_after_utc

    @property
    def names(self) -> frozenset[str]:
        """Return its DNS names."""
        try:
            found = self._x509.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return frozenset()
        return frozenset(found.value.get_values_for_type(x509.DNSName))

    def is_valid(self, now: datetime) -> bool:
        """Return whether it is valid at `now`."""
        return self._x509.not_valid_before_utc <= now < self._x509.not_valid_after_utc

    def is_issued_by(self, other: Certificate) -> bool:
        """Return whether the CA with the certificate `other` issued it."""
        try:
            self._x509.verify_directly_issued_by(other._x509)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def belongs_to(self, key: str) -> bool:
        """Return whether it is the certificate of a private key, in PEM."""
        try:
            return _parse_key(key).public_key() == self._x509.public_key()
        except ValueError:
            return False

    def to_pem(self) -> str:
        """Return it as a `CERTIFICATE` block."""
        return self._x509.public_bytes(Encoding.PEM).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and other._x509 == self._x509

    def __hash__(self) -> int:
        return hash(self._x509)

    def __repr__(self) -> str:
        return f"Certificate({self._x509.subject.rfc4514_string()})"


class CertificateAuthority:
    """A CA: its certificate and private key. The `repr` does not show the key."""

    __slots__ = ("_key", "certificate")

    def __init__(self, certificate: Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        """Use `new` or `from_pem` instead."""
        self.certificate = certificate
        self._key = key

    @classmethod
    def new(cls, name: str, now: datetime, lifetime: timedelta) -> Self:
        """Create a CA with a new key, which can issue server certificates but no further CAs."""
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
        """Read a CA; the first certificate is its own.

        Raises:
            ValueError: the PEM is invalid, or the key is another one's. The message shows nothing of the key.
        """
        found = read_certificates(certificate)
        if not found or not found[0].belongs_to(key):
            raise ValueError("is not a certificate with its private key, in PEM")
        return cls(found[0], _parse_key(key))

    def issue(self, names: Sequence[str], now: datetime, lifetime: timedelta) -> tuple[str, str]:
        """Issue a server certificate for DNS names with a new key; return both in PEM. The key is secret.

        It expires not later than the CA.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        lifetime = min(lifetime, self.certificate.not_after - now)
        issuer = self.certificate._x509  # noqa: SLF001 - one module
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
        """Return its private key as a `PRIVATE KEY` block without a password: a secret."""
        return _pem_of(self._key)

    def __repr__(self) -> str:
        return f"Authority({self.certificate!r})"


def read_certificates(pem: str) -> tuple[Certificate, ...]:
    """Read the `CERTIFICATE` blocks of a text.

    Raises:
        ValueError: a block is invalid.
    """
    if "-----BEGIN CERTIFICATE-----" not in pem:
        return ()
    try:
        return tuple(Certificate(it) for it in x509.load_pem_x509_certificates(pem.encode()))
    except ValueError:
        raise ValueError("has an invalid certificate") from None


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
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:_MAX_NAME])])


def _parse_key(pem: str) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is not a private key in PEM without a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("is not a private key of an elliptic curve")
    return key


def _pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
