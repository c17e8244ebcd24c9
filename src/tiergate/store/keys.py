"""API keys: created once, shown once, verified by a hash; and the first admin's key.

A key reads `tg_<id>_<secret>`: 12 characters that identify it, 43 that prove it. Other modules define what its roles
and scope permit, and who may create one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import string
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import bindparam, func, insert, select, update

from tiergate.errors import ConflictError, NotFoundError
from tiergate.model import Instant
from tiergate.store.tables import KEYS, STORE

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Row

    from tiergate.store.units import ReadUnit, WriteUnit

_BY_ID = select(KEYS).where(KEYS.c.id == bindparam("row_id"))  # built once: every request runs it
_ID_LETTERS: Final = string.ascii_letters + string.digits
_FORM: Final = re.compile(r"tg_([A-Za-z0-9]{12})_[A-Za-z0-9_-]{43}")
_NOBODYS_HASH: Final = hashlib.sha256(b"nobody's").hexdigest()


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret. `actions` and `customers` narrow it, if they are set."""

    id: str
    name: str
    roles: tuple[str, ...]
    actions: tuple[str, ...] | None = None
    customers: tuple[str, ...] | None = None
    created_at: Instant
    created_by: str
    expires_at: Instant | None = None
    revoked_at: Instant | None = None
    last_used_at: Instant | None = None

    def is_valid(self, now: Instant) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NewKey(NamedTuple):
    """A new key, and its text, which is shown only now."""

    key: ApiKey
    text: str


def is_key(token: str) -> bool:
    """Return whether a bearer token has the form of a key."""
    return _FORM.fullmatch(token) is not None


def generate_key_text() -> str:
    """Generate the text of a new key."""
    return f"tg_{''.join(secrets.choice(_ID_LETTERS) for _ in range(12))}_{secrets.token_urlsafe(32)}"


def create_key(
    unit: WriteUnit,
    name: str,
    roles: Collection[str],
    *,
    actions: Collection[str] | None = None,
    customers: Collection[str] | None = None,
    expires_at: Instant | None = None,
    text: str | None = None,
) -> NewKey:
    """Create a key, with an audit entry. `text`: the result of an earlier `generate_key_text`.

    Raises:
        ValueError: if the text does not have the form of a key. The message does not contain it.
    """
    text = generate_key_text() if text is None else text
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("does not have the form of an API key")
    id_ = match[1]
    key = ApiKey(
        id=id_,
        name=name,
        roles=tuple(sorted(set(roles))),
        actions=None if actions is None else tuple(sorted(set(actions))),
        customers=None if customers is None else tuple(sorted(set(customers))),
        created_at=unit.now,
        created_by=unit.actor.id,
        expires_at=expires_at,
    )
    row = msgspec.structs.asdict(key) | {
        "secret_sha256": _hash(text),
        "roles": json.dumps(key.roles),
        "actions": None if key.actions is None else json.dumps(key.actions),
        "customers": None if key.customers is None else json.dumps(key.customers),
    }
    unit.session.connection().execute(insert(KEYS), [row])
    unit.audit("key.created", "key", id_, after=_audit_data(key))
    return NewKey(key, text)


def revoke_key(unit: WriteUnit, id_: str) -> ApiKey:
    """Revoke a key for ever. A revoked one stays as it is.

    Raises:
        NotFoundError: if there is no such key.
    """
    key = find_key(unit, id_, lock=True)
    if key is None:
        raise NotFoundError("key", id_)
    if key.revoked_at is not None:
        return key
    unit.session.connection().execute(update(KEYS).where(KEYS.c.id == id_).values(revoked_at=unit.now))
    unit.changes_access = True
    revoked = msgspec.structs.replace(key, revoked_at=unit.now)
    unit.audit("key.revoked", "key", id_, before=_audit_data(key), after=_audit_data(revoked))
    return revoked


def has_other_admin(unit: ReadUnit, id_: str) -> bool:
    """Return whether another valid key has the role of an admin, without limits."""
    rows = unit.session.connection().execute(select(KEYS).where(KEYS.c.id != id_, KEYS.c.revoked_at.is_(None)))
    return any(
        "admin" in key.roles and key.actions is None and key.customers is None and key.is_valid(unit.now)
        for key in map(_key, rows)
    )


def key_names(unit: ReadUnit, ids: Collection[str]) -> dict[str, str]:
    """Return the names of keys by id, revoked ones too."""
    query = select(KEYS.c.id, KEYS.c.name).where(KEYS.c.id.in_(sorted(ids)))
    return {row.id: row.name for row in unit.session.connection().execute(query)}


def find_key(unit: ReadUnit, id_: str, *, lock: bool = False) -> ApiKey | None:
    """Read a key by its id; `lock`: no other transaction can change it until this one ends."""
    query = select(KEYS).where(KEYS.c.id == id_)
    row = unit.session.connection().execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _key(row)


def authenticate_key(unit: ReadUnit, text: str) -> ApiKey | None:
    """Return the key with this text, valid or not; none if there is no such key or the secret is wrong."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    row = unit.session.connection().execute(_BY_ID, {"row_id": match[1]}).one_or_none()
    # Do the same work for an unknown id, so that the time does not reveal whether a key exists.
    is_proven = hmac.compare_digest(_hash(text), _NOBODYS_HASH if row is None else row.secret_sha256)
    return _key(row) if is_proven and row is not None else None


def list_keys(unit: ReadUnit, after: str | None, limit: int) -> list[ApiKey]:
    """Read up to `limit` keys by id, those after an id, with revoked and expired ones."""
    query = select(KEYS).order_by(KEYS.c.id).limit(limit)
    if after is not None:
        query = query.where(KEYS.c.id > after)
    return [_key(row) for row in unit.session.connection().execute(query)]


def bootstrap(unit: WriteUnit, name: str, *, force: bool = False, text: str | None = None) -> NewKey:
    """Create the first admin's key, once for a store; `force`: again. `text`: as for `create_key`.

    Raises:
        ConflictError: if it was created before.
        ValueError: as `create_key`.
    """
    query = update(STORE).values(bootstrapped_at=unit.now)
    if not force:
        query = query.where(STORE.c.bootstrapped_at.is_(None))
    if unit.session.connection().execute(query).rowcount != 1:
        raise ConflictError("already-bootstrapped", "the first admin's key exists already")
    unit.audit("store.bootstrapped", "store", unit.store.id, after={"forced": force})
    return create_key(unit, name, ["admin"], text=text)


def _key(row: Row[Any]) -> ApiKey:
    columns = row._asdict()
    del columns["secret_sha256"]
    for name in ("roles", "actions", "customers"):
        columns[name] = None if columns[name] is None else tuple(json.loads(columns[name]))
    return ApiKey(**columns)


def _audit_data(key: ApiKey) -> dict[str, object]:
    data = msgspec.structs.asdict(key)
    return {name: value for name, value in data.items() if value is not None and name != "last_used_at"}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def key_id_in(text: str) -> str | None:
    """Return the id in a text with the form of a key, without the secret."""
    match = _FORM.fullmatch(text)
    return None if match is None else match[1]


def count_revoked(unit: ReadUnit) -> tuple[int, int]:
    """Count the keys, and the revoked ones. While both counts are the same, the same keys are revoked."""
    query = select(func.count(), func.count(KEYS.c.revoked_at)).select_from(KEYS)
    total, revoked = unit.session.connection().execute(query).one()
    return total, revoked


def revoked_ids(unit: ReadUnit) -> frozenset[str]:
    """Return the ids of all revoked keys."""
    query = select(KEYS.c.id).where(KEYS.c.revoked_at.is_not(None))
    return frozenset(unit.session.connection().execute(query).scalars())
