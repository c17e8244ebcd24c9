from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiergate.cluster.injector.certificates import AUTHORITY_LIFETIME, LIFETIME, StoredCertificates, renew_certificates
from tiergate.process.certificates import read_certificates

if TYPE_CHECKING:
    from pathlib import Path

    from tiergate.process.certificates import Certificate

NAMES = ("tiergate-injector.tiergate.svc", "localhost")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def fits(kept: StoredCertificates, told: str, folder: Path) -> bool:
    """Say whether a client that trusts `told` gets through to a server with what is kept, in real TLS."""
    (folder / "cert").write_text(kept.certificate)
    (folder / "key").write_text(kept.key)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "cert", folder / "key")
    client = ssl.create_default_context(cadata=told)
    here, there = socket.socketpair()

    def serve() -> None:
        with there:
            try:
                server.wrap_socket(there, server_side=True).close()
            except OSError:
                return

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        with here, client.wrap_socket(here, server_hostname=NAMES[0]):
            return True
    except ssl.SSLError:
        return False
    finally:
        serving.join()


def test_a_first_certificate_is_trusted_by_who_is_told(tmp_path: Path) -> None:
    """And by nobody who is told of another authority."""
    kept = renew_certificates(None, NAMES, datetime.now(UTC))
    assert fits(kept, kept.authorities, tmp_path)
    assert not fits(kept, renew_certificates(None, NAMES, datetime.now(UTC)).authorities, tmp_path)


def test_what_is_good_stays() -> None:
    """Until a third of its time is left."""
    kept = renew_certificates(None, NAMES, NOW)
    assert (
        renew_certificates(kept, NAMES, NOW + LIFETIME * 2 / 3 - timedelta(minutes=1), trusted=kept.authorities) == kept
    )


def test_a_certificate_is_renewed_by_the_same_authority() -> None:
    """Nobody has to be told."""
    kept = renew_certificates(None, NAMES, NOW)
    renewed = renew_certificates(kept, NAMES, NOW + LIFETIME * 2 / 3 + timedelta(minutes=1), trusted=kept.authorities)
    assert renewed.authorities == kept.authorities
    assert renewed.certificate != kept.certificate
    (certificate,) = read_certificates(renewed.certificate)
    assert certificate.not_after > NOW + LIFETIME * 3 / 2


def test_a_certificate_for_other_names_is_made_anew() -> None:
    """The Service has got another name."""
    kept = renew_certificates(None, ("old.tiergate.svc",), NOW)
    renewed = renew_certificates(kept, NAMES, NOW, trusted=kept.authorities)
    assert read_certificates(renewed.certificate)[0].names == set(NAMES)
    assert renewed.authorities == kept.authorities


def test_an_authority_is_exchanged_in_two_steps() -> None:
    """First it is told, beside the old one; then a certificate is made by it."""
    late = NOW + AUTHORITY_LIFETIME * 2 / 3 + timedelta(days=1)
    kept = renew_certificates(renew_certificates(None, NAMES, NOW), NAMES, late - timedelta(days=10))
    first = renew_certificates(kept, NAMES, late, trusted=kept.authorities)
    assert first.certificate == kept.certificate
    assert first.authorities.endswith(kept.authorities)
    assert len(read_certificates(first.authorities)) == 2
    assert renew_certificates(first, NAMES, late, trusted=kept.authorities) == first
    second = renew_certificates(first, NAMES, late, trusted=first.authorities)
    assert second.certificate != kept.certificate
    served, (new, old) = read_certificates(second.certificate)[0], read_certificates(second.authorities)
    assert served.is_issued_by(new)
    assert not served.is_issued_by(old)


@pytest.mark.parametrize("field", StoredCertificates._fields)
@pytest.mark.parametrize("damage", ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_damaged_is_made_anew(field: str, damage: str) -> None:
    """Whatever somebody has done to the Secret; at once, or where that serves longer, in the two steps."""
    first = renew_certificates(renew_certificates(None, NAMES, NOW)._replace(**{field: damage}), NAMES, NOW)
    made = renew_certificates(first, NAMES, NOW, trusted=first.authorities)
    assert renew_certificates(made, NAMES, NOW, trusted=made.authorities) == made
    certificate, authorities = read_certificates(made.certificate)[0], read_certificates(made.authorities)
    assert certificate.is_issued_by(authorities[0])
    assert certificate.belongs_to(made.key)


def test_a_secret_is_read_as_it_was_written() -> None:
    """And one that lacks something is none."""
    kept = renew_certificates(None, NAMES, NOW)
    assert StoredCertificates.from_secret(kept.to_secret()) == kept
    for name in kept.to_secret():
        assert (
            StoredCertificates.from_secret({it: value for it, value in kept.to_secret().items() if it != name}) is None
        )


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=8, max_size=25))
def test_whatever_is_served_is_trusted(steps: list[tuple[int, bool]]) -> None:
    """Over years, with looks at any distance, and an API server that cannot always be told. Lifetimes are short here.

    What other replicas still serve with, who have not looked yet, stays trusted too.
    """
    lifetime, authority = timedelta(days=90), timedelta(days=200)
    now = NOW
    kept = renew_certificates(None, NAMES, now, lifetime=lifetime, authority_lifetime=authority)
    told = kept.authorities
    for days, is_told in steps:
        now += timedelta(days=days)
        before = read_certificates(kept.certificate)[0]
        kept = renew_certificates(kept, NAMES, now, trusted=told, lifetime=lifetime, authority_lifetime=authority)
        served = read_certificates(kept.certificate)[0]
        assert served.is_valid(now)
        if before.is_valid(now) and is_trusted(before, told, now):
            assert is_trusted(served, told, now)
        if is_told:
            told = kept.authorities
            assert is_trusted(served, told, now)
            assert is_trusted(before, told, now) or not before.is_valid(now)


def is_trusted(served: Certificate, told: str, now: datetime) -> bool:
    """Say whether one of these authorities, at this time, vouches for a certificate."""
    return any(one.is_valid(now) and served.is_issued_by(one) for one in read_certificates(told))
