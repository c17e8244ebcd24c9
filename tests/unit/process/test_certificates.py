from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import verification

from tiergate.process.certificates import CertificateAuthority, read_certificates

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
NAMES = ("injector.tiergate.svc", "localhost")


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    """An authority."""
    return CertificateAuthority.new("somebody", NOW, YEAR)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_vouches_for_passes_a_strict_verifier(authority: CertificateAuthority, name: str) -> None:
    """The library's own, which holds certificates to what the web's browsers ask of them."""
    pem, _ = authority.issue(NAMES, NOW, timedelta(days=90))
    trusted = verification.Store([x509.load_pem_x509_certificate(authority.certificate.to_pem().encode())])
    verifier = verification.PolicyBuilder().store(trusted).time(NOW.replace(tzinfo=None))
    found = verifier.build_server_verifier(x509.DNSName(name)).verify(x509.load_pem_x509_certificate(pem.encode()), [])
    assert len(found) == 2
    with pytest.raises(verification.VerificationError):
        verifier.build_server_verifier(x509.DNSName("other")).verify(x509.load_pem_x509_certificate(pem.encode()), [])


def test_a_server_is_no_authority(authority: CertificateAuthority) -> None:
    """Whoever has its key cannot vouch for others."""
    pem, key = authority.issue(NAMES, NOW, YEAR)
    read = x509.load_pem_x509_certificate(pem.encode())
    assert read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    usurper = CertificateAuthority.from_pem(pem, key)
    (forged,) = read_certificates(usurper.issue(NAMES, NOW, YEAR)[0])
    assert not forged.is_issued_by(authority.certificate)


def test_nothing_outlives_its_authority(authority: CertificateAuthority) -> None:
    """However long it should be valid."""
    (made,) = read_certificates(authority.issue(NAMES, NOW, 5 * YEAR)[0])
    assert made.not_after == authority.certificate.not_after == NOW + YEAR


def test_a_clock_that_is_behind_is_borne(authority: CertificateAuthority) -> None:
    """By minutes, and no more; and the end is the end."""
    (made,) = read_certificates(authority.issue(NAMES, NOW, timedelta(days=1))[0])
    assert made.is_valid(NOW - timedelta(minutes=4))
    assert not made.is_valid(NOW - timedelta(minutes=6))
    assert not made.is_valid(NOW + timedelta(days=1))


def test_an_authority_is_read_as_it_was_written(authority: CertificateAuthority) -> None:
    """And vouches on as before."""
    other = CertificateAuthority.new("other", NOW, YEAR).certificate
    again = CertificateAuthority.from_pem(authority.certificate.to_pem() + other.to_pem(), authority.key_to_pem())
    assert again.certificate == authority.certificate
    (made,) = read_certificates(again.issue(NAMES, NOW, YEAR)[0])
    assert made.is_issued_by(authority.certificate)
    assert not made.is_issued_by(other)
    assert made.names == set(NAMES)


def test_a_key_of_another_is_refused(authority: CertificateAuthority) -> None:
    """And said without the key."""
    key = CertificateAuthority.new("other", NOW, YEAR).key_to_pem()
    with pytest.raises(ValueError, match="is not a certificate with its private key") as refused:
        CertificateAuthority.from_pem(authority.certificate.to_pem(), key)
    assert key not in str(refused.value)


@pytest.mark.parametrize("pem", ["", "x"])
def test_where_there_is_no_certificate_none_is_read(pem: str) -> None:
    """A text without any is no mistake here; a broken one is."""
    assert read_certificates(pem) == ()
    with pytest.raises(ValueError, match="invalid certificate"):
        read_certificates("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def test_a_key_is_never_shown(authority: CertificateAuthority) -> None:
    """Where it is logged by mistake."""
    key = serialization.load_pem_private_key(authority.key_to_pem().encode(), None)
    assert "PRIVATE" not in repr(authority)
    assert repr(key) not in repr(authority)
    assert "somebody" in repr(authority)


def test_certificates_are_equal_by_their_bytes(authority: CertificateAuthority) -> None:
    """So that sets of them hold each once."""
    (again,) = read_certificates(authority.certificate.to_pem())
    assert {again, authority.certificate} == {again}
    assert again != CertificateAuthority.new("somebody", NOW, YEAR).certificate
