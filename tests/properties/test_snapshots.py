"""Invariant 7, for whoever begins with a snapshot: it is what the feed says up to its position, and the tables then."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.example_counts import part_of_examples
from tests.stored_lines import read_after
from tests.unit.control.feeds import publish, put_customer, remove_customer
from tiergate.bundle import read_snapshot_page
from tiergate.control.feed_api.snapshots import Snapshots
from tiergate.feed.hash_chain import chain_start, extend_chain, line_digest
from tiergate.feed.lines import PublicationChange, SubjectChange, read_line
from tiergate.store import SYSTEM, Store

if TYPE_CHECKING:
    from tiergate.model import SubjectRecord

CUSTOMERS = st.sampled_from(["a", "b", "B", "c-1", "c.2", "d_", "0"])
CHANGES = st.one_of(
    st.tuples(st.just("put"), CUSTOMERS, st.sampled_from(["eu", "us"])),
    st.tuples(st.just("remove"), CUSTOMERS, st.just("")),
    st.tuples(st.just("publish"), st.just(""), st.sampled_from("abc")),
)


def do(store: Store, change: tuple[str, str, str]) -> None:
    """Make one change."""
    kind, id_, said = change
    if kind == "put":
        store.change(lambda unit: put_customer(unit, id_, said), SYSTEM)
    elif kind == "remove":
        store.change(lambda unit: remove_customer(unit, id_), SYSTEM)
    else:
        publish(store, said)


def do_all(store: Store, changes: list[tuple[str, str, str]]) -> None:
    """Make changes, one after the other."""
    for change in changes:
        do(store, change)


@settings(max_examples=part_of_examples(10))
@given(st.lists(CHANGES, max_size=12), st.lists(CHANGES, max_size=12))
def test_a_snapshot_is_what_the_feed_says_up_to_its_position(
    before: list[tuple[str, str, str]], during: list[tuple[str, str, str]]
) -> None:
    """Made while others write: replaying the feed up to its position gives the same subjects, publication and chain."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{Path(folder, 'store.sqlite')}", migrating=True)
        try:
            do_all(store, before)
            writer = threading.Thread(target=do_all, args=(store, during))
            writer.start()
            made = Snapshots(store)
            offer = made.create(store.read(lambda unit: unit.head().position))
            pages = [read_snapshot_page(made.page(entry.sha256), entry) for entry in offer.manifest.pages]
            writer.join()
            lines = [entry.line for entry in store.read(lambda unit: read_after(unit.session, 0, 1000))]
        finally:
            store.close()
    chain = chain_start(store.id)
    replayed: dict[str, SubjectRecord] = {}
    envelope = b""
    for line in lines[: offer.manifest.position]:
        chain = extend_chain(chain, line_digest(line))
        match read_line(line):
            case SubjectChange(customer=customer, record=None):
                del replayed[customer]
            case SubjectChange(customer=customer, record=record) if record is not None:
                replayed[customer] = record
            case PublicationChange(publication=published):
                envelope = published
            case _:
                raise AssertionError(line)
    assert [record for page in pages for record in page] == [replayed[id_] for id_ in sorted(replayed)]
    assert (offer.manifest.chain, offer.manifest.customers) == (chain, len(replayed))
    assert msgspec.json.decode(offer.manifest.envelope or b"0") == msgspec.json.decode(envelope or b"0")
