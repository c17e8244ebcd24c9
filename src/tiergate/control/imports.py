"""The endpoints that bring all subjects in and out, as the lines of a subjects file (NDJSON).

An import is read and validated as a whole before anything of it is written, by the published catalog. A small one is
then one transaction. A large one is written in the order of the customers' ids, so many subjects at a time, each part
whole or not at all: should it end in the middle, sending it again does the rest, for what is there already and the same
is not written again. Customers and subscriptions of which the file says nothing stay as they are.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing, contextmanager
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.catalog import Bounds, dump_subject_lines, read_subjects
from tiergate.control.access import Endpoint
from tiergate.control.accounts import (
    needed_for_customer,
    needed_for_subscription,
    signed,
    write_down_customer,
    write_down_subscription,
)
from tiergate.control.http import Answer
from tiergate.control.terms import printable_features, terms_for
from tiergate.errors import AuthorError, ConflictError, SubjectsError
from tiergate.model import Customer, Subscription
from tiergate.permissions import Action, Resource
from tiergate.store import ReadUnit
from tiergate.store.bulk import Upsert, lock_customers, write_subjects
from tiergate.store.customers import CustomerFilter, search_customers
from tiergate.store.subjects import read_stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tiergate.control.http import AdminRequest
    from tiergate.model import SubjectRecord
    from tiergate.store import PublishedState, Store, WriteUnit

__all__ = ["AT_ONCE", "endpoints"]

AT_ONCE: Final = 2_000
"""Most subjects that are one transaction."""

NDJSON: Final = "application/x-ndjson"

_MAX_BODY: Final = 2**33
_PAGE: Final = 500


def endpoints() -> list[Endpoint]:
    """The routes."""
    everybody = Resource.customer_of("*")  # no customer: a key for some customers may not
    return [
        Endpoint(
            "POST",
            "/v1/import/subjects",
            Action.EDIT_CUSTOMER,
            import_subjects,
            everybody,
            max_body=_MAX_BODY,
            media_types=(NDJSON,),
            spooled=True,
        ),
        Endpoint("GET", "/v1/export/subjects", Action.VIEW, export_subjects, Resource.store()),
    ]


class _Imported(NamedTuple):
    """How many were in the file, and how many of these were new or different."""

    customers: int = 0
    subscriptions: int = 0
    changed: int = 0


def import_subjects(request: AdminRequest) -> Answer:
    """Create or replace the customers and subscriptions of a subjects file: one JSON object a line."""
    if request.spool is None:
        raise RuntimeError("the endpoint did not say `spooled`")
    state = request.read(lambda unit: unit.published)
    done = _Imported()
    with _sorted_subjects(request.spool, state) as parts:
        for part in parts:
            one = request.write(partial(_write, request, part=part, state=state))
            done = _Imported(*(so_far + more for so_far, more in zip(done, one, strict=True)))
    return Answer.json(done._asdict())


Part = list[tuple[Customer, list[Subscription]]]


@contextmanager
def _sorted_subjects(path: Path, state: PublishedState) -> Iterator[Iterator[Part]]:
    """Read and validate a file, and give it out by customer, in the order of their ids, in parts.

    Raises:
        SubjectsError: with the first 1,000 problems.
    """
    with (
        tempfile.NamedTemporaryFile(suffix=".sqlite") as file,
        closing(sqlite3.connect(file.name, isolation_level=None, check_same_thread=False)) as sorter,
    ):
        sorter.execute("PRAGMA journal_mode = OFF")
        sorter.execute("PRAGMA synchronous = OFF")
        sorter.execute("CREATE TABLE subject (customer TEXT, kind INTEGER, id TEXT, record BLOB)")
        sorter.execute("BEGIN")
        try:
            subjects = read_subjects([path], state.index, Bounds.of(state.catalog))
            sorter.executemany("INSERT INTO subject VALUES (?, ?, ?, ?)", map(_row, subjects))
        except AuthorError as error:
            # The file's name is ours, and says nothing to whoever sent it.
            raise SubjectsError([msgspec.structs.replace(one, file="body") for one in error.problems]) from None
        sorter.execute("COMMIT")
        sorter.execute("CREATE INDEX by_customer ON subject (customer, kind, id)")
        yield _parts(sorter.execute("SELECT kind, record, customer FROM subject ORDER BY customer, kind, id"))


def _row(subject: Customer | Subscription) -> tuple[str, int, str, bytes]:
    record = msgspec.msgpack.encode(subject)
    if isinstance(subject, Customer):
        return subject.id, 0, subject.id, record
    return subject.customer, 1, subject.id, record


_customer = msgspec.msgpack.Decoder(Customer).decode
_subscription = msgspec.msgpack.Decoder(Subscription).decode


def _parts(rows: Iterator[tuple[int, bytes, str]]) -> Iterator[Part]:
    part: Part = []
    count = 0
    for _, its in groupby(rows, key=lambda row: row[2]):
        (_, own, _), *held = its
        if part and count + 1 + len(held) > AT_ONCE:
            yield part
            part, count = [], 0
        part.append((_customer(own), [_subscription(record) for _, record, _ in held]))
        count += 1 + len(held)
    if part:
        yield part


def _write(request: AdminRequest, unit: WriteUnit, part: Part, state: PublishedState) -> _Imported:
    """Write one part.

    Raises:
        ForbiddenError: the caller may not do all of that.
        ConflictError: another customer has one of the subscriptions, or another catalog was published meanwhile.
        BodyError: a customer's total could overflow, with the subscriptions that it has besides.
    """
    if unit.published.sequence != state.sequence:
        raise ConflictError("published-meanwhile", "another catalog was published meanwhile: send the file again")
    upserts = lock_customers(unit, {one.id: one for one, _ in part}, {one.id: held for one, held in part})
    if not request.may(Action.EDIT_ROLES, Resource.store()):  # who else could say that others wrote something?
        upserts = [_signed(upsert, request.caller.id) for upsert in upserts]
    terms = terms_for(state, "")
    count = 0
    for upsert in upserts:
        own = upsert.owner()
        for action in sorted(needed_for_customer(own, upsert.customer)):
            request.require(action, Resource.customer_of(upsert.customer.id))
        terms.check_archived(upsert.customer, own)
        if own != upsert.customer:
            write_down_customer(unit, own, upsert.customer, state)
            count += 1
        for one in upsert.changed():
            before = upsert.held(one.id)
            for action in sorted(needed_for_subscription(before, one)):
                request.require(action, Resource.subscription(one.id, one.customer))
            terms.check_archived(one, before)
            write_down_subscription(unit, before, one, state)
            count += 1
        if upsert.before is not None:
            terms.check_totals(upsert.record())
    write_subjects(unit, upserts)
    return _Imported(len(part), sum(len(held) for _, held in part), count)


def _signed(upsert: Upsert, author: str) -> Upsert:
    own = upsert.owner()
    stood = () if own is None else own.overrides
    customer = msgspec.structs.replace(upsert.customer, overrides=signed(upsert.customer.overrides, stood, author))
    held = []
    for one in upsert.subscriptions:
        before = upsert.held(one.id)
        stood = () if before is None else before.overrides
        held.append(msgspec.structs.replace(one, overrides=signed(one.overrides, stood, author)))
    return upsert._replace(customer=customer, subscriptions=held)


def export_subjects(request: AdminRequest) -> Answer:
    """All customers and subscriptions as the lines of a subjects file, as of one moment."""
    return Answer.stream(_lines(request.store), NDJSON)


def _lines(store: Store) -> Iterator[bytes]:
    with store.database.reading() as session:
        unit = ReadUnit(store, session)
        yield b'{"apiVersion":"tiergate/v1"}\n'
        after = ""
        while True:
            page = search_customers(session, CustomerFilter(), after, _PAGE)
            if not page:
                return
            ids = [one.record.customer.id for one in page]
            found = read_stored(session, ids)
            yield "".join(_written([found[id_].record for id_ in ids], unit.published)).encode()
            after = ids[-1]


def _written(records: Sequence[SubjectRecord], state: PublishedState) -> Iterator[str]:
    holders: list[Customer | Subscription] = []
    for record in records:
        holders += (record.customer, *record.subscriptions)
    features = dict(printable_features(state.index.features, *holders))
    lines = dump_subject_lines(records, msgspec.structs.replace(state.index, features=features))
    next(lines)  # the head stands once
    yield from lines
