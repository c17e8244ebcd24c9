"""What is believed of a store: a state machine over bytes, in the manner of python-tuf's trusted metadata set.

It holds the trusted keys, the store's id and a cursor: how far the feed is known, and its chain there. Bytes go in;
what they say comes out once it is proved to be what that store signed, and newer than what is known. It has no network,
no files and no clock: others fetch, keep and tell the time. Rules:

- The store's id is configured, or pinned by the first statement that verifies; nothing of another store counts.
- A page of the feed is believed whole or not at all: its last line is a signed head, and every line before it follows
  the cursor without a gap and chains to that head. Only then does the cursor move, and never backwards.
- A publication inside a page, or inside a snapshot's manifest, is covered by the head's hash of it. Its own signature
  is not asked for again: keys may have been exchanged since. By itself it needs one.
- A head is fresh if it is the end of the feed. The greatest time at which a fresh head was issued says how old the data
  is. A head from the future, `MAX_SKEW` and more ahead of the clock, never counts as fresh, so that a store whose clock
  runs ahead cannot hide that its feed is frozen.

Every refusal is a `TrustError`, and leaves everything as it was.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import msgspec

from tiergate.bundle import envelope as envelopes
from tiergate.bundle.statements import (
    Head,
    Publication,
    SnapshotManifest,
    SubjectStatement,
    decode_snapshot_manifest,
    decode_statement,
    payload_type,
)
from tiergate.bundle.unreadable_records import UnreadableStatement, unreadable_statement
from tiergate.errors import RejectionReason, TrustError
from tiergate.feed.chain import (
    FeedEntry,
    PublicationChange,
    RecordChange,
    SubjectChange,
    UnreadableChange,
    chain_start,
    extend,
    read_head_line,
    read_line,
)
from tiergate.model import BEGINNING, Instant, Subject, SubjectType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.bundle.signing_keys import VerifyKey
    from tiergate.model import SubjectRecord

MAX_SKEW: Final = 300_000
"""Milliseconds by which a store's clock may be ahead."""

S = TypeVar("S", Publication, Head, SubjectStatement)


class Cursor(msgspec.Struct, frozen=True):
    """How far the feed of a store is known.

    `chain`: in hex. `publication`, `revision`: of the publication in force there, 0 and empty for none. `fresh_at`: the
    greatest time at which a fresh head was issued.
    """

    position: int
    chain: str
    publication: int = 0
    revision: str = ""
    fresh_at: Instant = BEGINNING


class Step(NamedTuple):
    """What belongs together in a page: changes of subjects, or one publication with its envelope; the cursor after."""

    changes: tuple[RecordChange, ...]
    publication: Publication | None
    envelope: bytes
    cursor: Cursor


class Page(NamedTuple):
    """A page of the feed that was believed: its steps in order, and the head that closes it, with its envelope."""

    steps: tuple[Step, ...]
    head: Head
    envelope: bytes
    fresh: bool


class Snapshot(NamedTuple):
    """A snapshot that was believed, but for its pages: `snapshots.read_snapshot_page` proves these one by one."""

    manifest: SnapshotManifest
    publication: Publication | None
    envelope: bytes
    head: Head
    head_envelope: bytes
    cursor: Cursor


class Trust:
    """Believes what one store signed, from a cursor on."""

    def __init__(self, keys: Iterable[VerifyKey], *, store: str | None = None, cursor: Cursor | None = None) -> None:
        """Begin at `cursor`, which was kept from an earlier time, or at the beginning of the feed.

        Raises:
            ValueError: there is a cursor, but no store that it is of.
        """
        if cursor is not None and store is None:
            raise ValueError("a cursor is of a store")
        self._keys = tuple(keys)
        self._store = store
        self._cursor = cursor

    @property
    def store(self) -> str | None:
        """The id of the store; none until it is configured or pinned."""
        return self._store

    @property
    def cursor(self) -> Cursor | None:
        """How far the feed is known; none before anything of it is."""
        return self._cursor

    @property
    def position(self) -> int:
        """The position after which the next page begins."""
        return 0 if self._cursor is None else self._cursor.position

    def at(self, cursor: Cursor) -> Trust:
        """The same keys and store, from another cursor on: that of a snapshot."""
        return Trust(self._keys, store=self._store, cursor=cursor)

    def page(self, body: bytes, now: Instant) -> Page:
        """Believe a page of the feed that begins after the cursor, and move the cursor to its end.

        Raises:
            TrustError: it is not believed.
        """
        lines = body.split(b"\n")
        if lines.pop() != b"" or not lines:
            raise TrustError(RejectionReason.TRUNCATED, "the page ends in the middle of a line")
        head_envelope = read_head_line(lines.pop())
        head = self._head(head_envelope)
        cursor = self._cursor or Cursor(0, chain_start(head.store).hex())
        if head.position < cursor.position:
            detail = f"the page ends at {head.position}, and the feed is known up to {cursor.position}"
            raise TrustError(RejectionReason.ROLLBACK, detail)
        steps = _steps(lines, head, cursor)
        last = steps[-1].cursor if steps else cursor
        if head.publication != last.publication:
            detail = f"the head says publication {head.publication}, and the feed {last.publication}"
            raise TrustError(RejectionReason.CONTRADICTION, detail)
        fresh = self._is_fresh(head, now)
        if fresh:
            last = msgspec.structs.replace(last, fresh_at=max(last.fresh_at, head.issued_at))
        if steps:
            steps[-1] = steps[-1]._replace(cursor=last)
        self._store, self._cursor = head.store, last
        return Page(tuple(steps), head, head_envelope, fresh)

    def publication(self, envelope: bytes) -> Publication:
        """Believe a publication that stands alone. The cursor stays: only the feed says from which position it holds.

        Raises:
            TrustError: it is not believed, or is older than the one in force.
        """
        found = self._signed(envelope, Publication)
        if self._cursor is not None:
            _follow(found, self._cursor)
        self._store = found.store
        return found

    def snapshot(self, head_envelope: bytes, manifest: bytes, now: Instant) -> Snapshot:
        """Believe a snapshot, and say which cursor it gives. Ours stays: it may be ahead of the snapshot.

        Raises:
            TrustError: it is not believed, or its store's feed ends before the cursor.
        """
        head = self._head(head_envelope)
        if head.snapshot is None or hashlib.sha256(manifest).hexdigest() != head.snapshot:
            raise TrustError(
                RejectionReason.WRONG_HASH, "the manifest of the snapshot is not the one that the head names"
            )
        if self._cursor is not None and head.latest < self._cursor.position:
            detail = f"the snapshot's feed ends at {head.latest}, and is known up to {self._cursor.position}"
            raise TrustError(RejectionReason.ROLLBACK, detail)
        found = decode_snapshot_manifest(manifest)
        if found.store != head.store:
            raise TrustError(
                RejectionReason.OTHER_STORE, f"the snapshot is of store `{found.store}`, not of `{head.store}`"
            )
        if (found.position, found.chain) != (head.position, head.chain):
            raise TrustError(RejectionReason.CONTRADICTION, "the snapshot and its head are of different positions")
        envelope = found.envelope
        publication = None if envelope is None else _covered(envelope, head)
        if (0 if publication is None else publication.sequence) != head.publication:
            raise TrustError(RejectionReason.CONTRADICTION, "the snapshot and its head are of different publications")
        revision = "" if publication is None else publication.revision
        fresh_at = head.issued_at if self._is_fresh(head, now) else BEGINNING
        cursor = Cursor(head.position, head.chain, head.publication, revision, fresh_at)
        self._store = head.store
        return Snapshot(found, publication, envelope or b"", head, head_envelope, cursor)

    def subject(self, envelope: bytes, subject: Subject, *, since: int = 0) -> SubjectStatement | UnreadableStatement:
        """Believe what the store says of one subject, at position `since` or later.

        Raises:
            TrustError: it is not believed, is about another subject, or older.
        """
        try:
            found = self._signed(envelope, SubjectStatement)
        except TrustError as error:
            if error.kind is not RejectionReason.MALFORMED:
                raise
            return self._unreadable(envelope, subject, error, since)
        if (found.type, found.id) != (subject.type, subject.id) or not _is_about(found.record, subject):
            raise TrustError(
                RejectionReason.CONTRADICTION, f"it is about another subject than {subject.type} `{subject.id}`"
            )
        if found.position < since:
            raise TrustError(RejectionReason.ROLLBACK, f"it is of position {found.position}, before {since}")
        self._store = found.store
        return found

    def _unreadable(self, envelope: bytes, subject: Subject, why: TrustError, since: int) -> UnreadableStatement:
        """What the store says of a subject, where its record cannot be read.

        Raises:
            TrustError: it is not believed.
        """
        payload = envelopes.verify(envelope, payload_type(SubjectStatement), self._keys)
        store, found = unreadable_statement(payload, subject, why)
        if self._store is not None and store != self._store:
            raise TrustError(RejectionReason.OTHER_STORE, f"it is of store `{store}`, not of `{self._store}`")
        if found.position < since:
            raise TrustError(RejectionReason.ROLLBACK, f"it is of position {found.position}, before {since}")
        self._store = store
        return found

    def restore(self, head_envelope: bytes) -> None:
        """Prove that what was kept with the cursor is still vouched for by a trusted key: by this head.

        Raises:
            TrustError: it is not, or the head is of another position.
        """
        head = self._head(head_envelope)
        if self._cursor is None or head.position < self._cursor.position:
            raise TrustError(RejectionReason.CONTRADICTION, "the head that was kept does not cover what was kept")

    def supersedes(self, old: Cursor) -> bool:
        """Say whether the cursor has come so far that it may stand in place of `old`.

        Raises:
            TrustError: it has by its position, but with an older publication, or another one of the same number.
        """
        if self._cursor is None or self._cursor.position < old.position:
            return False
        new = self._cursor
        if new.publication < old.publication:
            raise TrustError(RejectionReason.ROLLBACK, f"publication {new.publication} is older than {old.publication}")
        if new.publication == old.publication and new.revision != old.revision:
            raise TrustError(RejectionReason.CONTRADICTION, f"publication {new.publication} was of another revision")
        if new.position == old.position and new.chain != old.chain:
            raise TrustError(RejectionReason.BROKEN_CHAIN, f"the feed was another one at position {new.position}")
        return True

    def _head(self, envelope: bytes) -> Head:
        head = self._signed(envelope, Head)
        if head.latest < head.position:
            raise TrustError(RejectionReason.CONTRADICTION, "the head is beyond the end of its feed")
        return head

    def _signed(self, envelope: bytes, kind: type[S]) -> S:
        found = decode_statement(envelopes.verify(envelope, payload_type(kind), self._keys), kind)
        if self._store is not None and found.store != self._store:
            raise TrustError(RejectionReason.OTHER_STORE, f"it is of store `{found.store}`, not of `{self._store}`")
        return found

    @staticmethod
    def _is_fresh(head: Head, now: Instant) -> bool:
        return head.position == head.latest and head.issued_at <= now + MAX_SKEW


def _steps(lines: list[bytes], head: Head, cursor: Cursor) -> list[Step]:
    """The steps from `cursor` to `head`, which these lines make."""
    start = cursor.position
    chain = bytes.fromhex(cursor.chain)
    steps: list[Step] = []
    changes: list[RecordChange] = []
    position = start
    for line in lines:
        entry = read_line(line)
        _check_position(entry, position, start)
        before, position, chain = chain, position + 1, extend(chain, line)
        if isinstance(entry, SubjectChange | UnreadableChange):
            changes.append(entry)
        elif isinstance(entry, PublicationChange):
            publication = _covered(entry.publication, head)
            _check_publication(publication, entry, cursor)
            if changes:
                until = msgspec.structs.replace(cursor, position=position - 1, chain=before.hex())
                steps.append(Step(tuple(changes), None, b"", until))
                changes = []
            cursor = Cursor(position, chain.hex(), publication.sequence, publication.revision, cursor.fresh_at)
            steps.append(Step((), publication, entry.publication, cursor))
    if position < head.position:
        raise TrustError(RejectionReason.TRUNCATED, f"the page ends at {position}, and its head says {head.position}")
    if position > head.position:
        raise TrustError(
            RejectionReason.CONTRADICTION, f"the page goes on to {position}, and its head says {head.position}"
        )
    if chain.hex() != head.chain:
        raise TrustError(RejectionReason.BROKEN_CHAIN, f"up to {position} the feed is not the one that the head is of")
    if lines and (changes or cursor.position != position):
        until = msgspec.structs.replace(cursor, position=position, chain=chain.hex())
        steps.append(Step(tuple(changes), None, b"", until))
    return steps


def _check_position(entry: FeedEntry, before: int, start: int) -> None:
    if entry.position == before + 1:
        return
    if entry.position <= start:
        raise TrustError(RejectionReason.ROLLBACK, f"line {entry.position} is known already, up to {start}")
    raise TrustError(RejectionReason.GAP, f"line {entry.position} does not follow line {before}")


def _check_publication(publication: Publication, entry: PublicationChange, cursor: Cursor) -> None:
    if publication.position != entry.position:
        raise TrustError(
            RejectionReason.CONTRADICTION, f"a publication of {publication.position} stands at {entry.position}"
        )
    if publication.sequence <= cursor.publication:
        detail = f"publication {publication.sequence} does not follow {cursor.publication}"
        raise TrustError(RejectionReason.ROLLBACK, detail)


def _covered(envelope: bytes, head: Head) -> Publication:
    """Read a publication for whose bytes `head` vouches by a hash."""
    publication = decode_statement(envelopes.read_payload(envelope, payload_type(Publication)), Publication)
    if publication.store != head.store:
        detail = f"a publication of store `{publication.store}` stands in the feed of `{head.store}`"
        raise TrustError(RejectionReason.OTHER_STORE, detail)
    return publication


def _follow(publication: Publication, cursor: Cursor) -> None:
    if publication.sequence < cursor.publication:
        detail = f"publication {publication.sequence} is older than {cursor.publication}"
        raise TrustError(RejectionReason.ROLLBACK, detail)
    if publication.sequence == cursor.publication and publication.revision != cursor.revision:
        detail = f"publication {publication.sequence} was of another revision"
        raise TrustError(RejectionReason.CONTRADICTION, detail)


def _is_about(record: SubjectRecord | None, subject: Subject) -> bool:
    if record is None:
        return True
    customer = record.customer.id
    if any(subscription.customer != customer for subscription in record.subscriptions):
        return False
    if subject.type is SubjectType.CUSTOMER:
        return customer == subject.id
    return any(subscription.id == subject.id for subscription in record.subscriptions)
