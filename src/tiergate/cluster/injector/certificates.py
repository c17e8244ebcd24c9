"""The injector's own certificates, where nobody else makes them: what stands in the Secret, and what should next.

Pure. All replicas share one Secret, `Kept`. It has an authority's certificates (the first one's key is there too, the
others are on their way out or in), and the certificate that replicas serve with. An authority is exchanged in two
steps, so that whoever connects at any time trusts what is served: first the new one is told to the API server beside
the old, and only when it has been, a certificate is made by it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.process.certificates import Authority, read_certificates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tiergate.process.certificates import Certificate

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
LIFETIME: Final = timedelta(days=90)

_RENEWED_AT: Final = 3
"""A certificate is exchanged when a third of its time is left."""

_KEYS: Final = ("ca.crt", "ca.key", "tls.crt", "tls.key")
_NAME: Final = "tiergate-injector"


class Kept(NamedTuple):
    """What the Secret holds, all in PEM. Its keys are those of a TLS Secret, so that others can read it."""

    authorities: str
    authority_key: str
    certificate: str
    key: str

    @classmethod
    def from_secret(cls, data: Mapping[str, bytes]) -> Kept | None:
        """Read a Secret's values; none where one of them is missing or no text."""
        try:
            return cls(*(data[name].decode("ascii") for name in _KEYS))
        except (KeyError, UnicodeDecodeError):
            return None

    def to_secret(self) -> dict[str, bytes]:
        """The Secret's values."""
        return {name: value.encode() for name, value in zip(_KEYS, self, strict=True)}


def next_kept(
    kept: Kept | None,
    names: Sequence[str],
    now: datetime,
    *,
    told: str = "",
    lifetime: timedelta = LIFETIME,
    authority_lifetime: timedelta = AUTHORITY_LIFETIME,
) -> Kept:
    """What the Secret should hold, given what it does: the same, where nothing has to be done.

    `names`: the DNS names that the API server calls; `told`: the authorities that it trusts at present. What cannot be
    used is made anew.
    """
    authorities = () if kept is None else tuple(one for one in _read(kept.authorities) if one.is_valid(now))
    authority = None if kept is None else _authority(kept, authorities)
    if authority is None or _is_near_its_end(authority.certificate, now, authority_lifetime):
        authority = Authority.new(_NAME, now, authority_lifetime)
        authorities = (authority.certificate, *authorities)
    written = "".join(one.to_pem() for one in authorities)
    if kept is not None and _serves_on(kept, authorities, names, now, lifetime, told):
        return kept._replace(authorities=written, authority_key=authority.key_to_pem())
    return Kept(written, authority.key_to_pem(), *authority.vouch_for(names, now, lifetime))


def _serves_on(
    kept: Kept, authorities: Sequence[Certificate], names: Sequence[str], now: datetime, lifetime: timedelta, told: str
) -> bool:
    """Say whether the certificate that is served with stays as it is."""
    found = next(iter(_read(kept.certificate)), None)
    if found is None or not (found.belongs_to(kept.key) and found.is_valid(now) and found.names >= set(names)):
        return False
    if found.is_vouched_for_by(authorities[0]):
        return not _is_near_its_end(found, now, lifetime)
    # One of an earlier authority: it serves until the API server has been told of the one that is first now.
    return any(map(found.is_vouched_for_by, authorities)) and authorities[0] not in _read(told)


def _authority(kept: Kept, authorities: Sequence[Certificate]) -> Authority | None:
    """The authority that vouches at present, if what is kept has it."""
    try:
        found = Authority.from_pem(kept.authorities, kept.authority_key)
    except ValueError:
        return None
    return found if found.certificate in authorities else None


def _is_near_its_end(certificate: Certificate, now: datetime, lifetime: timedelta) -> bool:
    return certificate.not_after - now < lifetime / _RENEWED_AT


def _read(pem: str) -> tuple[Certificate, ...]:
    """The certificates of a text; none where one cannot be read, for then all of it is made anew."""
    try:
        return read_certificates(pem)
    except ValueError:
        return ()
