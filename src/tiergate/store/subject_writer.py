"""The rows of customers and subscriptions, made from the model; and the writer of the rows below their own.

Callers check before that the values make sense, against the published state of the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace
from sqlalchemy import bindparam, delete

from tiergate.model import Customer, SubjectType, Subscription
from tiergate.store.batches import in_batches
from tiergate.store.external_ids import ExternalIdChange, write_external_ids
from tiergate.store.id_lists import is_among
from tiergate.store.prepared_queries import PreparedStatement, execute_prepared
from tiergate.store.row_inserts import insert_rows
from tiergate.store.tables import CUSTOMER_TAGS, OVERRIDES, SUBSCRIPTION_ITEMS, SUSPENSIONS
from tiergate.text_normalization import search_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection, Table
    from sqlmodel import Session

# Statements are built once: building one costs about as much as running it.
_OWNER = {CUSTOMER_TAGS: "customer", SUBSCRIPTION_ITEMS: "subscription", OVERRIDES: "holder", SUSPENSIONS: "holder"}
_OF_OWNERS = {table: delete(table).where(is_among(table.c[column])) for table, column in _OWNER.items()}
_OF_OWNERS |= {it: _OF_OWNERS[it].where(it.c.holder_type == bindparam("kind")) for it in (OVERRIDES, SUSPENSIONS)}
_DELETE = {table: PreparedStatement(statement) for table, statement in _OF_OWNERS.items()}

_encode = msgspec.json.Encoder().encode


def customer_columns(customer: Customer) -> dict[str, object]:
    """Return the columns of a customer's own row, without id and stamp."""
    texts = [customer.id, customer.name, *customer.external_ids.values(), *customer.tags]
    return {
        "tags": _encode(customer.tags).decode() if customer.tags else "[]",
        "attributes": _strings(customer.attributes),
        "name": customer.name,
        "metadata": _strings(customer.metadata),
        "external_ids": _strings(customer.external_ids),
        "search": _search_text([*texts, *customer.attributes.values(), *customer.metadata.values()]),
    }


def subscription_columns(subscription: Subscription) -> dict[str, object]:
    """Return the columns of a subscription's own row, without id, customer and stamp."""
    return {
        "status": subscription.status.value,
        "start": subscription.start,
        "end": subscription.end,
        "trial_end": subscription.trial_end,
        "grace_until": subscription.grace_until,
        "resume_at": subscription.resume_at,
        "resumes_as": None if subscription.resumes_as is None else subscription.resumes_as.value,
        "term": None if subscription.term is None else _encode(subscription.term).decode(),
        "metadata": _strings(subscription.metadata),
        "external_ids": _strings(subscription.external_ids),
        "search": _search_text([subscription.id, *subscription.external_ids.values(), *subscription.metadata.values()]),
    }


def without_parts(subscription: Subscription) -> Subscription:
    """Return a subscription without the parts that have rows of their own."""
    return replace(subscription, items=(), overrides=(), suspensions=(), external_ids={})


def _strings(values: Mapping[str, str]) -> str:
    return _encode(values).decode() if values else "{}"


def _search_text(texts: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(search_key(text) for text in texts if text))


class PartWriter:
    """Collects changes of tags, items, overrides, suspensions and external ids, and writes them in few statements.

    `before` is the subject as the tables have it: only the differences are written. If it is unknown (none), all rows
    are replaced, and no external ids must exist.
    """

    def __init__(self) -> None:
        self._stale: dict[tuple[Table, SubjectType], list[str]] = {}
        self._new: dict[Table, list[dict[str, object]]] = {}
        self._external_ids: dict[SubjectType, list[ExternalIdChange]] = {}

    def change_customer(self, before: Customer | None, after: Customer) -> None:
        """Add the changes of a customer."""
        if before is None or before.tags != after.tags:
            rows: list[dict[str, object]] = [{"tag": tag, "customer": after.id} for tag in after.tags]
            self._replace(CUSTOMER_TAGS, SubjectType.CUSTOMER, after.id, rows, had=before is None or bool(before.tags))
        self._change_shared(SubjectType.CUSTOMER, before, after)

    def change_subscription(self, before: Subscription | None, after: Subscription) -> None:
        """Add the changes of a subscription."""
        kind = SubjectType.SUBSCRIPTION
        if before is None or before.items != after.items:
            rows: list[dict[str, object]] = [
                {"subscription": after.id, "place": place, **msgspec.structs.asdict(item)}
                for place, item in enumerate(after.items)
            ]
            self._replace(SUBSCRIPTION_ITEMS, kind, after.id, rows, had=before is None or bool(before.items))
        self._change_shared(kind, before, after)

    def write(self, connection: Connection) -> None:
        """Write all changes.

        Raises:
            ConflictError: if another subject has one of the external ids.
        """
        for (table, kind), ids in self._stale.items():
            for part in in_batches(ids):
                key = (
                    {"ids": part} if table in (CUSTOMER_TAGS, SUBSCRIPTION_ITEMS) else {"ids": part, "kind": kind.value}
                )
                execute_prepared(connection, _DELETE[table], key)
        for kind, changes in self._external_ids.items():
            write_external_ids(connection, kind, changes)
        for table, rows in self._new.items():
            insert_rows(connection, table, rows)

    def _change_shared(
        self, kind: SubjectType, before: Customer | Subscription | None, after: Customer | Subscription
    ) -> None:
        known = {} if before is None else before.external_ids
        if known != after.external_ids:
            change = ExternalIdChange(after.id, known, after.external_ids)
            self._external_ids.setdefault(kind, []).append(change)
        if before is None or before.overrides != after.overrides:
            rows = [
                {
                    "holder_type": kind.value,
                    "holder": after.id,
                    **msgspec.structs.asdict(override),
                    "place": place,
                    "mode": override.mode.value,
                    "value": None if override.value is None else _encode(override.value).decode(),
                }
                for place, override in enumerate(after.overrides)
            ]
            self._replace(OVERRIDES, kind, after.id, rows, had=before is None or bool(before.overrides))
        if before is None or before.suspensions != after.suspensions:
            rows = [
                {"holder_type": kind.value, "holder": after.id, **msgspec.structs.asdict(suspension), "place": place}
                for place, suspension in enumerate(after.suspensions)
            ]
            self._replace(SUSPENSIONS, kind, after.id, rows, had=before is None or bool(before.suspensions))

    def _replace(self, table: Table, kind: SubjectType, id_: str, rows: list[dict[str, object]], *, had: bool) -> None:
        if had:
            self._stale.setdefault((table, kind), []).append(id_)
        if rows:
            self._new.setdefault(table, []).extend(rows)


def write_customer_parts(session: Session, customer: Customer, before: Customer | None = None) -> None:
    """Write the rows below the own row of one customer; `before` as for `PartWriter`."""
    writer = PartWriter()
    writer.change_customer(before, customer)
    writer.write(session.connection())


def write_subscription_parts(session: Session, subscription: Subscription, before: Subscription | None = None) -> None:
    """Write the rows below the own row of one subscription; `before` as for `PartWriter`."""
    writer = PartWriter()
    writer.change_subscription(before, subscription)
    writer.write(session.connection())
