"""Responses stored for creating requests that are sent again, within the transaction of the first one.

A key belongs to its caller. The same key with another request is an error. Failed requests are not stored: sent again,
they run again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import delete, insert, select

from tiergate.errors import RequestError
from tiergate.store.tables import IDEMPOTENCY

if TYPE_CHECKING:
    from tiergate.store.units import ReadUnit, WriteUnit

KEPT_FOR: Final = 24 * 60 * 60 * 1000
"""Milliseconds for which a response is kept."""


class IdempotencyKey(NamedTuple):
    """The caller, the key, and the hash of the whole request: method, path, query and body."""

    caller: str
    key: str
    request_sha256: str


class StoredResponse(NamedTuple):
    """A stored response."""

    status: int
    headers: dict[str, str]
    body: bytes


def read_stored_response(unit: ReadUnit, key: IdempotencyKey) -> StoredResponse | None:
    """Return the response that this request got before, if any.

    Raises:
        RequestError: 422, if another request had the key.
    """
    query = select(IDEMPOTENCY).where(
        IDEMPOTENCY.c.caller == key.caller, IDEMPOTENCY.c.key == key.key, IDEMPOTENCY.c.created_at > unit.now - KEPT_FOR
    )
    row = unit.side_session.connection().execute(query).one_or_none()
    if row is None:
        return None
    if row.request_sha256 != key.request_sha256:
        raise RequestError(422, "idempotency key reused", f"`{key.key}` was used for another request before")
    return StoredResponse(row.status, json.loads(row.headers), bytes(row.body))


def store_response(unit: WriteUnit, key: IdempotencyKey, response: StoredResponse) -> None:
    """Store the response to a request, and delete expired ones."""
    connection = unit.side_writing_session.connection()
    connection.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.created_at <= unit.now - KEPT_FOR))
    row = {
        "caller": key.caller,
        "key": key.key,
        "request_sha256": key.request_sha256,
        "status": response.status,
        "headers": json.dumps(response.headers),
        "body": response.body,
        "created_at": unit.now,
    }
    connection.execute(insert(IDEMPOTENCY), [row])
