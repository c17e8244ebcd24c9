"""The actor of a use case: who it is, what it may do, and why it acts.

Every use case takes an `Actor` first, then a transaction (`ReadUnit` or `WriteUnit`), then plain values; it returns
values and raises errors of `tiergate.errors`. For example::

    def delete_note(actor: Actor, unit: WriteUnit, customer: str, note: str, expected: Precondition) -> None:
        actor.require(Action.EDIT_CUSTOMER, Resource.customer_of(customer))
        row = find_note(unit, customer, note)
        expected.check("note", note, row.etag)
        remove_note(unit, note)
        unit.audit("note.deleted", "note", note, before=as_data(row), customer=customer)

INVARIANT (errors close): a role policy that fails to evaluate denies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import structlog

from tiergate.errors import ForbiddenError
from tiergate.store import Author

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.permissions import Action, Caller, Permission, Resource
    from tiergate.store import Store, WriteUnit

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Actor:
    """An authenticated caller with its permissions.

    `reason`: why it acts, in its own words, for the audit log; `request_id`: for the audit log and the logs.
    """

    caller: Caller
    allows: Callable[[Action, Resource], Permission]
    reason: str = ""
    request_id: str = ""

    @property
    def id(self) -> str:
        """The caller's id, as overrides and the audit log name it."""
        return self.caller.id

    @property
    def author(self) -> Author:
        """The caller, as the store's audit log names it."""
        return Author(self.caller.id, self.caller.kind)

    def change(self, store: Store, work: Callable[[WriteUnit], T], *, brief: bool = False) -> T:
        """Run `work` in one transaction of this actor. `brief`: it takes milliseconds, and publishes nothing."""
        return store.change(work, self.author, request_id=self.request_id, reason=self.reason, brief=brief)

    def require(self, action: Action, resource: Resource) -> None:
        """Require a permission, or raise `ForbiddenError`."""
        enforce(self.caller, action, resource, self.allows(action, resource))

    def may(self, action: Action, resource: Resource) -> bool:
        """Return whether the caller has a permission."""
        return self.allows(action, resource).allowed


def enforce(
    caller: Caller, action: Action, resource: Resource, permission: Permission, purpose: Action | None = None
) -> None:
    """Raise `ForbiddenError` if a permission was denied, and log it; `purpose`: what the caller asks for in the end."""
    if permission.errors:
        _log.error("role policy failed to evaluate: denied", caller=caller.id, action=action, errors=permission.errors)
    if not permission.allowed:
        _log.info("permission denied", caller=caller.id, action=action, resource=resource.type, id=resource.id)
        scoped = any(policy.startswith("scope/") for policy in permission.policies)
        raise ForbiddenError(action, resource.type, scoped=scoped, purpose=purpose or "")
