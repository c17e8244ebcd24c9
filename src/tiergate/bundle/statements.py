"""What a store signs: publications, heads of its feed, single subjects; and the manifest of a snapshot.

Every statement says the `format` it is written in and the least format that a reader must `need` to know. A reader
refuses only what needs more than it knows, and ignores fields that it does not know: so stores and sidecars of
neighbouring versions work together. Fields are only ever added, with a default.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from tiergate import naming
from tiergate.bundle import envelope
from tiergate.errors import RejectionReason, TrustError
from tiergate.model import Instant, SubjectRecord, SubjectType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.bundle.signing_keys import SigningKey

STATEMENT_FORMAT: Final = 1
"""The format that this version writes, and the latest that it reads."""

Count = Annotated[int, Meta(ge=0, le=2**62)]
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Revision = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
StoreId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]


class _Formatted(msgspec.Struct):
    needs: Annotated[int, Meta(ge=1)] = 1


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """A revision is in force from `position` of the feed on. `rolled_back_to`: the sequence that it repeats, if so."""

    format: int = STATEMENT_FORMAT
    needs: int = 1
    store: StoreId
    issued_at: Instant
    sequence: Annotated[int, Meta(ge=1, le=2**62)]
    revision: Revision
    position: Count
    rolled_back_to: int | None = None


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The feed up to `position` is what `chain` says, and reached to `latest` at `issued_at`.

    `publication`: the sequence in force at `position`, 0 for none. `snapshot`: the SHA-256 of the manifest of a
    snapshot at this very position.
    """

    format: int = STATEMENT_FORMAT
    needs: int = 1
    store: StoreId
    issued_at: Instant
    position: Count
    chain: Hash
    latest: Count
    publication: Count
    snapshot: Hash | None = None


class SubjectStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows of one subject at `position`: for a subscription, its customer's record."""

    format: int = STATEMENT_FORMAT
    needs: int = 1
    store: StoreId
    issued_at: Instant
    position: Count
    type: SubjectType
    id: str
    record: SubjectRecord | None


class PageEntry(msgspec.Struct, frozen=True):
    """A page of a snapshot: the SHA-256 and size of its bytes, and how many records it holds."""

    sha256: Hash
    size: Count
    count: Count


class SnapshotManifest(msgspec.Struct, frozen=True, kw_only=True):
    """All subjects at one position, by pages, and the publication then in force: its envelope, or `null` for none.

    It is not signed itself: its hash stands in a signed head.
    """

    format: int = STATEMENT_FORMAT
    needs: int = 1
    store: StoreId
    position: Count
    chain: Hash
    publication: msgspec.Raw
    pages: tuple[PageEntry, ...]
    customers: Count
    subscriptions: Count

    @property
    def envelope(self) -> bytes | None:
        """The bytes of the publication's envelope."""
        return None if bytes(self.publication) == b"null" else bytes(self.publication)


Statement = Publication | Head | SubjectStatement

S = TypeVar("S", Publication, Head, SubjectStatement)
T = TypeVar("T")

_KINDS: Final[dict[type[Statement], str]] = {
    Publication: naming.statement_type("publication"),
    Head: naming.statement_type("head"),
    SubjectStatement: naming.statement_type("subject"),
}


def encode_statement(statement: Statement) -> bytes:
    """Write a statement as the payload of an envelope."""
    return msgspec.json.encode(statement)


def sign_statement(statement: Statement, keys: Iterable[SigningKey]) -> bytes:
    """Write a statement in an envelope, as JSON without a newline, signed by each of `keys`.

    Raises:
        ValueError: there is no key, or the statement is too large.
    """
    return envelope.sign(payload_type(type(statement)), encode_statement(statement), keys)


def decode_statement(payload: bytes, kind: type[S]) -> S:
    """Read the payload of an envelope that was verified.

    Raises:
        TrustError: it needs a later format (`future_format`), or is `malformed`.
    """
    return _decode(payload, kind)


def payload_type(kind: type[Statement]) -> str:
    """The type of the payload of one kind of statement."""
    return _KINDS[kind]


def encode_snapshot_manifest(manifest: SnapshotManifest) -> tuple[bytes, str]:
    """Write a manifest, on one line, and tell its SHA-256 in hex."""
    content = msgspec.json.encode(manifest)
    return content, hashlib.sha256(content).hexdigest()


def decode_snapshot_manifest(content: bytes) -> SnapshotManifest:
    """Read a manifest whose hash was compared.

    Raises:
        TrustError: it needs a later format (`future_format`), or is `malformed`.
    """
    return _decode(content, SnapshotManifest)


def _decode(content: bytes, kind: type[T]) -> T:
    try:
        needs = msgspec.json.decode(content, type=_Formatted).needs
        if needs > STATEMENT_FORMAT:
            detail = f"it needs format {needs}, and this version of Tiergate knows {STATEMENT_FORMAT}"
            raise TrustError(RejectionReason.FUTURE_FORMAT, detail)
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(RejectionReason.MALFORMED, f"it is no {kind.__name__.lower()}: {error}") from None
