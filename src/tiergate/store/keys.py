"""API keys: made once, shown once, known by a hash; and the one-time making of the first one.

A key reads `tg_<id>_<secret>`: 12 characters by which it is found, 43 that prove it. Leaves to others: what its roles
and scope mean, and who may make one.
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

    from tiergate.store.transactions import ReadUnit, WriteUnit

_BY_ID = select(KEYS).where(KEYS.c.id == bindparam("its"))  # made once: every request executes it
_ID_LETTERS: Final = string.ascii_letters + string.digits
_FORM: Final = re.compile(r"tg_([A-Za-z0-9]{12})_[A-Za-z0-9_-]{43}")
_NOBODYS_HASH: Final = hashlib.sha256(b"nobody's").hexdigest()


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key, without its secret. `actions` and `customers` narrow it, where they are there."""

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
        """Say whether the key is good now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NewKey(NamedTuple):
    """A key that was just made, and its text, which nobody can read again."""

    key: ApiKey
    text: str


def is_key(token: str) -> bool:
    """Say whether a bearer's token has the form of a key."""
    return _FORM.fullmatch(token) is not None


def generate_key_text() -> str:
    """Make up the text of a key that nobody has."""
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
    """Make a key, and write down that it was made. `text`: one that was made up elsewhere, by `generate_key_text`.

    Raises:
        ValueError: the text has not the form of a key. The message holds nothing of it.
    """
    text = generate_key_text() if text is None else text
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("has not the form of an API key")
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
    unit.audit("key.created", "key", id_, after=_said(key))
    return NewKey(key, text)


def revoke_key(unit: WriteUnit, id_: str) -> ApiKey:
    """Make a key useless for ever, from now on; one that is so already stays as it is.

    Raises:
        NotFoundError: there is no such key.
    """
    key = find_key(unit, id_, lock=True)
    if key is None:
        raise NotFoundError("key", id_)
    if key.revoked_at is not None:
        return key
    unit.session.connection().execute(update(KEYS).where(KEYS.c.id == id_).values(revoked_at=unit.now))
    revoked = msgspec.structs.replace(key, revoked_at=unit.now)
    unit.audit("key.revoked", "key", id_, before=_said(key), after=_said(revoked))
    return revoked


def find_key(unit: ReadUnit, id_: str, *, lock: bool = False) -> ApiKey | None:
    """A key by its id; `lock`: against others' changes."""
    query = select(KEYS).where(KEYS.c.id == id_)
    row = unit.session.connection().execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _key(row)


def authenticate_key(unit: ReadUnit, text: str) -> ApiKey | None:
    """The key that somebody shows, good or not any more; none where there is none such, or the secret is another's."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    row = unit.session.connection().execute(_BY_ID, {"its": match[1]}).one_or_none()
    # The same work is done for an id that does not exist, so that time tells nothing.
    proven = hmac.compare_digest(_hash(text), _NOBODYS_HASH if row is None else row.secret_sha256)
    return _key(row) if proven and row is not None else None


def list_keys(unit: ReadUnit, after: str | None, limit: int) -> list[ApiKey]:
    """Keys by id, from `after` on, revoked and expired ones too; `limit` at most."""
    query = select(KEYS).order_by(KEYS.c.id).limit(limit)
    if after is not None:
        query = query.where(KEYS.c.id > after)
    return [_key(row) for row in unit.session.connection().execute(query)]


def bootstrap(unit: WriteUnit, name: str, *, force: bool = False, text: str | None = None) -> NewKey:
    """Make the first admin's key, once in the life of a store; `force`: once more. `text`: as for `create_key`.

    Raises:
        ConflictError: it was made already.
        ValueError: as `create_key`.
    """
    query = update(STORE).values(bootstrapped_at=unit.now)
    if not force:
        query = query.where(STORE.c.bootstrapped_at.is_(None))
    if unit.session.connection().execute(query).rowcount != 1:
        raise ConflictError("already-bootstrapped", "the first admin's key was made already")
    unit.audit("store.bootstrapped", "store", unit.store.id, after={"forced": force})
    return create_key(unit, name, ["admin"], text=text)


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        roles=tuple(json.loads(row.roles)),
        actions=None if row.actions is None else tuple(json.loads(row.actions)),
        customers=None if row.customers is None else tuple(json.loads(row.customers)),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def _said(key: ApiKey) -> dict[str, object]:
    """What the audit log says of a key: not when it was used."""
    said = msgspec.structs.asdict(key)
    del said["last_used_at"]
    return {name: value for name, value in said.items() if value is not None}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def key_id_in(text: str) -> str | None:
    """The id that a text names, if it has the form of a key; what proves it is left out."""
    found = _FORM.fullmatch(text)
    return None if found is None else found[1]


def count_revoked(unit: ReadUnit) -> tuple[int, int]:
    """How many keys there are, and how many of them were revoked: where both are as before, the same ones were."""
    query = select(func.count(), func.count(KEYS.c.revoked_at)).select_from(KEYS)
    total, revoked = unit.session.connection().execute(query).one()
    return total, revoked


def revoked_ids(unit: ReadUnit) -> frozenset[str]:
    """The ids of all keys that were revoked."""
    query = select(KEYS.c.id).where(KEYS.c.revoked_at.is_not(None))
    return frozenset(unit.session.connection().execute(query).scalars())
