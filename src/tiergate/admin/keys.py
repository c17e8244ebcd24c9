"""API keys: list, read, create and revoke them.

INVARIANT (no way up): nobody creates a key that may do more than they may. Its roles are among the creator's roles,
unless the creator may edit the role policies and so could have any role; its actions and customers are limited at least
as much as the creator's.

Use cases raise `NotFoundError` if the key does not exist, and `BodyError` with all problems of a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.compiler.role_table import role_actions
from tiergate.errors import BodyError, BodyProblem, ConflictError, NotFoundError
from tiergate.model import format_instant, parse_instant
from tiergate.naming import nearest, normalize_subject_id, parse_subject_id
from tiergate.permissions import Action, Resource, Scope
from tiergate.store import keys as stored_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.admin.actor import Actor
    from tiergate.model import Instant
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.keys import ApiKey

_MAX_NAME: Final = 200
_MAX_ENTRIES: Final = 1000


class KeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to create. `actions` and `customers` limit it; `None`: no limit. `expires_at`: RFC 3339."""

    name: str
    roles: list[str]
    actions: list[str] | None = None
    customers: list[str] | None = None
    expires_at: str | None = None


def list_keys(unit: ReadUnit, after: str | None, limit: int) -> tuple[list[dict[str, object]], str | None]:
    """Return one page of keys, revoked and expired ones included, and the id to continue after."""
    keys = stored_keys.list_keys(unit, after, limit + 1)
    page = keys[:limit]
    return [key_data(key) for key in page], page[-1].id if len(keys) > limit else None


def get_key(unit: ReadUnit, id_: str) -> dict[str, object]:
    """Return an API key, without its secret."""
    key = stored_keys.find_key(unit, id_)
    if key is None:
        raise NotFoundError("key", id_)
    return key_data(key)


def create_key(
    actor: Actor, unit: WriteUnit, wanted: KeyRequest, known_roles: frozenset[str]
) -> tuple[dict[str, object], str]:
    """Create a key; return it and its text, which cannot be read again. `known_roles`: those of the role policies."""
    if wanted.customers is not None:
        wanted = msgspec.structs.replace(wanted, customers=[normalize_subject_id(it) for it in wanted.customers])
    expires_at = _validate(actor, wanted, known_roles, unit.now)
    key, text = stored_keys.create_key(
        unit, wanted.name, wanted.roles, actions=wanted.actions, customers=wanted.customers, expires_at=expires_at
    )
    return key_data(key), text


def revoke_key(actor: Actor, unit: WriteUnit, id_: str) -> dict[str, object]:
    """Revoke a key forever. A revoked key stays as it is.

    Raises:
        ConflictError: if it is the caller's own, and no other key is an admin's: nobody could make a new one.
    """
    actor.require(Action.MANAGE_KEYS, Resource.store())
    if actor.caller.id == f"key/{id_}" and not stored_keys.has_other_admin(unit, id_):
        detail = f"`{id_}` is your own key, and the last one of an admin without limits: create another one first"
        raise ConflictError("last-admin-key", detail)
    return key_data(stored_keys.revoke_key(unit, id_))


def key_data(key: ApiKey) -> dict[str, object]:
    """Return a key as JSON data, without members that are not set."""
    data = {name: value for name, value in msgspec.structs.asdict(key).items() if value is not None}
    return {name: format_instant(value) if name.endswith("_at") else value for name, value in data.items()}


def _validate(actor: Actor, wanted: KeyRequest, known_roles: frozenset[str], now: Instant) -> Instant | None:
    problems = [*_invalid_members(wanted, known_roles), *_excess_permissions(actor, wanted)]
    expires_at: Instant | None = None
    if wanted.expires_at is not None:
        try:
            expires_at = parse_instant(wanted.expires_at)
            if expires_at <= now:
                problems.append(BodyProblem("/expires_at", "wrong-value", "must be in the future"))
        except ValueError as error:
            problems.append(BodyProblem("/expires_at", "wrong-value", str(error)))
    if problems:
        raise BodyError(problems)
    return expires_at


def _invalid_members(wanted: KeyRequest, known_roles: frozenset[str]) -> Iterator[BodyProblem]:
    if not wanted.name.strip() or len(wanted.name) > _MAX_NAME or not wanted.name.isprintable():
        yield BodyProblem("/name", "wrong-value", f"must have 1 to {_MAX_NAME} printable characters")
    if not wanted.roles:
        yield BodyProblem("/roles", "wrong-value", "must name a role: a key without roles may do nothing")
    yield from _unknown_words("role", wanted.roles, known_roles)
    yield from _unknown_words("action", wanted.actions or (), role_actions())
    for index, customer in enumerate(wanted.customers or ()):
        try:
            parse_subject_id(customer)
        except ValueError as error:
            yield BodyProblem(f"/customers/{index}", "bad-id", str(error))
    for name, entries in (("roles", wanted.roles), ("actions", wanted.actions), ("customers", wanted.customers)):
        if len(entries or ()) > _MAX_ENTRIES:
            yield BodyProblem(f"/{name}", "wrong-value", f"may list at most {_MAX_ENTRIES}")


def _unknown_words(kind: str, words: list[str] | tuple[()], known: frozenset[str]) -> Iterator[BodyProblem]:
    for index, word in enumerate(words):
        if word not in known:
            pointer = f"/{kind}s/{index}"
            yield BodyProblem(pointer, f"unknown-{kind}", f"there is no {kind} `{word}`", nearest(word, known))


def _excess_permissions(actor: Actor, wanted: KeyRequest) -> Iterator[BodyProblem]:
    """Report what would let the key do more than its creator may."""
    caller = actor.caller
    if not actor.may(Action.EDIT_ROLES, Resource.store()):
        for index, role in enumerate(wanted.roles):
            if role not in caller.roles:
                yield BodyProblem(f"/roles/{index}", "beyond-own", f"you cannot give the role `{role}`: you lack it")
    for name, own, entries in (
        ("actions", caller.scope.actions, wanted.actions),
        ("customers", caller.scope.customers, wanted.customers),
    ):
        if not Scope(own).holds(Scope(None if entries is None else frozenset(entries))):
            yield BodyProblem(f"/{name}", "beyond-own", "must be among those that you are limited to")
