"""What somebody in the middle, or whoever can write the bucket, may try with what a store signed: each is refused.

Each attack takes a feed that is known up to a position, and what would be believed next; what it makes of it must be
refused for the reason that stands beside it, and must leave what is known as it was.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.signing import NOW, Feed, key, record, revision, verify_publication, write_snapshot_page
from tiergate.bundle import (
    Head,
    PageEntry,
    SigningKey,
    SubjectStatement,
    TrustedFeed,
    read_snapshot_page,
    sign_statement,
)
from tiergate.errors import RejectionReason, TrustError
from tiergate.feed.lines import encode_record, head_line, subject_line
from tiergate.model import Subject, SubjectType

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWN = 4
"""The position up to which the honest feed is known."""


def honest() -> Feed:
    """Eight lines; publication 1 stands at 2, publication 2 at 6."""
    feed = Feed()
    feed.put("acme")
    feed.publish(revision(1))
    for customer in ("beta", "acme", "corp"):
        feed.put(customer, "silver")
    feed.publish(revision(2))
    feed.put("beta", None)
    feed.put("dent")
    return feed


def known(feed: Feed, position: int = KNOWN) -> TrustedFeed:
    """What believes this feed up to a position."""
    trust = TrustedFeed([key().verify_key], store=feed.store)
    trust.verify_page(feed.page(0, position), NOW)
    return trust


def altered(envelope: bytes, **changes: object) -> bytes:
    """An envelope with another payload under the same signatures."""
    document = json.loads(envelope)
    payload = json.loads(base64.b64decode(document["payload"])) | changes
    document["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    return json.dumps(document).encode()


def lines(feed: Feed) -> list[bytes]:
    """The lines of the next page; the last one is its head."""
    return feed.page(KNOWN).splitlines()


def body(page: list[bytes]) -> bytes:
    """A page of lines."""
    return b"".join(line + b"\n" for line in page)


def with_head(feed: Feed, envelope: bytes) -> bytes:
    """The next page under another head."""
    return body([*lines(feed)[:-1], head_line(envelope)])


def resigned(feed: Feed, signer: SigningKey) -> bytes:
    """The next page, its head signed by somebody else."""
    feed.keys = (signer,)
    return feed.page(KNOWN)


def impostor(feed: Feed) -> bytes:
    """The next page, its head signed by an unknown key that gives itself the name of the good one."""
    document = json.loads(feed.head())
    document["signatures"][0]["sig"] = json.loads(resigned(feed, SigningKey.generate()).splitlines()[-1])["head"][
        "signatures"
    ][0]["sig"]
    return with_head(feed, json.dumps(document).encode())


def swapped_record(feed: Feed) -> bytes:
    """The next page with the record of another customer under a name."""
    page = lines(feed)
    page[0] = subject_line(5, NOW, "corp", encode_record(record("dent")))
    return body(page)


def upgraded(feed: Feed) -> bytes:
    """The next page with another plan in a record."""
    page = lines(feed)
    page[0] = subject_line(5, NOW, "corp", encode_record(record("corp", "platinum")))
    return body(page)


def other_store(feed: Feed) -> bytes:
    """The next page of another store that has the same key."""
    other = Feed("elsewhere")
    other.lines = feed.lines
    return other.page(KNOWN)


def lying_publication(**changes: int) -> Callable[[Feed], bytes]:
    """A feed that goes on with a publication about which something is wrong, though the store signed it."""

    def attack(feed: Feed) -> bytes:
        feed.lines = feed.lines[:5]
        feed.publish(revision(3), **changes)
        return feed.page(KNOWN)

    return attack


def foreign_publication(feed: Feed) -> bytes:
    """A feed that goes on with a publication of another store, though the store signed it."""
    feed.lines = feed.lines[:5]
    feed.store = "elsewhere"
    feed.publish(revision(3))
    feed.store = "shop"
    return feed.page(KNOWN)


PAGES: dict[str, tuple[RejectionReason, Callable[[Feed], bytes]]] = {
    "nothing": (RejectionReason.TRUNCATED, lambda _: b""),
    "only a newline": (RejectionReason.TRUNCATED, lambda _: b"\n"),
    "no last line": (RejectionReason.TRUNCATED, lambda feed: body(lines(feed)[:-1])),
    "cut in the middle of the head": (RejectionReason.TRUNCATED, lambda feed: feed.page(KNOWN)[:-20]),
    "cut before the last newline": (RejectionReason.TRUNCATED, lambda feed: feed.page(KNOWN)[:-1]),
    "cut in the middle of a line": (RejectionReason.TRUNCATED, lambda feed: feed.page(KNOWN)[:40]),
    "lines missing before the head": (
        RejectionReason.TRUNCATED,
        lambda feed: body([*lines(feed)[:-2], lines(feed)[-1]]),
    ),
    "all lines missing": (RejectionReason.TRUNCATED, lambda feed: body(lines(feed)[-1:])),
    "a line missing": (RejectionReason.GAP, lambda feed: body([lines(feed)[0], *lines(feed)[2:]])),
    "the first line missing": (RejectionReason.GAP, lambda feed: body(lines(feed)[1:])),
    "a line twice": (RejectionReason.GAP, lambda feed: body([lines(feed)[0], lines(feed)[0], *lines(feed)[1:]])),
    "two lines in the other order": (
        RejectionReason.GAP,
        lambda feed: body([lines(feed)[1], lines(feed)[0], *lines(feed)[2:]]),
    ),
    "a line known already": (RejectionReason.ROLLBACK, lambda feed: body([feed.lines[3], *lines(feed)])),
    "the page before": (RejectionReason.ROLLBACK, lambda feed: feed.page(0, KNOWN)),
    "an older page": (RejectionReason.ROLLBACK, lambda feed: feed.page(1, 3)),
    "an older head alone": (RejectionReason.ROLLBACK, lambda feed: head_line(feed.head(2)) + b"\n"),
    "the page after the next": (RejectionReason.GAP, lambda feed: feed.page(6)),
    "more lines than the head says": (RejectionReason.CONTRADICTION, lambda feed: with_head(feed, feed.head(7))),
    "a record of somebody else": (RejectionReason.BROKEN_CHAIN, swapped_record),
    "a better plan": (RejectionReason.BROKEN_CHAIN, upgraded),
    "a byte more in a line": (
        RejectionReason.BROKEN_CHAIN,
        lambda feed: feed.page(KNOWN).replace(b'"at"', b' "at"', 1),
    ),
    "a line that is no JSON": (RejectionReason.MALFORMED, lambda feed: body([b"{", *lines(feed)[1:]])),
    "a line too deep to read": (RejectionReason.MALFORMED, lambda feed: body([b"[" * 100_000, *lines(feed)[1:]])),
    "a line too long": (RejectionReason.TOO_LARGE, lambda feed: body([b" " * (8 * 1024**2 + 1), *lines(feed)[1:]])),
    "a head in the middle": (RejectionReason.MALFORMED, lambda feed: body([lines(feed)[-1], *lines(feed)])),
    "another chain in the head": (
        RejectionReason.BROKEN_CHAIN,
        lambda feed: with_head(feed, feed.head(chain="0" * 64)),
    ),
    "a head that was altered": (
        RejectionReason.BAD_SIGNATURE,
        lambda feed: with_head(feed, altered(feed.head(), latest=99)),
    ),
    "an unknown key": (RejectionReason.UNKNOWN_KEY, lambda feed: resigned(feed, SigningKey.generate())),
    "an unknown key under a known name": (RejectionReason.BAD_SIGNATURE, impostor),
    "nobody's signature": (
        RejectionReason.UNKNOWN_KEY,
        lambda feed: with_head(feed, json.dumps(json.loads(feed.head()) | {"signatures": []}).encode()),
    ),
    "too many signatures": (
        RejectionReason.TOO_LARGE,
        lambda feed: with_head(
            feed, json.dumps((it := json.loads(feed.head())) | {"signatures": it["signatures"] * 17}).encode()
        ),
    ),
    "a publication in place of the head": (
        RejectionReason.MALFORMED,
        lambda feed: with_head(feed, feed.envelope(8) or b""),
    ),
    "a head of another type": (
        RejectionReason.MALFORMED,
        lambda feed: with_head(feed, json.dumps(json.loads(feed.head()) | {"payloadType": "x"}).encode()),
    ),
    "another store": (RejectionReason.OTHER_STORE, other_store),
    "a later format": (RejectionReason.FUTURE_FORMAT, lambda feed: with_head(feed, feed.head(needs=2))),
    "a head beyond its end": (RejectionReason.CONTRADICTION, lambda feed: with_head(feed, feed.head(latest=7))),
    "a negative position": (RejectionReason.MALFORMED, lambda feed: with_head(feed, feed.head(position=-1))),
    "another publication in the head": (
        RejectionReason.CONTRADICTION,
        lambda feed: with_head(feed, feed.head(publication=1)),
    ),
    "a publication again": (RejectionReason.ROLLBACK, lying_publication(sequence=1)),
    "a publication of another position": (RejectionReason.CONTRADICTION, lying_publication(position=3)),
    "a publication of a later format": (RejectionReason.FUTURE_FORMAT, lying_publication(needs=2)),
    "a publication of another store": (RejectionReason.OTHER_STORE, foreign_publication),
}


@pytest.mark.parametrize("attack", PAGES)
def test_a_page_that_was_tampered_with_is_refused(attack: str) -> None:
    """It is refused for its own reason, and nothing has moved: the honest page is believed afterwards."""
    refusal, make = PAGES[attack]
    trust = known(honest())
    cursor = trust.cursor

    with pytest.raises(TrustError) as refused:
        trust.verify_page(make(honest()), NOW)

    assert (refused.value.kind, trust.cursor) == (refusal, cursor)
    trust.verify_page(honest().page(KNOWN), NOW)
    assert trust.position == 8


def test_a_fork_at_the_same_position_is_refused() -> None:
    """A store that was set back and went on otherwise is another feed, though it signs for it."""
    fork = honest()
    fork.lines[3] = subject_line(4, NOW, "acme", encode_record(record("acme", "platinum")))
    with pytest.raises(TrustError, match="broken_chain"):
        known(honest()).verify_page(head_line(fork.head(4)) + b"\n", NOW)


def test_every_cut_of_a_page_is_refused() -> None:
    """Wherever a body ends early, not a byte of it counts."""
    feed = honest()
    page = feed.page(KNOWN)
    for end in range(0, len(page), 7):
        trust = known(feed)
        with pytest.raises(TrustError):
            trust.verify_page(page[:end], NOW)
        assert trust.position == KNOWN


def test_a_replayed_head_does_not_make_data_fresh() -> None:
    """A frozen feed shows: the time of the greatest fresh head stays."""
    feed = honest()
    trust = known(feed, 8)
    frozen = head_line(feed.head()) + b"\n"
    for later in range(3):
        assert trust.verify_page(frozen, NOW + later * 60_000).fresh
    assert trust.cursor is not None
    assert trust.cursor.fresh_at == NOW


def test_a_head_that_is_not_the_end_is_not_fresh() -> None:
    """Who withholds the newest lines cannot call the rest fresh."""
    feed = honest()
    trust = TrustedFeed([key().verify_key])
    assert not trust.verify_page(feed.page(0, 4), NOW).fresh
    assert trust.verify_page(feed.page(4), NOW).fresh


def test_a_head_from_the_future_is_not_fresh() -> None:
    """A store whose clock runs ahead cannot vouch for days to come; what it says counts nevertheless."""
    feed = honest()
    feed.now = NOW + 3_600_000
    trust = known(honest())
    assert not trust.verify_page(feed.page(KNOWN), NOW).fresh
    assert trust.position == 8


def test_the_first_store_is_pinned() -> None:
    """Without a configured store the first one that verifies is it."""
    feed = honest()
    trust = TrustedFeed([key().verify_key])
    trust.verify_page(feed.page(), NOW)
    with pytest.raises(TrustError, match="other_store"):
        trust.verify_page(head_line(feed.head(store="elsewhere")) + b"\n", NOW)
    assert trust.store == "shop"


# ── publications ─────────────────────────────────────────────────────────────────────────────────────────────────────

PUBLICATIONS: dict[str, tuple[RejectionReason, Callable[[Feed], bytes]]] = {
    "an older one": (RejectionReason.ROLLBACK, lambda feed: feed.envelope(2) or b""),
    "another one of the same number": (
        RejectionReason.CONTRADICTION,
        lambda feed: feed.publish(revision(9), sequence=2),
    ),
    "another revision under the signature": (
        RejectionReason.BAD_SIGNATURE,
        lambda feed: altered(feed.envelope(8) or b"", revision=revision(9)),
    ),
    "a revision that is none": (RejectionReason.MALFORMED, lambda feed: feed.publish("sha256:../../etc/passwd")),
    "a head": (RejectionReason.MALFORMED, lambda feed: feed.head()),
    "no envelope": (RejectionReason.MALFORMED, lambda _: b"[]"),
    "too many bytes": (RejectionReason.TOO_LARGE, lambda _: b" " * (4 * 1024**2 + 1)),
}


@pytest.mark.parametrize("attack", PUBLICATIONS)
def test_a_publication_that_is_not_the_one_is_refused(attack: str) -> None:
    """By itself a publication needs a signature, and to be no older."""
    refusal, make = PUBLICATIONS[attack]
    trust = known(honest(), 8)
    with pytest.raises(TrustError) as refused:
        verify_publication(trust, make(honest()))
    assert refused.value.kind is refusal


# ── snapshots ────────────────────────────────────────────────────────────────────────────────────────────────────────


def manifest_with(feed: Feed, **changes: object) -> tuple[bytes, bytes]:
    """A snapshot whose manifest lies, though the head names it."""
    _, manifest, _ = feed.snapshot()
    lying = msgspec.json.encode(msgspec.json.decode(manifest) | changes)
    return feed.head(snapshot=hashlib.sha256(lying).hexdigest()), lying


def older_snapshot(feed: Feed) -> tuple[bytes, bytes]:
    """A snapshot from before."""
    feed.lines = feed.lines[:3]
    return feed.snapshot()[:2]


SNAPSHOTS: dict[str, tuple[RejectionReason, Callable[[Feed], tuple[bytes, bytes]]]] = {
    "another manifest": (RejectionReason.WRONG_HASH, lambda feed: (feed.snapshot()[0], feed.snapshot()[1] + b" ")),
    "a head without a snapshot": (RejectionReason.WRONG_HASH, lambda feed: (feed.head(), feed.snapshot()[1])),
    "an older snapshot": (RejectionReason.ROLLBACK, older_snapshot),
    "a manifest of another store": (RejectionReason.OTHER_STORE, lambda feed: manifest_with(feed, store="elsewhere")),
    "a manifest of another position": (RejectionReason.CONTRADICTION, lambda feed: manifest_with(feed, position=3)),
    "a manifest without its publication": (
        RejectionReason.CONTRADICTION,
        lambda feed: manifest_with(feed, publication=None),
    ),
    "a manifest of a later format": (RejectionReason.FUTURE_FORMAT, lambda feed: manifest_with(feed, needs=2)),
    "a manifest that is none": (RejectionReason.MALFORMED, lambda feed: manifest_with(feed, pages=3)),
}


@pytest.mark.parametrize("attack", SNAPSHOTS)
def test_a_snapshot_that_was_tampered_with_is_refused(attack: str) -> None:
    """Everything that a manifest says is held against the head, and the head against what is known."""
    refusal, make = SNAPSHOTS[attack]
    with pytest.raises(TrustError) as refused:
        known(honest()).verify_snapshot(*make(honest()), NOW)
    assert refused.value.kind is refusal


PAGE, ENTRY = write_snapshot_page([record("acme"), record("beta")])
BOMB, BOMB_ENTRY = write_snapshot_page([record("acme")])

SNAPSHOT_PAGES: dict[str, tuple[RejectionReason, bytes, PageEntry]] = {
    "a byte altered": (RejectionReason.WRONG_HASH, PAGE[:-1] + b"\1", ENTRY),
    "a byte less": (RejectionReason.WRONG_HASH, PAGE[:-1], ENTRY),
    "a byte more": (RejectionReason.WRONG_HASH, PAGE + b"\0", ENTRY),
    "another page": (RejectionReason.WRONG_HASH, BOMB, ENTRY),
    "fewer records than listed": (
        RejectionReason.MALFORMED,
        PAGE,
        msgspec.structs.replace(ENTRY, count=3),
    ),
}


@pytest.mark.parametrize("attack", SNAPSHOT_PAGES)
def test_a_page_of_a_snapshot_that_was_tampered_with_is_refused(attack: str) -> None:
    """A page is what the manifest lists, to the byte."""
    refusal, content, entry = SNAPSHOT_PAGES[attack]
    with pytest.raises(TrustError) as refused:
        read_snapshot_page(content, entry)
    assert refused.value.kind is refusal


# ── single subjects ──────────────────────────────────────────────────────────────────────────────────────────────────

ACME = Subject("acme", SubjectType.CUSTOMER)


def said(signer: SigningKey | None = None, **changes: object) -> bytes:
    """What a store says of `acme`; `changes` are lies."""
    fields = {"store": "shop", "issued_at": NOW, "position": 4, "type": "customer", "id": "acme", **changes}
    fields.setdefault("record", record("acme"))
    return sign_statement(SubjectStatement(**fields), [signer or key()])  # type: ignore[arg-type] # lies included


SUBJECTS: dict[str, tuple[RejectionReason, Callable[[], bytes]]] = {
    "another customer": (RejectionReason.CONTRADICTION, lambda: said(id="beta", record=record("beta"))),
    "another customer's record": (RejectionReason.CONTRADICTION, lambda: said(record=record("beta"))),
    "a subscription": (RejectionReason.CONTRADICTION, lambda: said(type="subscription")),
    "an older record": (RejectionReason.ROLLBACK, lambda: said(position=3)),
    "another store": (RejectionReason.OTHER_STORE, lambda: said(store="elsewhere")),
    "an unknown key": (RejectionReason.UNKNOWN_KEY, lambda: said(SigningKey.generate())),
    "a later format": (RejectionReason.FUTURE_FORMAT, lambda: said(needs=2)),
    "a head": (RejectionReason.MALFORMED, lambda: sign_statement(_a_head(), [key()])),
}


def _a_head() -> Head:
    return Head(store="shop", issued_at=NOW, position=1, chain="0" * 64, latest=1, publication=0)


@pytest.mark.parametrize("attack", SUBJECTS)
def test_a_subject_that_is_not_the_one_is_refused(attack: str) -> None:
    """One subject's statement is about it, of this store, and no older than what is known."""
    refusal, make = SUBJECTS[attack]
    trust = known(honest())
    trust.verify_subject(said(), ACME, since=KNOWN)
    with pytest.raises(TrustError) as refused:
        trust.verify_subject(make(), ACME, since=KNOWN)
    assert refused.value.kind is refusal
