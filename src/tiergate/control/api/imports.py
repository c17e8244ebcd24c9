"""The endpoints that bring all subjects in and out, as the lines of a subjects file (NDJSON).

An import is read and validated as a whole before anything of it is written, by the published catalog. A small one is
then one transaction. A large one is written in the order of the customers' ids, so many subjects at a time, each part
whole or not at all: should it end in the middle, sending it again does the rest, for what is there already and the same
is not written again. Customers and subscriptions of which the file says nothing stay as they are, and so does what
people own of those that it names where a line leaves it out (`ownership`). A line may say as of when it is so.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing, contextmanager
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

import msgspec

from tiergate.admin.customer_validation import printable_features, terms_for
from tiergate.admin.field_ownership import kept_customer, kept_subscription
from tiergate.admin.sellable_items import refuse_unsellable
from tiergate.catalog import SubjectReader, TotalBounds, dump_subject_lines, read_subject_records
from tiergate.catalog.reading.document import Mapping
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_changes import (
    needed_for_customer,
    needed_for_subscription,
    signed,
    write_down_customer,
    write_down_subscription,
)
from tiergate.control.api.subject_loss_gate import refuse_loss
from tiergate.control.api.write_order import MAX_AHEAD
from tiergate.errors import AuthorError, ConflictError, SubjectsError
from tiergate.model import Customer, SubjectType, Subscription, parse_instant
from tiergate.permissions import Action, Resource
from tiergate.store import ReadUnit
from tiergate.store.bulk_subjects import Upsert, lock_customers, write_subjects
from tiergate.store.customers import CustomerFilter, search_customers
from tiergate.store.subjects import read_stored, read_subscriptions
from tiergate.store.write_order import EVERY_SIDE, Side, deleted_as_of, is_elder, known_as_of, remember, revive

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from tiergate.catalog import SubjectEntry
    from tiergate.control.api.request import AdminRequest
    from tiergate.model import Instant, SubjectRecord, SubscriptionItem
    from tiergate.store import PublishedCatalog, Store, WriteUnit

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
    """How many were in the file, how many of these were new or different, and how many elder than what is known."""

    customers: int = 0
    subscriptions: int = 0
    changed: int = 0
    passed_over: int = 0


def import_subjects(request: AdminRequest) -> Answer:
    """Create or replace the customers and subscriptions of a subjects file: one JSON object a line."""
    if request.spool is None:
        raise RuntimeError("the endpoint did not say `spooled`")
    state = request.read(lambda unit: unit.published)
    done = _Imported()
    with _sorted_subjects(request, request.spool, state) as parts:
        for part in parts:
            one = request.write(partial(_write, request, part=part, state=state))
            done = _Imported(*(so_far + more for so_far, more in zip(done, one, strict=True)))
    said = done._asdict()
    return Answer.json(said if done.passed_over else {key: said[key] for key in said if key != "passed_over"})


_Subject = TypeVar("_Subject", Customer, Subscription)


class _Line(NamedTuple, Generic[_Subject]):
    """A line: whom it is about, the keys that it has, and as of when it is so, if it says that."""

    subject: _Subject
    named: frozenset[str]
    as_of: Instant | None


Part = list[tuple[_Line[Customer], list[_Line[Subscription]]]]


@contextmanager
def _sorted_subjects(request: AdminRequest, path: Path, state: PublishedCatalog) -> Iterator[Iterator[Part]]:
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
        sorter.execute(
            "CREATE TABLE subject (customer TEXT, kind INTEGER, id TEXT, record BLOB, named TEXT, as_of INT)"
        )
        sorter.execute("BEGIN")
        try:
            bounds = TotalBounds.of(state.catalog)
            latest = request.store.clock() + MAX_AHEAD
            reader = SubjectReader(state.index, bounds).beside(partial(_stood, request), as_of_until=latest)
            rows = (_row(record) for record in read_subject_records([path], reader, bounds) if record.subject)
            sorter.executemany("INSERT INTO subject VALUES (?, ?, ?, ?, ?, ?)", rows)
        except AuthorError as error:
            # The file's name is ours, and says nothing to whoever sent it.
            raise SubjectsError([msgspec.structs.replace(one, file="body") for one in error.problems]) from None
        sorter.execute("COMMIT")
        sorter.execute("CREATE INDEX by_customer ON subject (customer, kind, id)")
        columns = "kind, record, named, as_of, customer"
        yield _parts(sorter.execute(f"SELECT {columns} FROM subject ORDER BY customer, kind, id"))  # noqa: S608


def _stood(request: AdminRequest, id_: str) -> Sequence[SubscriptionItem]:
    """What a subscription holds before the import, of which something is impossible in the file."""
    found = request.read(lambda unit: read_subscriptions(unit.session, [id_])).get(id_)
    return () if found is None else found.subscription.items


def _row(record: SubjectEntry) -> tuple[str, int, str, bytes, str, Instant | None]:
    subject, entries = record.subject, record.node.entries if isinstance(record.node, Mapping) else {}
    if subject is None:
        raise RuntimeError("a record with problems is not kept")
    as_of = entries.get("as_of")
    parts = (
        msgspec.msgpack.encode(subject),
        " ".join(entries),
        parse_instant(as_of) if isinstance(as_of, str) else None,
    )
    if isinstance(subject, Customer):
        return subject.id, 0, subject.id, *parts
    return subject.customer, 1, subject.id, *parts


_customer = msgspec.msgpack.Decoder(Customer).decode
_subscription = msgspec.msgpack.Decoder(Subscription).decode


def _parts(rows: Iterator[tuple[int, bytes, str, Instant | None, str]]) -> Iterator[Part]:
    part: Part = []
    count = 0
    for _, its in groupby(rows, key=lambda row: row[4]):
        (_, own, own_named, own_as_of, _), *held = its
        if part and count + 1 + len(held) > AT_ONCE:
            yield part
            part, count = [], 0
        customer = _Line(_customer(own), frozenset(own_named.split(" ")), own_as_of)
        lines = [
            _Line(_subscription(record), frozenset(named.split(" ")), as_of) for _, record, named, as_of, _ in held
        ]
        part.append((customer, lines))
        count += 1 + len(held)
    if part:
        yield part


def _write(request: AdminRequest, unit: WriteUnit, part: Part, state: PublishedCatalog) -> _Imported:
    """Write one part.

    Raises:
        ForbiddenError: the caller may not do all of that.
        ConflictError: another customer has one of the subscriptions, or another catalog was published meanwhile.
        BodyError: a customer's total could overflow, with the subscriptions that it has besides.
    """
    if unit.published.sequence != state.sequence:
        raise ConflictError("published-meanwhile", "another catalog was published meanwhile: send the file again")
    lines = {one.subject.id: (one, held) for one, held in part}
    upserts = lock_customers(
        unit,
        {id_: one.subject for id_, (one, _) in lines.items()},
        {id_: [line.subject for line in held] for id_, (_, held) in lines.items()},
    )
    merging = _Merging(unit, part)
    found = [merging.merged(upsert, *lines[upsert.customer.id]) for upsert in upserts]
    upserts = [upsert for upsert in found if upsert is not None]
    restores = request.may(Action.EDIT_ROLES, Resource.store())
    if not restores:  # who else could say that others wrote something, or had what is sold no more?
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
            if not restores:
                refuse_unsellable(unit, before, one, f"/{one.id}/items")
            for action in sorted(needed_for_subscription(before, one)):
                request.require(action, Resource.subscription(one.id, one.customer))
            terms.check_archived(one, before)
            write_down_subscription(unit, before, one, state)
            count += 1
        if upsert.before is not None:
            terms.check_totals(upsert.record())
            whose = Resource.customer_of(upsert.customer.id)
            if not request.may(Action.EDIT_ENTITLEMENT, whose):  # who may, says by the file what is so
                refuse_loss(request, unit, upsert.before.record, upsert.record(), whose)
    write_subjects(unit, upserts)
    revive(unit.session, SubjectType.CUSTOMER, [one.customer.id for one in upserts if one.before is None])
    new = [one.id for upsert in upserts for one in upsert.changed() if upsert.held(one.id) is None]
    revive(unit.session, SubjectType.SUBSCRIPTION, new)
    merging.remember()
    return _Imported(len(part), sum(len(held) for _, held in part), count, merging.passed_over)


class _Merging:
    """What the lines of a part make of what is there."""

    def __init__(self, unit: WriteUnit, part: Part) -> None:
        self._unit = unit
        self.passed_over = 0
        customers = [one.subject.id for one, _ in part if one.as_of is not None]
        subscriptions = [line.subject.id for _, held in part for line in held if line.as_of is not None]
        self._known = {
            kind: known_as_of(unit.session, kind, ids)
            for kind, ids in ((SubjectType.CUSTOMER, customers), (SubjectType.SUBSCRIPTION, subscriptions))
        }
        self._deleted = {
            kind: deleted_as_of(unit.session, kind, ids)
            for kind, ids in ((SubjectType.CUSTOMER, customers), (SubjectType.SUBSCRIPTION, subscriptions))
        }
        self._written: dict[SubjectType, list[tuple[str, Collection[Side], Instant]]] = {}

    def merged(self, upsert: Upsert, own: _Line[Customer], held: Sequence[_Line[Subscription]]) -> Upsert | None:
        """What becomes of a customer and its subscriptions: what lines leave out stays, and elder ones do nothing.

        None where there is nothing of them, and the lines are elder than their deletion.
        """
        before = upsert.owner()
        newer = [line for line in held if upsert.held(line.subject.id) is not None or not self._was_deleted(line)]
        self.passed_over += len(held) - len(newer)
        held = newer
        if before is None and not held and self._was_deleted(own):
            self.passed_over += 1
            return None
        customer = kept_customer(own.subject, before, own.named)
        if self._is_passed_over(SubjectType.CUSTOMER, own, (Side.PEOPLE,)) and before is not None:
            customer = before
        subscriptions = []
        for line in held:
            old = upsert.held(line.subject.id)
            new = kept_subscription(line.subject, old, line.named, self._unit.now)
            is_elder = self._is_passed_over(SubjectType.SUBSCRIPTION, line, EVERY_SIDE)
            subscriptions.append(old if old is not None and is_elder else new)
        return upsert._replace(customer=customer, subscriptions=subscriptions)

    def _is_passed_over(self, kind: SubjectType, line: _Line[_Subject], sides: Collection[Side]) -> bool:
        if line.as_of is None:
            return False
        known = self._known[kind].get(line.subject.id, {})
        elder = is_elder(line.as_of, sides, known)
        self.passed_over += elder
        changed = [side for side in sides if side not in known or known[side].as_of != line.as_of]
        if not elder and changed:
            self._written.setdefault(kind, []).append((line.subject.id, changed, line.as_of))
        return elder

    def _was_deleted(self, line: _Line[Customer] | _Line[Subscription]) -> bool:
        kind = SubjectType.CUSTOMER if isinstance(line.subject, Customer) else SubjectType.SUBSCRIPTION
        deleted = self._deleted[kind].get(line.subject.id)
        return deleted is not None and line.as_of is not None and line.as_of <= deleted

    def remember(self) -> None:
        """Take down as of when what was written is so."""
        for kind, written in self._written.items():
            remember(self._unit.session, kind, written, self._unit.now)


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


def _written(records: Sequence[SubjectRecord], state: PublishedCatalog) -> Iterator[str]:
    holders: list[Customer | Subscription] = []
    for record in records:
        holders += (record.customer, *record.subscriptions)
    features = dict(printable_features(state.index.features, *holders))
    lines = dump_subject_lines(records, msgspec.structs.replace(state.index, features=features))
    next(lines)  # the head stands once
    yield from lines
