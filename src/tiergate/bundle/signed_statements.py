"""Statements that a store signs: publications, heads of its feed, single subjects; and the manifest of a snapshot.

Every statement has the `format` it is written in and the lowest format that a reader `needs` to know. A reader rejects
only what needs more than it knows, and ignores unknown fields, so that stores and sidecars of neighbouring versions
work together. Fields are only added, with a default.

Reading raises `TrustError`: `future_format` if a statement needs a later format, else `malformed`.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from tiergate import naming
from tiergate.bundle.envelope import sign
from tiergate.errors import RejectionReason, TrustError
from tiergate.feed.status_reports import read_features
from tiergate.feed.unreadable_records import UnreadableRecord, describe_unreadable
from tiergate.model import FeatureReports, Instant, SubjectRecord, SubjectType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.bundle.signing_keys import SigningKey

STATEMENT_FORMAT: Final = 1
"""The format that this version writes, and the highest that it reads."""

Count = Annotated[int, Meta(ge=0, le=2**62)]
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Revision = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
StoreId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]


class _Formatted(msgspec.Struct):
    needs: Annotated[int, Meta(ge=1)] = 1


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """A revision is active from `position` of the feed on. `rolled_back_to`: the sequence that a rollback repeats."""

    format: int = STATEMENT_FORMAT
    needs: int = 1
    store: StoreId
    issued_at: Instant
    sequence: Annotated[int, Meta(ge=1, le=2**62)]
    revision: Revision
    position: Count
    rolled_back_to: int | None = None


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The feed has the hash `chain` at `position`, and ended at `latest` at `issued_at`.

    `publication`: the sequence that is active at `position`, 0 for none. `snapshot`: the SHA-256 of the manifest of a
    snapshot at `position`.
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
    """The record of one subject at `position`: for a subscription, its customer's record."""

    format: int = STATEMENT_FORMAT
    needs: int = 1
    store: StoreId
    issued_at: Instant
    position: Count
    type: SubjectType
    id: str
    record: SubjectRecord | None


class UnreadableStatement(NamedTuple):
    """A `SubjectStatement` whose record this version cannot read."""

    store: str
    position: int
    type: SubjectType
    id: str
    record: UnreadableRecord


class _UnreadableStatement(msgspec.Struct):
    store: StoreId
    position: Count
    type: SubjectType
    id: Annotated[str, Meta(min_length=1)]
    record: msgspec.Raw


class PageEntry(msgspec.Struct, frozen=True):
    """A page of a snapshot: the SHA-256 and size of its bytes, and its number of records."""

    sha256: Hash
    size: Count
    count: Count


class SnapshotManifest(msgspec.Struct, frozen=True, kw_only=True):
    """All subjects at one position, in pages, and the publication active there: its envelope, or `null` for none.

    `statuses`: the reports on the status of features there, as `feed.status_reports.encode_features` writes them. The
    manifest is not signed itself: its hash is in a signed head.
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
    statuses: msgspec.Raw = msgspec.Raw(b"[]")

    @property
    def feature_reports(self) -> tuple[FeatureReports, ...]:
        """The reports on the status of features, as far as this version can read them."""
        return read_features(self.statuses)

    @property
    def envelope(self) -> bytes | None:
        """The bytes of the publication's envelope; none without a publication."""
        return None if bytes(self.publication) == b"null" else bytes(self.publication)


Statement = Publication | Head | SubjectStatement

S = TypeVar("S", Publication, Head, SubjectStatement)
T = TypeVar("T")

_KINDS: Final[dict[type[Statement], str]] = {
    Publication: naming.statement_type("publication"),
    Head: naming.statement_type("head"),
    SubjectStatement: naming.statement_type("subject"),
}


def sign_statement(statement: Statement, keys: Iterable[SigningKey]) -> bytes:
    """Write a statement in an envelope, as JSON without a newline, signed by each of `keys`."""
    return sign(payload_type(type(statement)), msgspec.json.encode(statement), keys)


def decode_statement(payload: bytes, kind: type[S]) -> S:
    """Read the payload of a verified envelope."""
    return _decode(payload, kind)


def decode_unreadable_statement(payload: bytes, reason: TrustError) -> UnreadableStatement:
    """Read a verified `SubjectStatement` as far as possible, because `decode_statement` failed with `reason`.

    Raises `TrustError` if the customer of the record cannot be identified; `reason` if it is not a statement.
    """
    try:
        statement = msgspec.json.decode(payload, type=_UnreadableStatement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise reason from None
    is_customer = statement.type is SubjectType.CUSTOMER
    record = describe_unreadable(statement.record, reason, statement.id if is_customer else "")
    if not is_customer:
        record = record._replace(subscriptions=tuple(dict.fromkeys((*record.subscriptions, statement.id))))
    return UnreadableStatement(statement.store, statement.position, statement.type, statement.id, record)


def payload_type(kind: type[Statement]) -> str:
    """Return the DSSE payload type of a kind of statement."""
    return _KINDS[kind]


def encode_snapshot_manifest(manifest: SnapshotManifest) -> tuple[bytes, str]:
    """Return the JSON of a manifest, on one line, and its SHA-256 in hex."""
    content = msgspec.json.encode(manifest)
    return content, hashlib.sha256(content).hexdigest()


def decode_snapshot_manifest(content: bytes) -> SnapshotManifest:
    """Read a manifest whose hash was verified."""
    return _decode(content, SnapshotManifest)


def _decode(content: bytes, kind: type[T]) -> T:
    try:
        needs = msgspec.json.decode(content, type=_Formatted).needs
        if needs > STATEMENT_FORMAT:
            detail = f"it needs format {needs}; this version of Tiergate reads up to {STATEMENT_FORMAT}"
            raise TrustError(RejectionReason.FUTURE_FORMAT, detail)
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TrustError(RejectionReason.MALFORMED, f"not a valid {kind.__name__.lower()}: {error}") from None
