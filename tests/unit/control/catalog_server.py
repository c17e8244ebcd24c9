"""The endpoints of the working catalog, served on a store, with short ways to ask them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import insert, select

from tests.admin import serving
from tiergate.control.api import features, items
from tiergate.store import SYSTEM, Store
from tiergate.store.subject_writer import write_customer_parts, write_subscription_parts
from tiergate.store.tables import AUDIT, CUSTOMERS, SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.admin import Admin
    from tiergate.model import Customer, Subscription
    from tiergate.store import WriteUnit


class Working:
    """A store with the API of its working catalog, and an admin who asks."""

    def __init__(self, store: Store, admin: Admin) -> None:
        self.store = store
        self.admin = admin
        self.client = admin.as_("admin")

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Ask as an admin; a body that is no text is written as JSON."""
        content = None if body is None else body if isinstance(body, str) else msgspec.json.encode(body)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is not None:
            sent["content-type"] = "application/json"
        return self.client.request(method, path, content=content, headers=sent)

    def make(self, path: str, *bodies: dict[str, Any]) -> None:
        """Create some entries."""
        for body in bodies:
            answer = self.ask("POST", path, body)
            assert answer.status_code == 201, answer.text

    def audit(self) -> list[tuple[str, str, Any, Any]]:
        """What the audit log says: action, resource, before and after."""
        table = AUDIT
        query = select(table).order_by(table.c.id)
        rows = self.store.read(lambda unit: unit.session.connection().execute(query).all())
        return [(row.action, row.resource, _said(row.before), _said(row.after)) for row in rows]

    def add_subject(self, customer: Customer, *subscriptions: Subscription) -> None:
        """Write a customer with subscriptions, unchecked."""

        def work(unit: WriteUnit) -> None:
            times = {"etag": 1, "created_at": unit.now, "updated_at": unit.now}
            connection = unit.session.connection()
            own = {"id": customer.id, "tags": "[]", "attributes": "{}", **times}
            connection.execute(insert(CUSTOMERS), [own])
            write_customer_parts(unit.session, customer)
            for held in subscriptions:
                row = {"id": held.id, "customer": held.customer, "status": held.status.value, **times}
                connection.execute(insert(SUBSCRIPTIONS), [row])
                write_subscription_parts(unit.session, held)

        self.store.change(work, SYSTEM)


def problem(answer: httpx.Response) -> tuple[int, str, list[tuple[str, str]]]:
    """Status, name and errors of a problem document."""
    said = answer.json()
    errors = [(error["pointer"], error["code"]) for error in said.get("errors", [])]
    return answer.status_code, said["type"].removeprefix("urn:tiergate:problem:"), errors


def _said(text: str | None) -> Any:  # noqa: ANN401 - any JSON
    return None if text is None else msgspec.json.decode(text)


@contextmanager
def serve_working(url: str) -> Iterator[Working]:
    """Serve the working catalog of a store."""
    store = Store.open(url)
    try:
        endpoints = [*features.endpoints(), *items.endpoints()]
        with serving(store, endpoints) as admin:
            yield Working(store, admin)
    finally:
        store.close()
