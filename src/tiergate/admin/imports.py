"""Import and export all customers and subscriptions as the lines of a subjects file (NDJSON).

An import reads and validates the whole file against the published catalog before it writes anything. A small file is
one transaction. A large one is written in the order of the customers' ids, in parts of `MAX_PART` subjects, each part
as a whole or not at all: if the import stops in between, repeating it writes the rest, because equal subjects are not
written again. Subjects that the file does not name stay as they are; so does what people own if a line does not name
it (`field_ownership`). A line may have an `as_of`.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing, contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from tiergate.admin.customer_validation import printable_features, validator_for
from tiergate.admin.field_ownership import merge_customer, merge_subscription
from tiergate.admin.loss_gate import reject_loss
from tiergate.admin.subject_changes import (
    record_change,
    reject_unsellable_items,
    require_change,
    resource_of,
    with_authors,
)
from tiergate.admin.write_order import MAX_AHEAD
from tiergate.catalog import SubjectReader, TotalBounds, dump_subject_lines, read_subject_records
from tiergate.catalog.reading.document import Mapping
from tiergate.errors import AuthorError, ConflictError, SubjectsError
from tiergate.model import Customer, Instant, SubjectType, Subscription, parse_instant
from tiergate.permissions import Action, Resource
from tiergate.store import ReadUnit
from tiergate.store.bulk_subjects import Upsert, lock_customers, write_subjects
from tiergate.store.customers import CustomerFilter, search_customers
from tiergate.store.subjects import read_stored, read_subscriptions
from tiergate.store.write_order import (
    EVERY_SIDE,
    Side,
    applied_writes,
    clear_deletions,
    deletion_instants,
    is_outdated,
    record_writes,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from tiergate.admin.actor import Actor
    from tiergate.catalog import SubjectEntry
    from tiergate.model import SubscriptionItem
    from tiergate.store import PublishedCatalog, Store, WriteUnit

MAX_PART: Final = 2_000
"""Most subjects of one transaction."""

_PAGE: Final = 500


class ImportResult(NamedTuple):
    """Counts of an import: subjects in the file, and those that were new or different, or outdated by newer writes."""

    customers: int = 0
    subscriptions: int = 0
    changed: int = 0
    outdated: int = 0


def import_subjects(actor: Actor, store: Store, path: Path) -> ImportResult:
    """Create or replace the customers and subscriptions of a subjects file.

    Raises:
        SubjectsError: with the first 1,000 problems of the file.
        ForbiddenError: the actor may not do all of that.
        ConflictError: another customer has one of the subscriptions, or a catalog was published meanwhile.
        BodyError: a total of a customer could overflow, with the subscriptions that the file does not name.
        LossError: an actor without `editEntitlement` would reduce something.
    """
    published = store.read(lambda unit: unit.published)
    result = ImportResult()
    with _read_sorted(store, path, published) as parts:
        for part in parts:
            counts = actor.change(store, lambda unit, part=part: _write(actor, unit, part, published))  # type: ignore[misc]
            result = ImportResult(*map(sum, zip(result, counts, strict=True)))
    return result


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


_Subject = TypeVar("_Subject", Customer, Subscription)


class _Line(NamedTuple, Generic[_Subject]):
    """A line: its subject, its keys, and its `as_of` if it has one."""

    subject: _Subject
    keys: frozenset[str]
    as_of: Instant | None


Part = list[tuple[_Line[Customer], list[_Line[Subscription]]]]


@contextmanager
def _read_sorted(store: Store, path: Path, published: PublishedCatalog) -> Iterator[Iterator[Part]]:
    """Read and validate a file, and yield it in parts, in the order of the customers' ids."""
    with (
        tempfile.NamedTemporaryFile(suffix=".sqlite") as file,
        closing(sqlite3.connect(file.name, isolation_level=None, check_same_thread=False)) as sorter,
    ):
        sorter.execute("PRAGMA journal_mode = OFF")
        sorter.execute("PRAGMA synchronous = OFF")
        sorter.execute("CREATE TABLE subject (customer TEXT, kind INTEGER, id TEXT, line BLOB)")
        sorter.execute("BEGIN")

        def stored_items(id_: str) -> Sequence[SubscriptionItem]:
            stored = store.read(lambda unit: read_subscriptions(unit.session, [id_])).get(id_)
            return () if stored is None else stored.subscription.items

        try:
            bounds = TotalBounds.of(published.catalog)
            reader = SubjectReader(published.index, bounds)
            reader = reader.beside(stored_items, as_of_until=store.clock() + MAX_AHEAD)
            rows = (_row(record) for record in read_subject_records([path], reader, bounds) if record.subject)
            sorter.executemany("INSERT INTO subject VALUES (?, ?, ?, ?)", rows)
        except AuthorError as error:
            # The file is a temporary one: its name means nothing to the caller.
            raise SubjectsError([replace(problem, file="body") for problem in error.problems]) from None
        sorter.execute("COMMIT")
        sorter.execute("CREATE INDEX by_customer ON subject (customer, kind, id)")
        yield _split(sorter.execute("SELECT customer, line FROM subject ORDER BY customer, kind, id"))


def _row(record: SubjectEntry) -> tuple[str, int, str, bytes]:
    subject, entries = record.subject, record.node.entries if isinstance(record.node, Mapping) else {}
    if subject is None:
        raise RuntimeError("the record has problems")
    as_of = entries.get("as_of")
    line = (subject, tuple(entries), parse_instant(as_of) if isinstance(as_of, str) else None)
    content = msgspec.msgpack.encode(line)
    if isinstance(subject, Customer):
        return subject.id, 0, subject.id, content
    return subject.customer, 1, subject.id, content


_decode_customer = msgspec.msgpack.Decoder(tuple[Customer, frozenset[str], Instant | None]).decode
_decode_subscription = msgspec.msgpack.Decoder(tuple[Subscription, frozenset[str], Instant | None]).decode


def _split(rows: Iterator[tuple[str, bytes]]) -> Iterator[Part]:
    part: Part = []
    count = 0
    for _, group in groupby(rows, key=lambda row: row[0]):
        (_, first), *others = group
        if part and count + 1 + len(others) > MAX_PART:
            yield part
            part, count = [], 0
        subscriptions = [_Line(*_decode_subscription(content)) for _, content in others]
        part.append((_Line(*_decode_customer(first)), subscriptions))
        count += 1 + len(others)
    if part:
        yield part


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _write(actor: Actor, unit: WriteUnit, part: Part, published: PublishedCatalog) -> ImportResult:
    """Write one part. Raises as `import_subjects`."""
    if unit.published.sequence != published.sequence:
        raise ConflictError("published-meanwhile", "a catalog was published meanwhile: send the file again")
    lines = {line.subject.id: (line, others) for line, others in part}
    locked = lock_customers(
        unit,
        {id_: line.subject for id_, (line, _) in lines.items()},
        {id_: [line.subject for line in others] for id_, (_, others) in lines.items()},
    )
    merger = _Merger(unit, part)
    merged = [merger.merge(upsert, *lines[upsert.customer.id]) for upsert in locked]
    upserts = [upsert for upsert in merged if upsert is not None]
    is_restore = actor.may(Action.EDIT_ROLES, Resource.store())  # then authors and unsold items are as in the file
    if not is_restore:
        upserts = [_with_author(upsert, actor.id) for upsert in upserts]
    changed = sum(_check_and_record(actor, unit, upsert, is_restore=is_restore) for upsert in upserts)
    write_subjects(unit, upserts)
    clear_deletions(
        unit.session, SubjectType.CUSTOMER, [upsert.customer.id for upsert in upserts if upsert.before is None]
    )
    new = [it.id for upsert in upserts for it in upsert.subscriptions if it.id not in upsert.known]
    clear_deletions(unit.session, SubjectType.SUBSCRIPTION, new)
    merger.record_order()
    return ImportResult(len(part), sum(len(others) for _, others in part), changed, merger.outdated)


def _check_and_record(actor: Actor, unit: WriteUnit, upsert: Upsert, *, is_restore: bool) -> int:
    """Check permissions and rules for one customer, and write the audit log; return how many of its subjects change."""
    validator = validator_for(unit.published, "")
    customer, before = upsert.customer, upsert.customer_before()
    if before != customer:
        require_change(actor, before, customer)
        validator.check_archived(customer, before)
        record_change(unit, before, customer)
    changed = upsert.changed_subscriptions()
    for subscription in changed:
        old = upsert.known.get(subscription.id)
        if not is_restore:
            reject_unsellable_items(unit, old, subscription, f"/{subscription.id}/items")
        require_change(actor, old, subscription)
        validator.check_archived(subscription, old)
        record_change(unit, old, subscription)
    if upsert.before is not None:
        validator.check_totals(upsert.record())
        resource = resource_of(customer)
        if not actor.may(Action.EDIT_ENTITLEMENT, resource):  # for others the file is authoritative
            reject_loss(actor, unit, upsert.before.record, upsert.record(), resource, "")
    return len(changed) + (before != customer)


class _Merger:
    """Merges the lines of a part with what is stored."""

    def __init__(self, unit: WriteUnit, part: Part) -> None:
        self._unit = unit
        self.outdated = 0
        ids = {
            SubjectType.CUSTOMER: [line.subject.id for line, _ in part if line.as_of is not None],
            SubjectType.SUBSCRIPTION: [it.subject.id for _, others in part for it in others if it.as_of is not None],
        }
        self._known = {kind: applied_writes(unit.session, kind, its) for kind, its in ids.items()}
        self._deleted = {kind: deletion_instants(unit.session, kind, its) for kind, its in ids.items()}
        self._written: dict[SubjectType, list[tuple[str, Collection[Side], Instant]]] = {}

    def merge(self, upsert: Upsert, own: _Line[Customer], lines: Sequence[_Line[Subscription]]) -> Upsert | None:
        """Return what to write of a customer; `None` if its lines are older than its deletion."""
        before = upsert.customer_before()
        kept = [line for line in lines if line.subject.id in upsert.known or not self._is_deleted(line)]
        self.outdated += len(lines) - len(kept)
        if before is None and not kept and self._is_deleted(own):
            self.outdated += 1
            return None
        customer = merge_customer(own.subject, before, own.keys)
        if self._is_outdated(SubjectType.CUSTOMER, own, (Side.PEOPLE,)) and before is not None:
            customer = before
        subscriptions = []
        for line in kept:
            old = upsert.known.get(line.subject.id)
            new = merge_subscription(line.subject, old, line.keys, self._unit.now)
            is_outdated = self._is_outdated(SubjectType.SUBSCRIPTION, line, EVERY_SIDE)
            subscriptions.append(old if old is not None and is_outdated else new)
        return upsert.replaced(customer, subscriptions)

    def _is_outdated(self, kind: SubjectType, line: _Line[_Subject], sides: Collection[Side]) -> bool:
        if line.as_of is None:
            return False
        known = self._known[kind].get(line.subject.id, {})
        if is_outdated(line.as_of, sides, known):
            self.outdated += 1
            return True
        changed = [side for side in sides if side not in known or known[side].as_of != line.as_of]
        if changed:
            self._written.setdefault(kind, []).append((line.subject.id, changed, line.as_of))
        return False

    def _is_deleted(self, line: _Line[Customer] | _Line[Subscription]) -> bool:
        if line.as_of is None:
            return False
        kind = SubjectType.CUSTOMER if isinstance(line.subject, Customer) else SubjectType.SUBSCRIPTION
        deleted = self._deleted[kind].get(line.subject.id)
        return deleted is not None and line.as_of <= deleted

    def record_order(self) -> None:
        """Record the `as_of` of what is written."""
        for kind, written in self._written.items():
            record_writes(self._unit.session, kind, written, self._unit.now)


def _with_author(upsert: Upsert, author: str) -> Upsert:
    subscriptions = [with_authors(it, upsert.known.get(it.id), author) for it in upsert.subscriptions]
    return upsert.replaced(with_authors(upsert.customer, upsert.customer_before(), author), subscriptions)


# ── Export ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def export_subjects(store: Store) -> Iterator[bytes]:
    """Yield all customers and subscriptions as parts of a subjects file, read in one transaction."""
    with store.database.reading() as session:
        unit = ReadUnit(store, session)
        yield b'{"apiVersion":"tiergate/v1"}\n'
        after = ""
        while page := search_customers(session, CustomerFilter(), after, _PAGE):
            ids = [stored.customer.id for stored in page]
            stored = read_stored(session, ids)
            records = [stored[id_].record for id_ in ids]
            holders: list[Customer | Subscription] = []
            for record in records:
                holders += (record.customer, *record.subscriptions)
            index = unit.published.index
            features = dict(printable_features(index.features, *holders))
            lines = dump_subject_lines(records, replace(index, features=features))
            next(lines)  # the head, which the file has already
            yield "".join(lines).encode()
            after = ids[-1]
