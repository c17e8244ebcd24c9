"""What is verified of one store: a state machine over bytes, after python-tuf's `trusted_metadata_set`.

It keeps the trusted keys, the store's id and a cursor: the position up to which the feed is verified. Each `verify_…`
method takes bytes and returns their content, if the store signed them and they are not older than the cursor. It has
no network, no files and no clock: callers fetch, keep, and pass the time.

    feed = TrustedFeed(keys, store="shop", cursor=stored)
    page = feed.verify_page(client.changes(after=feed.position), now)
    replica.apply(page.steps)        # `feed.cursor` is now the end of the page

Rules; the code has the number where it enforces a rule:

1. The store's id is configured, or set by the first statement that verifies. Statements of other stores are rejected.
2. A statement counts only in an envelope that a trusted key signed, and of the expected type (`envelope`).
3. A page ends with a signed head. It is accepted as a whole or rejected as a whole.
4. The lines of a page follow the cursor without a gap.
5. The lines of a page hash to the chain in its head.
6. A publication in a page or in a snapshot is covered by the hash in the head, so its own signature is not verified
   again: keys may have changed since.
7. Publications have their own position, and their sequence only grows.
8. A head names the publication that is active at its position.
9. Nothing is older than the cursor, and no cursor is replaced by an older one.
10. The manifest of a snapshot is the one whose hash a signed head names, and has that head's position and publication.
11. A statement about a subject is about the requested subject.
12. A head is fresh if it is the end of the feed. The greatest time of a fresh head is the age of the data. A head that
    is `MAX_SKEW` or more ahead of the clock is never fresh, so that a store whose clock is ahead cannot hide that its
    feed is frozen.

Check first and move after: every rejection is a `TrustError` of a closed set of kinds, and changes nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tiergate.bundle.envelope import read_payload, verify
from tiergate.bundle.signed_statements import (
    Head,
    Publication,
    SnapshotManifest,
    SubjectStatement,
    UnreadableStatement,
    decode_snapshot_manifest,
    decode_statement,
    decode_unreadable_statement,
    payload_type,
)
from tiergate.errors import RejectionReason, TrustError
from tiergate.feed.hash_chain import chain_start, extend_by_line
from tiergate.feed.lines import (
    FeedChange,
    PublicationChange,
    RecordChange,
    StatusChange,
    SubjectChange,
    UnreadableChange,
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


class Cursor(Struct, frozen=True):
    """The position up to which a feed is verified, and its chain there, in hex.

    `publication`, `revision`: of the publication that is active there; 0 and empty for none. `fresh_at`: the greatest
    time at which a fresh head was issued.
    """

    position: int
    chain: str
    publication: int = 0
    revision: str = ""
    fresh_at: Instant = BEGINNING


class FeedStep(NamedTuple):
    """A part of a page: changes of subjects and statuses, or one publication, its envelope; and the cursor after it."""

    changes: tuple[RecordChange, ...]
    publication: Publication | None
    envelope: bytes
    cursor: Cursor
    statuses: tuple[StatusChange, ...] = ()


class VerifiedPage(NamedTuple):
    """A page of the feed: its steps in order, and the head that ends it, with its envelope."""

    steps: tuple[FeedStep, ...]
    head: Head
    envelope: bytes
    fresh: bool


class VerifiedSnapshot(NamedTuple):
    """A snapshot without its pages: `snapshot_pages.read_snapshot_page` verifies those one by one."""

    manifest: SnapshotManifest
    publication: Publication | None
    envelope: bytes
    head: Head
    head_envelope: bytes
    cursor: Cursor


class TrustedFeed:
    """Verifies what one store signed, from a cursor on.

    `store`: its id; none until it is configured or a statement verified. `cursor`: the end of what is verified; none at
    the beginning. Others only read them.
    """

    def __init__(self, keys: Iterable[VerifyKey], *, store: str | None = None, cursor: Cursor | None = None) -> None:
        """Begin at a stored `cursor`, or at the beginning of the feed."""
        if cursor is not None and store is None:
            raise ValueError("a cursor needs the id of its store")
        self._keys = tuple(keys)
        self.store = store
        self.cursor = cursor

    @property
    def position(self) -> int:
        """The position after which the next page begins."""
        return 0 if self.cursor is None else self.cursor.position

    def with_cursor(self, cursor: Cursor) -> TrustedFeed:
        """Return a copy with the same keys and store at another cursor, such as that of a snapshot."""
        return TrustedFeed(self._keys, store=self.store, cursor=cursor)

    def verify_page(self, body: bytes, now: Instant) -> VerifiedPage:
        """Verify the page of the feed that follows the cursor, and move the cursor to its end."""
        lines = body.split(b"\n")
        if lines.pop() != b"" or not lines:
            raise TrustError(RejectionReason.TRUNCATED, "the page ends in the middle of a line")
        head_envelope = read_head_line(lines.pop())  # 3
        head = self._verify_head(head_envelope)
        cursor = self.cursor or Cursor(0, chain_start(head.store))
        if head.position < cursor.position:  # 9
            detail = f"the page ends at {head.position}, but the feed is verified up to {cursor.position}"
            raise TrustError(RejectionReason.ROLLBACK, detail)
        steps = _read_steps(lines, head, cursor)
        last = steps[-1].cursor if steps else cursor
        if head.publication != last.publication:  # 8
            detail = f"the head names publication {head.publication}, the feed {last.publication}"
            raise TrustError(RejectionReason.CONTRADICTION, detail)
        fresh = _is_fresh(head, now)
        if fresh:
            last = replace(last, fresh_at=max(last.fresh_at, head.issued_at))
        if steps:
            steps[-1] = steps[-1]._replace(cursor=last)
        self.store, self.cursor = head.store, last
        return VerifiedPage(tuple(steps), head, head_envelope, fresh)

    def verify_snapshot(self, head_envelope: bytes, manifest: bytes, now: Instant) -> VerifiedSnapshot:
        """Verify a snapshot and return its cursor. The own cursor stays: it may be ahead of the snapshot."""
        head = self._verify_head(head_envelope)
        if head.snapshot is None or hashlib.sha256(manifest).hexdigest() != head.snapshot:  # 10
            raise TrustError(RejectionReason.WRONG_HASH, "the snapshot's manifest is not the one that the head names")
        if self.cursor is not None and head.latest < self.cursor.position:  # 9
            detail = f"the snapshot's feed ends at {head.latest}, but is verified up to {self.cursor.position}"
            raise TrustError(RejectionReason.ROLLBACK, detail)
        content = decode_snapshot_manifest(manifest)
        if content.store != head.store:  # 1
            raise TrustError(RejectionReason.OTHER_STORE, f"it is of store `{content.store}`, not `{head.store}`")
        if (content.position, content.chain) != (head.position, head.chain):  # 10
            raise TrustError(RejectionReason.CONTRADICTION, "the snapshot and its head have different positions")
        envelope = content.envelope
        publication = None if envelope is None else _read_covered_publication(envelope, head)
        if (0 if publication is None else publication.sequence) != head.publication:  # 10
            raise TrustError(RejectionReason.CONTRADICTION, "the snapshot and its head have different publications")
        revision = "" if publication is None else publication.revision
        fresh_at = head.issued_at if _is_fresh(head, now) else BEGINNING
        cursor = Cursor(head.position, head.chain, head.publication, revision, fresh_at)
        self.store = head.store
        return VerifiedSnapshot(content, publication, envelope or b"", head, head_envelope, cursor)

    def verify_subject(
        self, envelope: bytes, subject: Subject, *, since: int = 0
    ) -> SubjectStatement | UnreadableStatement:
        """Verify a statement about one subject, of position `since` or later."""
        statement: SubjectStatement | UnreadableStatement
        try:
            statement = self._verify_statement(envelope, SubjectStatement)
        except TrustError as error:
            if error.kind is not RejectionReason.MALFORMED:
                raise
            payload = verify(envelope, payload_type(SubjectStatement), self._keys)  # 2
            statement = decode_unreadable_statement(payload, error)
            self._check_store(statement.store)
        is_about = isinstance(statement, UnreadableStatement) or _is_about(statement.record, subject)
        if (statement.type, statement.id) != (subject.type, subject.id) or not is_about:  # 11
            raise TrustError(
                RejectionReason.CONTRADICTION, f"it is about another subject than {subject.type} `{subject.id}`"
            )
        if statement.position < since:  # 9
            raise TrustError(RejectionReason.ROLLBACK, f"it is of position {statement.position}, before {since}")
        self.store = statement.store
        return statement

    def verify_stored_head(self, head_envelope: bytes) -> None:
        """Verify that a head, stored with the cursor, covers the cursor and is signed by a key that is trusted now."""
        head = self._verify_head(head_envelope)
        if self.cursor is None or head.position < self.cursor.position:
            raise TrustError(RejectionReason.CONTRADICTION, "the stored head does not cover the stored position")

    def may_replace(self, old: Cursor) -> bool:
        """Return whether the cursor has come so far that its data may replace the data of cursor `old`.

        Raises `TrustError` if the position suffices, but not the publication, or the two feeds differ.
        """
        new = self.cursor
        if new is None or new.position < old.position:  # 9
            return False
        _check_not_older(new.publication, new.revision, old)
        if new.position == old.position and new.chain != old.chain:  # 5
            raise TrustError(RejectionReason.BROKEN_CHAIN, f"the feed was different at position {new.position}")
        return True

    def _verify_head(self, envelope: bytes) -> Head:
        head = self._verify_statement(envelope, Head)
        if head.latest < head.position:
            raise TrustError(RejectionReason.CONTRADICTION, "the head is beyond the end of its feed")
        return head

    def _verify_statement(self, envelope: bytes, kind: type[S]) -> S:
        statement = decode_statement(verify(envelope, payload_type(kind), self._keys), kind)  # 2
        self._check_store(statement.store)
        return statement

    def _check_store(self, store: str) -> None:
        if self.store is not None and store != self.store:  # 1
            raise TrustError(RejectionReason.OTHER_STORE, f"it is of store `{store}`, not `{self.store}`")


def _is_fresh(head: Head, now: Instant) -> bool:
    return head.position == head.latest and head.issued_at <= now + MAX_SKEW  # 12


def _read_steps(lines: list[bytes], head: Head, cursor: Cursor) -> list[FeedStep]:
    """Return the steps from `cursor` to `head` that these lines make."""
    start = position = cursor.position
    chain = bytes.fromhex(cursor.chain)
    steps: list[FeedStep] = []
    changes: list[RecordChange] = []
    statuses: list[StatusChange] = []
    for line in lines:
        change = read_line(line)
        _check_position(change, position, start)
        before, position, chain = chain, position + 1, extend_by_line(chain, line)
        if isinstance(change, (SubjectChange, UnreadableChange)):
            changes.append(change)
        elif isinstance(change, StatusChange):
            statuses.append(change)
        elif isinstance(change, PublicationChange):
            publication = _read_covered_publication(change.publication, head)
            _check_publication(publication, change, cursor)
            if changes or statuses:
                end = replace(cursor, position=position - 1, chain=before.hex())
                steps.append(FeedStep(tuple(changes), None, b"", end, tuple(statuses)))
                changes, statuses = [], []
            cursor = Cursor(position, chain.hex(), publication.sequence, publication.revision, cursor.fresh_at)
            steps.append(FeedStep((), publication, change.publication, cursor))
    if position < head.position:  # 3
        raise TrustError(RejectionReason.TRUNCATED, f"the page ends at {position}, its head is at {head.position}")
    if position > head.position:  # 3
        raise TrustError(RejectionReason.CONTRADICTION, f"the page goes to {position}, its head is at {head.position}")
    if chain.hex() != head.chain:  # 5
        raise TrustError(RejectionReason.BROKEN_CHAIN, f"the feed up to {position} is not the one that the head signs")
    if lines and (changes or cursor.position != position):
        end = replace(cursor, position=position, chain=chain.hex())
        steps.append(FeedStep(tuple(changes), None, b"", end, tuple(statuses)))
    return steps


def _check_position(change: FeedChange, before: int, start: int) -> None:
    if change.position == before + 1:  # 4
        return
    if change.position <= start:
        raise TrustError(RejectionReason.ROLLBACK, f"line {change.position} is before the cursor at {start}")
    raise TrustError(RejectionReason.GAP, f"line {change.position} does not follow line {before}")


def _check_publication(publication: Publication, change: PublicationChange, cursor: Cursor) -> None:
    if publication.position != change.position:  # 7
        detail = f"a publication for position {publication.position} is at position {change.position}"
        raise TrustError(RejectionReason.CONTRADICTION, detail)
    if publication.sequence <= cursor.publication:  # 7
        detail = f"publication {publication.sequence} does not follow {cursor.publication}"
        raise TrustError(RejectionReason.ROLLBACK, detail)


def _read_covered_publication(envelope: bytes, head: Head) -> Publication:
    """Read a publication whose bytes are covered by a hash in `head` (6)."""
    publication = decode_statement(read_payload(envelope, payload_type(Publication)), Publication)
    if publication.store != head.store:  # 1
        detail = f"a publication of store `{publication.store}` is in the feed of `{head.store}`"
        raise TrustError(RejectionReason.OTHER_STORE, detail)
    return publication


def _check_not_older(sequence: int, revision: str, cursor: Cursor) -> None:
    if sequence < cursor.publication:  # 9
        raise TrustError(RejectionReason.ROLLBACK, f"publication {sequence} is older than {cursor.publication}")
    if sequence == cursor.publication and revision != cursor.revision:  # 9
        raise TrustError(RejectionReason.CONTRADICTION, f"publication {sequence} had another revision")


def _is_about(record: SubjectRecord | None, subject: Subject) -> bool:
    if record is None:
        return True
    customer = record.customer.id
    if any(subscription.customer != customer for subscription in record.subscriptions):
        return False
    if subject.type is SubjectType.CUSTOMER:
        return customer == subject.id
    return any(subscription.id == subject.id for subscription in record.subscriptions)
