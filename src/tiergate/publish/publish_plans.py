"""What can be published: the pending edits, and the few things that act at once by a publication of their own.

Each function makes a planner for `Publisher.publish` and `Publisher.preview`. What acts at once (suspensions,
rollouts, versions for pins) contains only that change on top of the published catalog, whatever else is pending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog import suspension_data
from tiergate.errors import ConflictError, NotFoundError
from tiergate.model import FOREVER, Feature, Item, Rollout, Suspension, format_instant
from tiergate.naming import nearest
from tiergate.publish.changeset import ALL_EDITS, Changeset, EditSelection, ItemHistory, build_changeset, sort_by_id
from tiergate.publish.draft_rebase import rebase_draft
from tiergate.publish.publication_plan import PublicationPlan
from tiergate.publish.published_state import PendingEdits, PublishedState, find_pending_edits
from tiergate.publish.rollouts import RolloutTarget, find_narrowed, find_redundant_rollout, prune_rollouts, set_rollouts
from tiergate.store.policy_files import policy_files
from tiergate.store.publications import versions
from tiergate.store.value_references import pinned_versions
from tiergate.store.working_catalog import read_working, write_features, write_items

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tiergate.model import Catalog, Instant
    from tiergate.publish.publication_plan import Planner
    from tiergate.store import ReadUnit, WriteUnit


def read_pending_edits(unit: ReadUnit, current: PublishedState) -> PendingEdits:
    """All that is not published yet."""
    return find_pending_edits(current, read_working(unit.session), policy_files(unit.session), unit.now)


def plan_pending_edits(
    choice: EditSelection = ALL_EDITS,
    *,
    target: RolloutTarget | None = None,
    targets: Mapping[str, RolloutTarget] | None = None,
    note: str = "",
) -> Planner:
    """Publish the chosen edits. `target`: whom new versions are for; `targets`: the same of single items, by id."""

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        pending = read_pending_edits(unit, current)
        meant = pending.items.keys() if choice.items is None else choice.items
        ids = [id_ for id_ in meant if id_ in pending.items or id_ in pending.idle]
        whom = dict.fromkeys(ids, target) if target is not None else {}
        whom.update(targets or {})
        changeset = build_changeset(current, pending, choice, read_item_history(unit, ids), whom, unit.now)
        return PublicationPlan(changeset, note=note)

    return plan


def read_item_history(unit: ReadUnit, items: Collection[str]) -> dict[str, ItemHistory]:
    """The versions that items ever had, and those that are pinned."""
    known, pins = versions(unit.session, items), pinned_versions(unit.session, items)
    return {id_: ItemHistory(known[id_], pins[id_]) for id_ in items}


# ── Suspensions for everybody ────────────────────────────────────────────────────────────────────────────────────────


def plan_suspension(feature: str, suspension: Suspension, note: str = "") -> Planner:
    """Suspend a published feature for everybody."""

    def added(before: tuple[Suspension, ...]) -> tuple[Suspension, ...]:
        return (*before, suspension)

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        return _suspended(unit, current, feature, added, "feature.suspended", suspension, note)

    return plan


def plan_resumption(feature: str, number: int, note: str = "") -> Planner:
    """Take back the suspension of this number, from 1, in the order in which the published feature has them."""

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        known = _published_feature(unit, current, feature).suspensions
        if not 1 <= number <= len(known):
            raise NotFoundError("suspension", f"{feature}/{number}")
        gone = known[number - 1]

        def without(before: tuple[Suspension, ...]) -> tuple[Suspension, ...]:
            place = before.index(gone) if gone in before else len(before)
            return before[:place] + before[place + 1 :]

        return _suspended(unit, current, feature, without, "feature.resumed", gone, note)

    return plan


def _suspended(
    unit: ReadUnit,
    current: PublishedState,
    id_: str,
    change: Callable[[tuple[Suspension, ...]], tuple[Suspension, ...]],
    action: str,
    suspension: Suspension,
    note: str,
) -> PublicationPlan:
    published = _published_feature(unit, current, id_)
    features = dict(current.catalog.features)
    features[id_] = _with_suspensions(published, change)
    working = read_working(unit.session, [id_], ()).features.get(id_)
    said: dict[str, object] = {"feature": id_, **suspension_data(suspension)}
    told = {"feature": id_} | ({} if suspension.until == FOREVER else {"until": format_instant(suspension.until)})

    def also(unit: WriteUnit, _: int) -> None:
        if working is not None:
            write_features(unit, [_with_suspensions(working.feature, change)])
        unit.audit(action, "feature", id_, after=said)
        unit.emit(action, told)

    changeset = Changeset(
        replace_catalog(current.catalog, features=features),
        current.rules,
        current.roles,
        features_read={} if working is None else {id_: working.etag},
    )
    return PublicationPlan(changeset, note=note, also=also)


def _with_suspensions(feature: Feature, change: Callable[[tuple[Suspension, ...]], tuple[Suspension, ...]]) -> Feature:
    found = sorted(change(feature.suspensions), key=lambda one: (one.start, one.until, one.reason))
    return replace(feature, suspensions=tuple(found))


def _published_feature(unit: ReadUnit, current: PublishedState, id_: str) -> Feature:
    found = current.catalog.features.get(id_)
    if found is not None:
        return found
    if id_ in read_working(unit.session, [id_], ()).features:
        raise ConflictError("not-published", f"the feature `{id_}` is not published, so there is nothing to suspend")
    raise NotFoundError("feature", id_, nearest(id_, current.catalog.features))


# ── Rollouts and pins ────────────────────────────────────────────────────────────────────────────────────────────────


def plan_rollouts(
    item: str,
    change: Callable[[tuple[Rollout, ...], Instant], Sequence[Rollout]],
    *,
    may_narrow: bool = False,
    note: str = "",
) -> Planner:
    """Change the rollouts of a published item: `change` makes the new ones, in their order, out of those in force.

    What takes a version away from anybody who has it is refused, unless it `may_narrow`.
    """

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        published = _published_item(unit, current, item)
        parts = read_item_history(unit, [item])[item]
        known = {**parts.versions, **{it.version: it for it in published.versions}}
        wanted = tuple(change(published.rollouts, unit.now))
        for rollout in wanted:
            if rollout.version not in known:
                raise NotFoundError("version", f"{item}@{rollout.version}")
        lost = find_narrowed(published.rollouts, wanted, unit.now)
        if lost and not may_narrow:
            listed = ", ".join(str(version) for version in sorted({rollout.version for rollout in lost}))
            detail = f"some who get version {listed} of `{item}` would get a lower one, or later"
            raise ConflictError("rollout-narrowed", f"{detail}: say `narrow` if that is meant")
        kept = prune_rollouts(wanted, unit.now)
        idle = find_redundant_rollout(published.rollouts, kept)
        if idle is not None:
            detail = (
                f"everybody in this audience gets version {idle.version} of `{item}` already, by a rollout before it"
            )
            raise ConflictError("rollout-without-effect", detail)
        after = set_rollouts(published, kept, known, parts.pins)
        return _of_item(unit, current, published, after, "item.rollouts_changed", note)

    return plan


def plan_pins(pins: Mapping[str, Collection[int]], note: str = "") -> Planner:
    """Put versions that were published into the bundle, so that subscriptions can be pinned to them."""

    def plan(unit: ReadUnit, current: PublishedState) -> PublicationPlan:
        items = dict(current.catalog.items)
        for id_, wanted in sorted(pins.items()):
            published = _published_item(unit, current, id_)
            missing = set(wanted) - {it.version for it in published.versions}
            if not missing:
                continue
            parts = read_item_history(unit, [id_])[id_]
            for version in sorted(missing - parts.versions.keys()):
                raise NotFoundError("version", f"{id_}@{version}")
            known = {**parts.versions, **{it.version: it for it in published.versions}}
            items[id_] = set_rollouts(published, published.rollouts, known, parts.pins | set(wanted))
        catalog = replace_catalog(current.catalog, items=items)
        return PublicationPlan(Changeset(catalog, current.rules, current.roles), note=note)

    return plan


def _of_item(
    unit: ReadUnit, current: PublishedState, before: Item, after: Item, action: str, note: str
) -> PublicationPlan:
    working = read_working(unit.session, (), [after.id]).items.get(after.id)

    def also(unit: WriteUnit, sequence: int) -> None:
        if working is not None:
            draft = rebase_draft(working.draft, before, after, unit.now)
            write_items(unit, [working._replace(rollouts=after.rollouts, draft=draft)])
        unit.audit(
            action,
            "item",
            after.id,
            before={"rollouts": before.rollouts},
            after={"rollouts": after.rollouts, "publication": sequence},
            customer=after.private_to or None,
        )

    changeset = Changeset(
        replace_catalog(current.catalog, items={**current.catalog.items, after.id: after}),
        current.rules,
        current.roles,
        items_read={} if working is None else {after.id: working.etag},
    )
    return PublicationPlan(changeset, note=note, also=also)


def _published_item(unit: ReadUnit, current: PublishedState, id_: str) -> Item:
    found = current.catalog.items.get(id_)
    if found is not None:
        return found
    if id_ in read_working(unit.session, (), [id_]).items:
        raise ConflictError("not-published", f"the item `{id_}` is not published yet")
    public = (it.id for it in current.catalog.items.values() if not it.private_to)
    raise NotFoundError("item", id_, nearest(id_, public))


def replace_catalog(
    catalog: Catalog, *, features: Mapping[str, Feature] | None = None, items: Mapping[str, Item] | None = None
) -> Catalog:
    """A catalog with other features or items."""
    return replace(
        catalog,
        features=catalog.features if features is None else sort_by_id(features),
        items=catalog.items if items is None else sort_by_id(items),
    )
