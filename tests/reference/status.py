"""A model of the status of features, written as section 11 of the design says it, without any of the product's code.

A report is a document: `feature`, `status`, `start`, `until` (or none), and perhaps `audience` with `tags` and `items`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.reference.entitlement import counting_items, live

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.reference.entitlement import Catalogue, Document

WORST_LAST = ("operational", "maintenance", "degraded", "partial", "down")


def concerned(world: Catalogue, subject: Any, now: int) -> tuple[set[str], set[str]]:  # noqa: ANN401 - a document's value
    """The tags and the items by which reports can concern a subject; none of somebody who does not exist."""
    if isinstance(subject, str):
        subject = {"type": "customer", "id": subject}
    subscriptions = [
        it
        for it in world.subscriptions.values()
        if subject["id"] == (it["customer"] if subject["type"] == "customer" else it["id"])
    ]
    if subject["type"] == "customer":
        customer = world.customers.get(subject["id"])
    else:
        customer = world.customers[subscriptions[0]["customer"]] if subscriptions else None
    if customer is None:
        return set(), set()
    items = {
        item["id"]
        for subscription in subscriptions
        if live(subscription, now)
        for _, item, _ in counting_items(world, subscription, customer, now)
    }
    return set(customer.get("tags", [])), items


def status_of(reports: Iterable[Document], tags: set[str], items: set[str], now: int) -> Document:
    """The status at an instant, and since when it is reported, unless it is operational."""
    found: Document = {"status": "operational"}
    for report in reports:
        audience = report.get("audience")
        if audience is not None and not (tags & set(audience["tags"]) or items & set(audience["items"])):
            continue
        if now < report["start"] or ("until" in report and now >= report["until"]):
            continue
        worse = WORST_LAST.index(report["status"]) - WORST_LAST.index(found["status"])
        if worse > 0 or (worse == 0 and report["start"] < found["since"]):
            found = {"status": report["status"], "since": report["start"]}
    return found
