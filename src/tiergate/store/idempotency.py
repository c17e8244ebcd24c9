"""Answers kept for whoever sends the same creating request again: within the transaction that made them.

A key is its caller's own. The same key with another request is a mistake, and is said to be one. What was refused is
not kept: sent again, it is tried again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import delete, insert, select

from tiergate.errors import RequestError
from tiergate.store.tables import IDEMPOTENCY

if TYPE_CHECKING:
    from tiergate.store.transactions import ReadUnit, WriteUnit

KEPT_FOR: Final = 24 * 60 * 60 * 1000
"""Milliseconds for which an answer is kept."""


class IdempotencyKey(NamedTuple):
    """Whose key it is, the key, and the hash of the whole request: method, path, query and body."""

    caller: str
    key: str
    request_sha256: str


class StoredResponse(NamedTuple):
    """An answer as it was given."""

    status: int
    headers: dict[str, str]
    body: bytes


def read_stored_response(unit: ReadUnit, key: IdempotencyKey) -> StoredResponse | None:
    """The answer that this request got before, or none.

    Raises:
        RequestError: 422, another request had the key.
    """
    query = select(IDEMPOTENCY).where(
        IDEMPOTENCY.c.caller == key.caller, IDEMPOTENCY.c.key == key.key, IDEMPOTENCY.c.created_at > unit.now - KEPT_FOR
    )
    row = unit.session.connection().execute(query).one_or_none()
    if row is None:
        return None
    if row.request_sha256 != key.request_sha256:
        raise RequestError(422, "idempotency key reused", f"`{key.key}` was sent with another request before")
    return StoredResponse(row.status, json.loads(row.headers), bytes(row.body))


def store_response(unit: WriteUnit, key: IdempotencyKey, answer: StoredResponse) -> None:
    """Keep the answer to a request, and forget those that are too old."""
    connection = unit.session.connection()
    connection.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.created_at <= unit.now - KEPT_FOR))
    row = {
        "caller": key.caller,
        "key": key.key,
        "request_sha256": key.request_sha256,
        "status": answer.status,
        "headers": json.dumps(answer.headers),
        "body": answer.body,
        "created_at": unit.now,
    }
    connection.execute(insert(IDEMPOTENCY), [row])
