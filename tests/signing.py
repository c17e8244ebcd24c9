"""A store's feed for tests: signed with a real key, honest unless a test changes its bytes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from tiergate.bundle import (
    Head,
    PageEntry,
    Publication,
    SigningKey,
    SnapshotManifest,
    TrustedFeed,
    compress_snapshot_page,
    encode_snapshot_manifest,
    sign_statement,
)
from tiergate.bundle.trusted_feed import _check_not_older
from tiergate.feed.hash_chain import chain_start, extend_chain, line_digest
from tiergate.feed.lines import encode_record, head_line, publication_line, status_line, subject_line
from tiergate.feed.status_reports import encode_features, encode_reports
from tiergate.model import Customer, FeatureReports, SubjectRecord, Subscription, SubscriptionItem, SubscriptionStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.model import ReportedStatus

NOW = 1_700_000_000_000
"""The time at which a feed signs, unless told otherwise."""


def verify_publication(trust: TrustedFeed, envelope: bytes) -> Publication:
    """Verify a publication that stands alone: signed, and no older than the cursor."""
    publication = trust._verify_statement(envelope, Publication)
    if trust.cursor is not None:
        _check_not_older(publication.sequence, publication.revision, trust.cursor)
    return publication


def write_snapshot_page(records: Iterable[SubjectRecord]) -> tuple[bytes, PageEntry]:
    """Write a page of records, in the order of their customers' ids, with its entry."""
    page = list(records)
    return compress_snapshot_page(msgspec.json.Encoder().encode_lines(page), len(page))


@cache
def key(name: str = "store") -> SigningKey:
    """A key of this name."""
    del name
    return SigningKey.generate()


def record(customer: str, plan: str = "gold") -> SubjectRecord:
    """A customer with one live subscription, whose id is `sub-` and the customer's."""
    held = Subscription(f"sub-{customer}", customer, SubscriptionStatus.ACTIVE, (SubscriptionItem(plan),))
    return SubjectRecord(Customer(customer), (held,))


def revision(digit: int) -> str:
    """A revision that is told from others by a digit."""
    return "sha256:" + str(digit) * 64


class Feed:
    """The lines of one store. Tests may change `lines`, `keys` and `store` as an attacker would."""

    def __init__(self, store: str = "shop", *keys: SigningKey) -> None:
        self.store = store
        self.keys = keys or (key(),)
        self.lines: list[bytes] = []
        self.now = NOW
        self.records: dict[str, SubjectRecord] = {}
        self.reports: dict[str, tuple[ReportedStatus, ...]] = {}
        self._in_force: list[tuple[int, int, bytes]] = []

    @property
    def latest(self) -> int:
        """The newest position."""
        return len(self.lines)

    def put(self, customer: str, plan: str | None = "gold") -> None:
        """Change a customer, or delete it: no plan."""
        found = None if plan is None else record(customer, plan)
        if found is None:
            self.records.pop(customer, None)
        else:
            self.records[customer] = found
        self.lines.append(subject_line(self.latest + 1, self.now, customer, encode_record(found)))

    def report(self, feature: str, *reports: ReportedStatus) -> None:
        """Replace the reports on the status of a feature."""
        self.reports[feature] = reports
        self.lines.append(status_line(self.latest + 1, self.now, feature, encode_reports(reports)))

    def publish(self, revision: str, **changes: int) -> bytes:
        """Put a publication in force, and return its envelope; `changes` are lies about it."""
        position = self.latest + 1
        fields = {"sequence": self.sequence(self.latest) + 1, "position": position, **changes}
        statement = Publication(store=self.store, issued_at=self.now, revision=revision, **fields)
        envelope = sign_statement(statement, self.keys)
        self._in_force.append((position, statement.sequence, envelope))
        self.lines.append(publication_line(position, self.now, envelope))
        return envelope

    def sequence(self, position: int) -> int:
        """The publication in force at a position."""
        return max((sequence for at, sequence, _ in self._in_force if at <= position), default=0)

    def envelope(self, position: int) -> bytes | None:
        """The envelope of the publication in force at a position."""
        return next((envelope for at, _, envelope in reversed(self._in_force) if at <= position), None)

    def chain(self, position: int) -> str:
        """The chain at a position."""
        chain = chain_start(self.store)
        for line in self.lines[:position]:
            chain = extend_chain(chain, line_digest(line))
        return chain

    def head(self, position: int | None = None, **changes: object) -> bytes:
        """A signed head; `changes` are lies in it."""
        at = self.latest if position is None else position
        fields = {
            "store": self.store,
            "issued_at": self.now,
            "position": at,
            "chain": self.chain(at),
            "latest": self.latest,
            "publication": self.sequence(at),
            **changes,
        }
        return sign_statement(Head(**fields), self.keys)  # type: ignore[arg-type] # lies included

    def page(self, after: int = 0, until: int | None = None) -> bytes:
        """The page of the feed after a position."""
        end = self.latest if until is None else until
        return b"".join(line + b"\n" for line in (*self.lines[after:end], head_line(self.head(end))))

    def snapshot(self, *, size: int = 2) -> tuple[bytes, bytes, dict[str, bytes]]:
        """A snapshot at the end of the feed: its head, its manifest, and its pages of `size` records by hash."""
        held = [self.records[customer] for customer in sorted(self.records)]
        pages: list[tuple[bytes, PageEntry]] = [
            write_snapshot_page(held[place : place + size]) for place in range(0, len(held), size)
        ]
        return self.snapshot_of(pages)

    def snapshot_of(self, pages: list[tuple[bytes, PageEntry]]) -> tuple[bytes, bytes, dict[str, bytes]]:
        """A snapshot at the end of the feed that consists of these pages."""
        envelope = self.envelope(self.latest)
        manifest, digest = encode_snapshot_manifest(
            SnapshotManifest(
                store=self.store,
                position=self.latest,
                chain=self.chain(self.latest),
                publication=Raw(envelope or b"null"),
                pages=tuple(entry for _, entry in pages),
                customers=len(self.records),
                subscriptions=sum(len(held.subscriptions) for held in self.records.values()),
                statuses=encode_features(FeatureReports(*entry) for entry in self.reports.items()),
            )
        )
        return self.head(snapshot=digest), manifest, {entry.sha256: content for content, entry in pages}
