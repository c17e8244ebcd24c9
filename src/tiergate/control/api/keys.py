"""API keys over HTTP: made, listed, revoked.

INVARIANT (no way up): nobody makes a key that may do more than they may. Its roles are among their own, unless they may
edit the table of roles and so could have any; and it is narrowed at least as much as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.compiler.role_table import role_words
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.errors import BodyError, BodyProblem, NotFoundError
from tiergate.model import format_instant, parse_instant
from tiergate.naming import nearest, normalize_subject_id, parse_subject_id
from tiergate.permissions import Action, Resource, Scope
from tiergate.store.keys import create_key, find_key, list_keys, revoke_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiergate.control.api.request import AdminRequest
    from tiergate.control.api.roles import PublishedRoles
    from tiergate.model import Instant
    from tiergate.store import WriteUnit
    from tiergate.store.keys import ApiKey

_MAX_NAME: Final = 200
_SIDECAR: Final = "sidecar"
_MAX_LISTED: Final = 1000


class _NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    roles: list[str]
    actions: list[str] | None = None
    customers: list[str] | None = None
    expires_at: str | None = None


def endpoints(roles: PublishedRoles, trust: Mapping[str, object]) -> list[Endpoint]:
    """What there is about keys. `trust`: what a sidecar is told together with its key, to know the store by."""
    store = Resource.store()

    def create(request: AdminRequest) -> Answer:
        """Make an API key; only this answer has its text."""
        return _create(request, roles, trust)

    return [
        Endpoint("GET", "/v1/keys", Action.MANAGE_KEYS, show_all, store, paged=True),
        Endpoint("POST", "/v1/keys", Action.MANAGE_KEYS, create, store),
        Endpoint("GET", "/v1/keys/{id}", Action.MANAGE_KEYS, show, store),
        Endpoint("DELETE", "/v1/keys/{id}", Action.MANAGE_KEYS, revoke, store),
    ]


def show_all(request: AdminRequest) -> Answer:
    """List API keys, revoked and expired ones too."""
    limit, after = request.limit, request.cursor
    found = request.read(lambda unit: list_keys(unit, after, limit + 1))
    page = found[:limit]
    return Answer.page([key_data(key) for key in page], page[-1].id if len(found) > limit else None)


def show(request: AdminRequest) -> Answer:
    """Show an API key, without its secret."""
    id_ = request.params["id"]
    key = request.read(lambda unit: find_key(unit, id_))
    if key is None:
        raise NotFoundError("key", id_)
    return Answer.json(key_data(key))


def revoke(request: AdminRequest) -> Answer:
    """Revoke an API key, for ever and at once."""
    return request.change(lambda unit: Answer.json(key_data(revoke_key(unit, request.params["id"]))))


def key_data(key: ApiKey) -> dict[str, object]:
    """A key as answers show it."""
    said = {name: value for name, value in msgspec.structs.asdict(key).items() if value is not None}
    return {name: format_instant(value) if name.endswith("_at") else value for name, value in said.items()}


def _create(request: AdminRequest, roles: PublishedRoles, trust: Mapping[str, object]) -> Answer:
    body = request.decode(_NewKey)
    if body.customers is not None:
        body = msgspec.structs.replace(body, customers=[normalize_subject_id(it) for it in body.customers])

    def work(unit: WriteUnit) -> Answer:
        expires_at = _checked(body, request, roles.of(unit).roles, unit.now)
        key, text = create_key(
            unit, body.name, body.roles, actions=body.actions, customers=body.customers, expires_at=expires_at
        )
        said = {"key": text, **key_data(key)}
        if _SIDECAR in body.roles:
            said |= trust
        return Answer.json(said, 201, location=f"/v1/keys/{key.id}")

    return request.change(work, kept=_without_text)


def _without_text(answer: Answer) -> Answer:
    """What is kept for whoever sends the request again: the text is shown once."""
    if not isinstance(answer.body, bytes):
        return answer
    said = msgspec.json.decode(answer.body, type=dict[str, object])
    said.pop("key")
    return Answer(answer.status, msgspec.json.encode(said), answer.headers)


def _checked(body: _NewKey, request: AdminRequest, known: frozenset[str], now: Instant) -> Instant | None:
    """See that a key can be made so, and when it expires.

    Raises:
        BodyError: with all problems.
    """
    problems = [*_wrong_words(body, known), *_beyond(body, request)]
    expires_at: Instant | None = None
    if body.expires_at is not None:
        try:
            expires_at = parse_instant(body.expires_at)
            if expires_at <= now:
                problems.append(BodyProblem("/expires_at", "wrong-value", "must lie in the future"))
        except ValueError as error:
            problems.append(BodyProblem("/expires_at", "wrong-value", str(error)))
    if problems:
        raise BodyError(problems)
    return expires_at


def _wrong_words(body: _NewKey, known: frozenset[str]) -> Iterator[BodyProblem]:
    if not body.name.strip() or len(body.name) > _MAX_NAME or not body.name.isprintable():
        yield BodyProblem("/name", "wrong-value", f"must be 1 to {_MAX_NAME} printable characters")
    if not body.roles:
        yield BodyProblem("/roles", "wrong-value", "must name a role: a key without any may do nothing")
    for at, role in enumerate(body.roles):
        if role not in known:
            yield _unknown(f"/roles/{at}", "role", role, known)
    for at, action in enumerate(body.actions or ()):
        if action not in role_words():
            yield _unknown(f"/actions/{at}", "action", action, role_words())
    for at, customer in enumerate(body.customers or ()):
        try:
            parse_subject_id(customer)
        except ValueError as error:
            yield BodyProblem(f"/customers/{at}", "bad-id", str(error))
    for name, listed in (("roles", body.roles), ("actions", body.actions), ("customers", body.customers)):
        if len(listed or ()) > _MAX_LISTED:
            yield BodyProblem(f"/{name}", "wrong-value", f"may list {_MAX_LISTED} at most")


def _beyond(body: _NewKey, request: AdminRequest) -> Iterator[BodyProblem]:
    """What would let the key do more than its maker may."""
    caller = request.caller
    if not request.may(Action.EDIT_ROLES, Resource.store()):
        for at, role in enumerate(body.roles):
            if role not in caller.roles:
                yield BodyProblem(f"/roles/{at}", "beyond-own", f"you cannot give the role `{role}`: you lack it")
    actions = None if body.actions is None else frozenset(body.actions)
    customers = None if body.customers is None else frozenset(body.customers)
    if not Scope(caller.scope.actions).holds(Scope(actions)):
        yield BodyProblem("/actions", "beyond-own", "must be among those that you are narrowed to")
    if not Scope(customers=caller.scope.customers).holds(Scope(customers=customers)):
        yield BodyProblem("/customers", "beyond-own", "must be among those that you are narrowed to")


def _unknown(pointer: str, what: str, word: str, known: frozenset[str]) -> BodyProblem:
    return BodyProblem(pointer, f"unknown-{what}", f"there is no {what} `{word}`", nearest(word, known))
