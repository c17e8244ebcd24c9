"""Plan changes that take effect immediately, whatever else is pending: rollouts, pins to past versions, suspensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog import suspension_data
from tiergate.errors import ConflictError, NotFoundError
from tiergate.model import FOREVER, Suspension, format_instant
from tiergate.naming import nearest
from tiergate.publish.changeset import Changeset, etags_of, replace_catalog
from tiergate.publish.draft_rebase import rebase_draft
from tiergate.publish.publication_plan import PublicationPlan
from tiergate.publish.rollouts import (
    find_narrowed,
    find_redundant_rollout,
    prune_rollouts,
    read_item_history,
    set_rollouts,
)
from tiergate.store.working_catalog import read_working, write_features, write_items

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tiergate.model import Feature, Instant, Item, Rollout
    from tiergate.publish.publication_plan import Planner
    from tiergate.publish.published_state import PublishedState
    from tiergate.store import ReadUnit, WriteUnit

    ChangeSuspensions = Callable[[tuple[Suspension, ...]], tuple[Suspension, ...]]


def plan_rollouts(
    item: str,
    change: Callable[[tuple[Rollout, ...], Instant], Sequence[Rollout]],
    *,
    may_narrow: bool = False,
    note: str = "",
) -> Planner:
    """Plan to change the rollouts of a published item: `change` makes the new ones, in order, from the current ones.

    Unless it `may_narrow`, the plan is rejected if a customer would get a lower version.
    """

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        published = _published_item(unit, current, item)
        history = read_item_history(unit, [item])[item]
        versions = history.versions_with(published)
        wanted = tuple(change(published.rollouts, unit.now))
        for rollout in wanted:
            if rollout.version not in versions:
                raise NotFoundError("version", f"{item}@{rollout.version}")
        narrowed = find_narrowed(published.rollouts, wanted, unit.now)
        if narrowed and not may_narrow:
            listed = ", ".join(str(version) for version in sorted({rollout.version for rollout in narrowed}))
            detail = f"some who get version {listed} of `{item}` would get a lower one, or later"
            raise ConflictError("rollout-narrowed", f"{detail}: give `narrow` to confirm")
        rollouts = prune_rollouts(wanted, unit.now)
        redundant = find_redundant_rollout(published.rollouts, rollouts)
        if redundant is not None:
            detail = f"everybody in this audience already gets version {redundant.version} of `{item}`"
            raise ConflictError("rollout-without-effect", f"{detail}, by an earlier rollout")
        after = set_rollouts(published, rollouts, versions, history.pins)
        return _replace_item(unit, current, published, after, note)

    return plan


def plan_pins(pins: Mapping[str, Collection[int]], note: str = "") -> Planner:
    """Plan to publish past versions of items again, so that subscriptions can be pinned to them."""

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        items = dict(current.catalog.items)
        for id_, wanted in sorted(pins.items()):
            published = _published_item(unit, current, id_)
            missing = set(wanted) - {definition.version for definition in published.versions}
            if not missing:
                continue
            history = read_item_history(unit, [id_])[id_]
            for version in sorted(missing - history.versions.keys()):
                raise NotFoundError("version", f"{id_}@{version}")
            versions = history.versions_with(published)
            items[id_] = set_rollouts(published, published.rollouts, versions, history.pins | set(wanted))
        catalog = replace_catalog(current.catalog, items=items)
        return PublicationPlan(Changeset(catalog, current.rules, current.roles), note=note)

    return plan


def plan_suspension(feature: str, suspension: Suspension, note: str = "") -> Planner:
    """Plan to suspend a published feature for all customers."""

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        published = _published_feature(unit, current, feature)
        return _replace_feature(
            unit, current, published, lambda before: (*before, suspension), "feature.suspended", suspension, note
        )

    return plan


def plan_resumption(feature: str, number: int, note: str = "") -> Planner:
    """Plan to remove a suspension; `number`: its place among those of the published feature, from 1."""

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        published = _published_feature(unit, current, feature)
        if not 1 <= number <= len(published.suspensions):
            raise NotFoundError("suspension", f"{feature}/{number}")
        removed = published.suspensions[number - 1]

        def without(before: tuple[Suspension, ...]) -> tuple[Suspension, ...]:
            place = before.index(removed) if removed in before else len(before)
            return before[:place] + before[place + 1 :]

        return _replace_feature(unit, current, published, without, "feature.resumed", removed, note)

    return plan


def _replace_item(unit: ReadUnit, current: PublishedState, before: Item, after: Item, note: str) -> PublicationPlan:
    working = read_working(unit.session, (), [after.id]).items

    def also(unit: WriteUnit, sequence: int) -> None:
        rebased = [
            item._replace(rollouts=after.rollouts, draft=rebase_draft(item.draft, before, after, unit.now))
            for item in working.values()
        ]
        write_items(unit, rebased)
        unit.audit(
            "item.rollouts_changed",
            "item",
            after.id,
            before={"rollouts": before.rollouts},
            after={"rollouts": after.rollouts, "publication": sequence},
            customer=after.private_to or None,
        )

    catalog = replace_catalog(current.catalog, items={**current.catalog.items, after.id: after})
    changeset = Changeset(catalog, current.rules, current.roles, items_read=etags_of(working, working))
    return PublicationPlan(changeset, note=note, also=also)


def _replace_feature(
    unit: ReadUnit,
    current: PublishedState,
    published: Feature,
    change: ChangeSuspensions,
    action: str,
    suspension: Suspension,
    note: str,
) -> PublicationPlan:
    id_, after = published.id, _with_suspensions(published, change)
    working = read_working(unit.session, [id_], ()).features

    def also(unit: WriteUnit, _: int) -> None:
        write_features(unit, [_with_suspensions(row.feature, change) for row in working.values()])
        unit.audit(action, "feature", id_, after={"feature": id_, **suspension_data(suspension)})
        until = {} if suspension.until == FOREVER else {"until": format_instant(suspension.until)}
        if suspension.start <= unit.now < suspension.until:  # what begins or ends later is told by the clock
            unit.emit(action, {"feature": id_, **until})

    catalog = replace_catalog(current.catalog, features={**current.catalog.features, id_: after})
    changeset = Changeset(catalog, current.rules, current.roles, features_read=etags_of(working, working))
    return PublicationPlan(changeset, note=note, also=also)


def _with_suspensions(feature: Feature, change: ChangeSuspensions) -> Feature:
    suspensions = sorted(change(feature.suspensions), key=lambda it: (it.start, it.until, it.reason))
    return replace(feature, suspensions=tuple(suspensions))


def _published_item(unit: ReadUnit, current: PublishedState, id_: str) -> Item:
    item = current.catalog.items.get(id_)
    if item is not None:
        return item
    if id_ in read_working(unit.session, (), [id_]).items:
        raise ConflictError("not-published", f"the item `{id_}` is not published yet")
    public = (item.id for item in current.catalog.items.values() if not item.private_to)
    raise NotFoundError("item", id_, nearest(id_, public))


def _published_feature(unit: ReadUnit, current: PublishedState, id_: str) -> Feature:
    feature = current.catalog.features.get(id_)
    if feature is not None:
        return feature
    if id_ in read_working(unit.session, [id_], ()).features:
        raise ConflictError("not-published", f"the feature `{id_}` is not published, so it cannot be suspended")
    raise NotFoundError("feature", id_, nearest(id_, current.catalog.features))
