"""Role policies: the active ones, their draft, and what a caller may do. Publishing them is elsewhere.

INVARIANT (errors close): role policies that cannot be read, as after a downgrade, allow nothing to anybody.

Functions raise `RulesError` if a draft is not publishable, `PreconditionError` if the draft has another version, and
`NotFoundError` if nothing is drafted.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

import cachetools

from tiergate.cedar import builtin_text
from tiergate.errors import NotFoundError, RulesError, StoreError
from tiergate.permissions import Action, Resource, RolePolicies, shipped_roles
from tiergate.store.policy_files import ROLES, find_policy_file, put_policy_file, remove_files
from tiergate.store.publications import publication

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.admin.precondition import Precondition
    from tiergate.store import ReadUnit, Store, WriteUnit
    from tiergate.store.policy_files import PolicyFile

_KIND: Final = "draft of the roles"
_CACHED: Final = 4


class RolesDraft(NamedTuple):
    """The draft of the role policies. `etag`: its version, 0 if nothing is drafted."""

    text: str
    etag: int

    @property
    def is_shipped(self) -> bool:
        """Whether these are the shipped policies."""
        return self.text == builtin_text(ROLES)


class PublishedRoles:
    """Reads the active role policies of a store. Safe to use from several threads.

    Methods raise `StoreError` if the store cannot be read, or this release cannot read the policies.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shipped = shipped_roles()
        self._by_blob: cachetools.LRUCache[str, RolePolicies] = cachetools.LRUCache(_CACHED)
        self._by_sequence: cachetools.LRUCache[int, RolePolicies] = cachetools.LRUCache(_CACHED)
        self._lock = threading.Lock()

    def __call__(self) -> RolePolicies:
        """Return the active role policies."""
        return self._store.read(self.read)

    def read(self, unit: ReadUnit) -> RolePolicies:
        """Return the active role policies, as a transaction sees them."""
        sequence = unit.head().publication
        if not sequence:
            return self._shipped
        with self._lock:
            policies = self._by_sequence.get(sequence)  # a publication never changes
        if policies is None:
            policies = self._parse(unit, publication(unit.session, sequence).roles)
            with self._lock:
                self._by_sequence[sequence] = policies
        return policies

    def _parse(self, unit: ReadUnit, blob: str) -> RolePolicies:
        if not blob:
            return self._shipped
        with self._lock:
            policies = self._by_blob.get(blob)
        if policies is None:
            text = unit.blob(blob).decode()
            try:
                policies = RolePolicies.parse(text) if text else self._shipped
            except RulesError as error:
                raise StoreError(f"cannot read the active role policies: {error}") from error
            with self._lock:
                self._by_blob[blob] = policies
        return policies


def describe_actor(actor: Actor) -> dict[str, object]:
    """Return the id, roles and limits of an actor, and the actions that it may do to some resource."""
    caller = actor.caller
    customers = sorted(caller.scope.customers or ())
    resources = [Resource.feature(), Resource.item("*"), Resource.catalog(), Resource.store()]
    for customer in customers or ["*"]:
        resources += [
            Resource.customer_of(customer),
            Resource.subscription("*", customer),
            Resource.item("*", customer),
        ]
    data: dict[str, object] = {
        "id": caller.id,
        "kind": caller.kind,
        "name": caller.name,
        "roles": sorted(caller.roles),
        "may": sorted(action for action in Action if any(actor.may(action, resource) for resource in resources)),
    }
    if caller.scope.actions is not None:
        data["actions"] = sorted(caller.scope.actions)
    if caller.scope.customers is not None:
        data["customers"] = customers
    return data


def active_roles(unit: ReadUnit, policies: RolePolicies) -> dict[str, object]:
    """Return the active role policies, `policies`, as JSON data."""
    return {
        "text": policies.text,
        "roles": sorted(policies.roles),
        "publication": unit.head().publication,
        "shipped": policies.text == builtin_text(ROLES),
    }


def get_draft(unit: ReadUnit) -> RolesDraft:
    """Return the draft; the shipped policies if nothing is drafted."""
    return _draft(_find_file(unit))


def save_draft(actor: Actor, unit: WriteUnit, text: str, expected: Precondition) -> RolesDraft:
    """Save a draft, which must be publishable."""
    actor.require(Action.EDIT_ROLES, Resource.store())
    RolePolicies.parse(text)
    before = _find_file(unit)
    expected.check(_KIND, ROLES, 0 if before is None else before.etag)
    after = put_policy_file(unit, ROLES, ROLES, text)
    if before is None or before.etag != after.etag:
        data = None if before is None else {"text": before.text}
        unit.audit("roles.drafted", "roles", "draft", before=data, after={"text": text})
    return _draft(after)


def discard_draft(actor: Actor, unit: WriteUnit, expected: Precondition) -> None:
    """Discard the draft, so that the shipped role policies are the draft again."""
    actor.require(Action.EDIT_ROLES, Resource.store())
    before = _find_file(unit)
    if before is None:
        raise NotFoundError(_KIND, ROLES)
    expected.check(_KIND, ROLES, before.etag)
    remove_files(unit.session, [(ROLES, ROLES)])
    unit.audit("roles.draft_dropped", "roles", "draft", before={"text": before.text})


def _find_file(unit: ReadUnit) -> PolicyFile | None:
    try:
        return find_policy_file(unit.session, ROLES, ROLES)
    except NotFoundError:
        return None


def _draft(file: PolicyFile | None) -> RolesDraft:
    return RolesDraft(builtin_text(ROLES), 0) if file is None else RolesDraft(file.text, file.etag)
