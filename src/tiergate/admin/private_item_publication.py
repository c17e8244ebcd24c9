"""Plan the publication of an item for one customer: a sold one, or the plan that a buyer put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tiergate.admin.catalog_edits import audit_item
from tiergate.catalog import entitlements_data, item_head_data
from tiergate.model import Definition, Item, Rollout, Value
from tiergate.publish.changeset import Changeset, replace_catalog
from tiergate.publish.publication_plan import PublicationPlan
from tiergate.publish.published_state import current_entitlements
from tiergate.publish.rollouts import read_item_history, set_rollouts
from tiergate.store.items import add_item, read_items
from tiergate.store.publications import PublishedItem, update_published_items, versions
from tiergate.store.working_catalog import read_working, write_items

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.results import Data
    from tiergate.publish.publication_plan import Planner
    from tiergate.publish.published_state import PublishedState
    from tiergate.store import ReadUnit, WriteUnit

SELF_SERVICE: Final = "self-service"
"""The tag of features that buyers may put into their own plans."""

OWN_PREFIX: Final = "own-"
"""The prefix of the ids of the items that hold plans of buyers."""


class PrivateItem(NamedTuple):
    """An item for one customer with its entitlements; `data`: both as JSON data."""

    item: Item
    entitlements: dict[str, Value]
    data: Data


def private_item(unit: ReadUnit, item: Item, entitlements: dict[str, Value]) -> PrivateItem:
    """Return an item with its entitlements and their JSON data."""
    data = entitlements_data(entitlements, unit.published.index.features)
    return PrivateItem(item, entitlements, {**item_head_data(item), "entitlements": data})


def plan_private_item(sold: PrivateItem) -> Planner:
    """Publish an item for one customer with its first version; nothing if an item of its id exists.

    The item exists, for example, if the request is repeated.
    """
    item, entitlements, _ = sold

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        if item.id in current.catalog.items or item.id in read_items(unit):
            return _unchanged(current)
        version = max(versions(unit.session, [item.id])[item.id], default=0) + 1
        published = replace(item, versions=(Definition(version, entitlements),), rollouts=(Rollout(version),))

        def write_item(unit: WriteUnit) -> None:
            add_item(unit, item, None)
            update_published_items(unit, {item.id: PublishedItem(published.rollouts, version)})

        return _plan(current, published, published.versions, None, sold.data, write_item)

    return plan


def plan_own_plan(wanted: PrivateItem) -> Planner:
    """Publish the own plan of a customer with its first or next version.

    Publishes nothing if the plan gives the same already, or if its id is another item's.
    """
    item, entitlements, _ = wanted

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        known = current.catalog.items.get(item.id)
        working = read_working(unit.session, (), [item.id]).items.get(item.id)
        if known is None and working is None:
            return plan_private_item(wanted)(unit, current)
        if known is None or working is None or working.item.private_to != item.private_to:
            return _unchanged(current)
        if current_entitlements(known, unit.now) == entitlements and known.name == item.name:
            return _unchanged(current)
        history = read_item_history(unit, [item.id])[item.id]
        definitions = {**history.versions, **{it.version: it for it in known.versions}}
        new: tuple[Definition, ...] = ()
        version = max((number for number, it in definitions.items() if it.entitlements == entitlements), default=0)
        if not version:
            version = max(definitions, default=0) + 1
            definitions[version] = Definition(version, entitlements)
            new = (definitions[version],)
        head = replace(item, metadata=known.metadata, service_levels=known.service_levels)
        published = set_rollouts(replace(head, versions=known.versions), (Rollout(version),), definitions, history.pins)

        def write_item(unit: WriteUnit) -> None:
            newest = max(working.newest, version)
            write_items(unit, [working._replace(item=head, rollouts=published.rollouts, draft=None, newest=newest)])

        return _plan(current, published, new, working.etag, {**wanted.data, "version": version}, write_item)

    return plan


def _unchanged(current: PublishedState) -> PublicationPlan:
    return PublicationPlan(Changeset(current.catalog, current.rules, current.roles))


def _plan(
    current: PublishedState,
    item: Item,
    new: tuple[Definition, ...],
    etag: int | None,
    data: Data,
    write_item: Callable[[WriteUnit], None],
) -> PublicationPlan:
    """Plan to publish an item beside the rest. `new`: its new versions; `data`: for the audit log."""

    def also(unit: WriteUnit, sequence: int) -> None:
        write_item(unit)
        audit_item(unit, "item.sold", item, after={**data, "publication": sequence})

    changeset = Changeset(
        replace_catalog(current.catalog, items={**current.catalog.items, item.id: item}),
        current.rules,
        current.roles,
        versions=tuple((item.id, definition) for definition in new),
        items_read={item.id: etag},
    )
    return PublicationPlan(changeset, note=f"`{item.id}`, for `{item.private_to}` alone", also=also)
