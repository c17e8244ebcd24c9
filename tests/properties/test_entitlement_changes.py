"""The entitlements that a change changes, found by what customers hold, against all of them resolved one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import event, given

from tests.properties.choices import Choices, random_strategy
from tests.properties.test_losses import change, worlds
from tests.reference.entitlement import boundaries, millis
from tiergate.admin.entitlement_changes import changes_between, entitlement_changes
from tiergate.admin.entitlements_by_shape import EntitlementsByShape, shape_of
from tiergate.engine.active_items import resolve_active_items
from tiergate.impact.subject_change.change_effects import CatalogDefinitions
from tiergate.model import Subject

if TYPE_CHECKING:
    from tests.properties.documents import Document

NOW = millis("2026-02-01T00:00:00.001Z")


def plain_change(choose: Choices) -> tuple[Document, Document, Document, str]:
    """A world and its subjects after a change of one customer; mostly without exceptions from what items give."""
    catalog, before, after, customer, _ = change(choose)
    if choose.number(0, 3):
        for side in (before, after):
            for holder in (*side["customers"], *side["subscriptions"]):
                holder.pop("overrides", None)
                holder.pop("suspensions", None)
    return catalog, before, after, customer


plain_changes = random_strategy(plain_change)


@given(plain_changes())
def test_shapes_say_what_each_feature_says(drawn: tuple[Document, Document, Document, str]) -> None:
    """At every instant, a change, a new customer and a deleted one change the same, all features looked at or not."""
    catalog, before, after, customer = drawn
    old, new = worlds(catalog, before, after)
    source = CatalogDefinitions(old.catalog, old.bundle.index)
    kept = EntitlementsByShape(source)
    records = old.records[customer], new.records[customer]
    plain = 0
    for at in sorted({NOW, *boundaries(before, after, catalog)})[:6]:
        for one, other in (records, (None, records[1]), (records[0], None)):
            whole = entitlement_changes(((one, at), (other, at)), source.index.features, source)
            assert changes_between(one, other, at, kept) == whole
            sides = [it for it in (one, other) if it is not None]
            items = [resolve_active_items(it, Subject(customer), source.index, at) for it in sides]
            plain += all(shape_of(it) is not None for it in items) and bool(whole)
    event("found by shape" if plain else "resolved")
