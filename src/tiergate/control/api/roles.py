"""The table of roles over HTTP: what is in force, what is drafted, what a caller may do. Publishing is elsewhere."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import cachetools
import msgspec

from tiergate.cedar import builtin_text
from tiergate.control.api.request import Answer, etag_text
from tiergate.control.api.router import Endpoint, Open
from tiergate.errors import NotFoundError, RulesError, StoreError
from tiergate.permissions import Action, Resource, RolePolicies, shipped_roles
from tiergate.store.policy_files import ROLES, find_policy_file, put_policy_file, remove_files
from tiergate.store.publications import publication

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.store import ReadUnit, Store, WriteUnit
    from tiergate.store.policy_files import PolicyFile

_KEPT_TABLES: Final = 4
_MAX_BODY: Final = 2**20


class PublishedRoles:
    """The table of roles of the publication in force; the shipped one until one was published.

    INVARIANT (errors close): a table that cannot be read, as after a downgrade, allows nothing to anybody.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shipped = shipped_roles()
        self._tables: cachetools.LRUCache[str, RolePolicies] = cachetools.LRUCache(_KEPT_TABLES)
        self._by_sequence: cachetools.LRUCache[int, RolePolicies] = cachetools.LRUCache(_KEPT_TABLES)
        self._lock = threading.Lock()

    def __call__(self) -> RolePolicies:
        """Give the table that is in force now.

        Raises:
            StoreError: the store cannot be read, or what is in force is no table of this version.
        """
        return self._store.read(self.of)

    def of(self, unit: ReadUnit) -> RolePolicies:
        """Give the table in force as a transaction sees it.

        Raises:
            StoreError: what is in force is no table of this version.
        """
        sequence = unit.head().publication
        if not sequence:
            return self._shipped
        with self._lock:
            known = self._by_sequence.get(sequence)  # what a publication fixed never changes
        if known is None:
            known = self._read(unit, publication(unit.session, sequence).roles)
            with self._lock:
                self._by_sequence[sequence] = known
        return known

    def _read(self, unit: ReadUnit, blob: str) -> RolePolicies:
        if not blob:
            return self._shipped
        with self._lock:
            table = self._tables.get(blob)
        if table is None:
            text = unit.blob(blob).decode()
            try:
                table = RolePolicies.parse(text) if text else self._shipped
            except RulesError as error:
                raise StoreError(f"the table of roles in force cannot be read: {error}") from error
            with self._lock:
                self._tables[blob] = table
        return table


class _Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str


def endpoints(roles: PublishedRoles) -> list[Endpoint]:
    """What there is about roles."""
    store = Resource.store()

    def in_force(request: AdminRequest) -> Answer:
        """Show the table of roles that is in force."""
        return Answer.json(request.read(lambda unit: _shown(unit, roles.of(unit))))

    return [
        Endpoint("GET", "/v1/whoami", Open.AUTHENTICATED, whoami),
        Endpoint("GET", "/v1/roles", Action.VIEW, in_force, store),
        Endpoint("GET", "/v1/roles/draft", Action.VIEW, draft, store),
        Endpoint("PUT", "/v1/roles/draft", Action.EDIT_ROLES, edit_draft, store, max_body=_MAX_BODY),
        Endpoint("DELETE", "/v1/roles/draft", Action.EDIT_ROLES, drop_draft, store),
    ]


def whoami(request: AdminRequest) -> Answer:
    """Say who the caller is, and what it may do to something."""
    caller = request.caller
    narrowed = sorted(caller.scope.customers or ())
    on = [Resource.feature(), Resource.item("*"), Resource.catalog(), Resource.store()]
    for customer in narrowed or ["*"]:
        on += [Resource.customer_of(customer), Resource.subscription("*", customer), Resource.item("*", customer)]
    said: dict[str, object] = {
        "id": caller.id,
        "kind": caller.kind,
        "name": caller.name,
        "roles": sorted(caller.roles),
        "may": sorted(action for action in Action if any(request.may(action, it) for it in on)),
    }
    if caller.scope.actions is not None:
        said["actions"] = sorted(caller.scope.actions)
    if caller.scope.customers is not None:
        said["customers"] = narrowed
    return Answer.json(said)


def draft(request: AdminRequest) -> Answer:
    """Show the table of roles as it is drafted, which is the shipped one where there is no other."""
    return _drafted(request.read(_found))


def edit_draft(request: AdminRequest) -> Answer:
    """Draft a table of roles, which must be one that could be published."""
    text = request.decode(_Draft).text
    RolePolicies.parse(text)

    def work(unit: WriteUnit) -> Answer:
        before = _found(unit)
        request.check_etag("draft of the roles", ROLES, 0 if before is None else before.etag)
        after = put_policy_file(unit, ROLES, ROLES, text)
        if before is None or before.etag != after.etag:
            said = None if before is None else {"text": before.text}
            unit.audit("roles.drafted", "roles", "draft", before=said, after={"text": text})
        return _drafted(after)

    return request.change(work)


def drop_draft(request: AdminRequest) -> Answer:
    """Draft the table of roles as shipped, by dropping what was drafted."""

    def work(unit: WriteUnit) -> Answer:
        before = _found(unit)
        if before is None:
            raise NotFoundError("draft of the roles", ROLES)
        request.check_etag("draft of the roles", ROLES, before.etag)
        remove_files(unit.session, [(ROLES, ROLES)])
        unit.audit("roles.draft_dropped", "roles", "draft", before={"text": before.text})
        return Answer.empty()

    return request.change(work)


def _found(unit: ReadUnit) -> PolicyFile | None:
    try:
        return find_policy_file(unit.session, ROLES, ROLES)
    except NotFoundError:
        return None


def _shown(unit: ReadUnit, table: RolePolicies) -> dict[str, object]:
    return {
        "text": table.text,
        "roles": sorted(table.roles),
        "publication": unit.head().publication,
        "shipped": table.text == builtin_text("roles"),
    }


def _drafted(file: PolicyFile | None) -> Answer:
    text, etag = (builtin_text("roles"), 0) if file is None else (file.text, file.etag)
    return Answer.json({"text": text, "etag": etag_text(etag), "shipped": text == builtin_text("roles")}, etag=etag)
