"""Mutations of what a catalog says beside its values: fields of features, rollouts, and what items need to count.

Each is one field, or one entry of a list, that is missing, one step less or more, or the other of two choices. Values
(`targets`) and rules (`rule_mutations`) have mutations of their own. What decides nothing in a test is no mutation:
names, units, `linked`, `min`, `excludes`, and how usage is counted over time, which a test states itself.

INVARIANT (no unit without effect): a mutation that no check could ever show is left out.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tiergate.engine.active_items import items_with_bases
from tiergate.model import (
    BEGINNING,
    FOREVER,
    AddedAmount,
    Amount,
    Audience,
    AudienceType,
    Combine,
    Feature,
    FeatureStatus,
    FeatureType,
    ItemKind,
    ItemStatus,
    LimitKind,
    Metered,
    PlansPerSubscription,
    Rollout,
    Suspension,
    format_instant,
    format_units,
)
from tiergate.model.features import COUNTED
from tiergate.model.items import SHARE_STEPS
from tiergate.policytest.coverage.rollout_effects import differing_versions
from tiergate.policytest.coverage.targets import Aspect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from tiergate.model import CatalogIndex, IndexedItem, Value

_EVERYBODY: Final = Audience()
_MOST_REQUIRED: Final = 10


class FeatureMutation(NamedTuple):
    """A feature with one thing otherwise. `part`: which, such as `caps/per_user`; `says`: what it says."""

    part: str
    aspect: Aspect
    says: str
    feature: Feature


class ItemMutation(NamedTuple):
    """An item with one thing otherwise. `part`: which, such as `rollouts/2/audience`; `says`: what it says."""

    part: str
    aspect: Aspect
    says: str
    item: IndexedItem


def feature_mutations(
    feature: Feature, values: Sequence[Value], sources: Mapping[str, Feature], tags: Collection[str]
) -> Iterator[FeatureMutation]:
    """Yield the mutations of a feature that some check shows.

    `values`: all that items give of it. `sources`: the catalog's features. `tags`: those that a rule names.
    """
    is_draft = feature.status is FeatureStatus.DRAFT
    other = FeatureStatus.ACTIVE if is_draft else FeatureStatus.DRAFT
    yield FeatureMutation("status", Aspect.OTHER, feature.status.value, replace(feature, status=other))
    if is_draft:
        return
    if feature.type in COUNTED:
        yield from _combining(feature, values)
    if feature.type is FeatureType.QUANTITY:
        yield from _batch(feature)
        yield from _caps(feature)
        yield from _draws(feature, sources)
        yield from _metered(feature, values)
    if feature.type is FeatureType.RANGE:
        yield from _maximum(feature, values)
    if feature.type is FeatureType.CUSTOM:
        yield from _labels(feature, values)
    yield from _suspensions(feature)
    for tag in feature.tags:
        if tag in tags:
            rest = tuple(it for it in feature.tags if it != tag)
            yield FeatureMutation(f"tags/{tag}", Aspect.DECIDES, tag, replace(feature, tags=rest))


def _combining(feature: Feature, values: Sequence[Value]) -> Iterator[FeatureMutation]:
    """How numbers are combined: of features that items give, because of others only two overrides would show it."""
    numbers = [value.units for value in values if isinstance(value, Amount | AddedAmount) and value.units]
    if not numbers or (feature.maximum is not None and min(numbers) >= feature.maximum):
        return
    yield FeatureMutation(
        "combine", Aspect.OTHER, feature.combine.value, replace(feature, combine=_OTHER_COMBINE[feature.combine])
    )
    # Of a maximum, two subscriptions differ only in what is added to it.
    if feature.combine is Combine.SUM or any(isinstance(value, AddedAmount) and value.units for value in values):
        yield FeatureMutation(
            "across", Aspect.OTHER, feature.across.value, replace(feature, across=_OTHER_COMBINE[feature.across])
        )


_OTHER_COMBINE: Final = {Combine.SUM: Combine.MAX, Combine.MAX: Combine.SUM}


def _batch(feature: Feature) -> Iterator[FeatureMutation]:
    batch, scale = feature.batch, feature.scale
    step = batch.increment or 1
    if scale:
        # Only the check is read otherwise: every number of it that can still be read means the same.
        yield FeatureMutation("scale", Aspect.LIMIT, str(scale), replace(feature, scale=scale - 1))
    if batch.minimum is not None and batch.minimum > step:
        says = format_units(batch.minimum, scale)
        for aspect, minimum in _around(batch.minimum, step):
            changed = replace(feature, batch=replace(batch, minimum=minimum))
            yield FeatureMutation("batch/minimum", aspect, says, changed)
    if batch.increment is not None and batch.increment > 1:
        says = format_units(batch.increment, scale)
        for aspect, increment in _around(batch.increment, 1):
            changed = replace(feature, batch=replace(batch, increment=increment))
            yield FeatureMutation("batch/increment", aspect, says, changed)


def _around(number: int, step: int) -> Iterator[tuple[Aspect, int | None]]:
    """Yield a bound as missing, one step lower, and one step higher."""
    yield Aspect.DECIDES, None
    if number > step:
        yield Aspect.LIMIT, number - step
    yield Aspect.BEYOND, number + step


def _caps(feature: Feature) -> Iterator[FeatureMutation]:
    for name in ("per_user", "total"):
        cap: int | None = getattr(feature.caps, name)
        if cap is None:
            continue
        says = format_units(cap, feature.scale)
        for aspect, bound in _around(cap, 1):
            changed = replace(feature, caps=replace(feature.caps, **{name: bound}))
            yield FeatureMutation(f"caps/{name}", aspect, says, changed)


def _draws(feature: Feature, sources: Mapping[str, Feature]) -> Iterator[FeatureMutation]:
    draws = feature.draws
    if draws is None or draws.source not in sources:
        return
    says = f"{format_units(draws.cost, draws.scale)} of {draws.source}"
    yield FeatureMutation("draws", Aspect.DECIDES, says, replace(feature, draws=None))
    if sources[draws.source].status is FeatureStatus.DRAFT:  # nothing of it can be used, whatever the cost
        return
    for aspect, cost in ((Aspect.LIMIT, draws.cost - 1), (Aspect.BEYOND, draws.cost + 1)):
        if cost:
            yield FeatureMutation("draws/cost", aspect, says, replace(feature, draws=replace(draws, cost=cost)))


def _metered(feature: Feature, values: Sequence[Value]) -> Iterator[FeatureMutation]:
    metered = feature.metered
    if metered is None:
        return
    yield FeatureMutation("metered", Aspect.DECIDES, "usage is counted", replace(feature, metered=None))

    def changed(aspect: Aspect, part: str, other: Metered) -> FeatureMutation:
        return FeatureMutation(f"metered/{part}", aspect, says, replace(feature, metered=other))

    says = metered.limit.value
    if metered.limit is LimitKind.HARD:
        yield changed(Aspect.OTHER, "limit", replace(metered, limit=LimitKind.SOFT))
        return
    yield changed(Aspect.OTHER, "limit", replace(metered, limit=LimitKind.HARD, overage_max=None))
    above = metered.overage_max
    if above is None:
        most = max((it.units for it in values if isinstance(it, Amount | AddedAmount)), default=1)
        says = "any"
        yield changed(Aspect.UNLIMITED, "overage_max", replace(metered, overage_max=max(most, 1)))
    else:
        says = format_units(above, feature.scale)
        for aspect, bound in _around(above, 1):
            yield changed(aspect, "overage_max", replace(metered, overage_max=bound))


def _maximum(feature: Feature, values: Sequence[Value]) -> Iterator[FeatureMutation]:
    """The maximum of a range: values are no larger, so it acts on their sums, or on a value that equals it."""
    most = feature.maximum
    if most is None:
        return
    numbers = [value for value in values if isinstance(value, Amount | AddedAmount) and value.units]
    sums = bool(numbers) and (feature.combine is Combine.SUM or any(isinstance(it, AddedAmount) for it in numbers))
    says = format_units(most, feature.scale)
    for aspect, bound in _around(most, 1):
        if sums or (aspect is Aspect.LIMIT and any(it.units >= most for it in numbers)):
            yield FeatureMutation("max", aspect, says, replace(feature, maximum=bound))


def _labels(feature: Feature, values: Sequence[Value]) -> Iterator[FeatureMutation]:
    labels = feature.labels
    given = {value.label for value in values if hasattr(value, "label")}
    for place, label in enumerate(labels):
        if label not in given and len(labels) > 1:
            rest = (*labels[:place], *labels[place + 1 :])
            yield FeatureMutation(f"levels/{label}", Aspect.DECIDES, label, replace(feature, labels=rest))
    for place in range(len(labels) - 1):
        low, high = labels[place : place + 2]
        swapped = (*labels[:place], high, low, *labels[place + 2 :])
        yield FeatureMutation(f"levels/{high}", Aspect.OTHER, f"{high} above {low}", replace(feature, labels=swapped))


def _suspensions(feature: Feature) -> Iterator[FeatureMutation]:
    for place, suspension in enumerate(feature.suspensions):
        rest = (*feature.suspensions[:place], *feature.suspensions[place + 1 :])
        part = f"suspensions/{place + 1}"
        says = f"from {_instant(suspension.start)} until {_instant(suspension.until)}"
        for field, aspect, other in _moved(suspension):
            listed = rest if other is None else (*rest, other)
            if _suspended(listed) != _suspended(feature.suspensions):
                where = f"{part}/{field}" if field else part
                yield FeatureMutation(where, aspect, says, replace(feature, suspensions=listed))


def _moved(suspension: Suspension) -> Iterator[tuple[str, Aspect, Suspension | None]]:
    """Yield a suspension as missing, and with each end a millisecond earlier and later."""
    yield "", Aspect.DECIDES, None
    if suspension.start != BEGINNING:
        yield "from", Aspect.LIMIT, replace(suspension, start=suspension.start - 1)
        yield "from", Aspect.BEYOND, replace(suspension, start=suspension.start + 1)
    if suspension.until != FOREVER:
        yield "until", Aspect.LIMIT, replace(suspension, until=suspension.until - 1)
        yield "until", Aspect.BEYOND, replace(suspension, until=suspension.until + 1)


def _suspended(suspensions: Sequence[Suspension]) -> list[tuple[int, int]]:
    """Return the intervals in which a feature is suspended, joined."""
    joined: list[tuple[int, int]] = []
    for start, until in sorted((it.start, it.until) for it in suspensions if it.start < it.until):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], until)
        else:
            joined.append((start, until))
    return joined


def _instant(instant: int) -> str:
    return "always" if instant in {BEGINNING, FOREVER} else format_instant(instant)


# ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def item_mutations(item: IndexedItem, index: CatalogIndex, *, gives: bool) -> Iterator[ItemMutation]:
    """Yield the mutations of an item that some check shows. `gives`: whether any version of it gives something."""
    needed_by = [it for it in index.items.values() if item.id in (*it.available_for, *it.depends_on)]
    is_draft = item.status is ItemStatus.DRAFT
    other = ItemStatus.ACTIVE if is_draft else ItemStatus.DRAFT
    active = replace(item, status=ItemStatus.ACTIVE)
    if not (gives or needed_by) or item.id not in countable_items(
        replace(index, items=index.items | {item.id: active})
    ):
        return
    yield ItemMutation("status", Aspect.OTHER, item.status.value, replace(item, status=other))
    if is_draft:
        return
    if gives:
        for mutation in _rollouts(item):
            if differing_versions(item, mutation.item):
                yield mutation
    yield from _requirements(item, index)


def countable_items(index: CatalogIndex) -> Collection[str]:
    """Return the items that can count: no drafts, and none that needs one."""
    return items_with_bases({id_: it for id_, it in index.items.items() if it.status is not ItemStatus.DRAFT})


def _requirements(item: IndexedItem, index: CatalogIndex) -> Iterator[ItemMutation]:
    """What an item needs to count: another item may begin later, or end earlier."""
    mutations = []
    if item.available_for:
        says = ", ".join(item.available_for)
        mutations.append(ItemMutation("available_for", Aspect.DECIDES, says, replace(item, available_for=())))
    for plan in item.available_for if len(item.available_for) > 1 else ():
        rest = tuple(it for it in item.available_for if it != plan)
        mutations.append(ItemMutation(f"available_for/{plan}", Aspect.DECIDES, plan, replace(item, available_for=rest)))
    for needed in item.depends_on:
        rest = tuple(it for it in item.depends_on if it != needed)
        mutations.append(ItemMutation(f"depends_on/{needed}", Aspect.DECIDES, needed, replace(item, depends_on=rest)))
    yield from (mutation for mutation in mutations if _counts_otherwise(item, mutation.item, index))


def _counts_otherwise(item: IndexedItem, mutated: IndexedItem, index: CatalogIndex) -> bool:
    """Return whether there are items with which only one form of an item counts; true if there are too many to try."""
    countable = countable_items(index)
    near = _required(item, index) & set(countable)
    if len(near) > _MOST_REQUIRED:
        return True
    for size in range(len(near) + 1):
        for chosen in combinations(sorted(near), size):
            if index.plans is not PlansPerSubscription.MANY:
                plans = [it for it in (*chosen, item.id) if index.items[it].kind is ItemKind.PLAN]
                if len(plans) > 1:
                    continue
            beside = {it: index.items[it] for it in chosen}
            counts = [item.id in items_with_bases(beside | {item.id: form}) for form in (item, mutated)]
            if counts[0] != counts[1]:
                return True
    return False


def _required(item: IndexedItem, index: CatalogIndex) -> set[str]:
    """Return all items that an item may need, directly or not, without itself."""
    found: set[str] = set()
    stack = [item.id]
    while stack:
        of = index.items.get(stack.pop())
        for id_ in () if of is None else (*of.available_for, *of.depends_on):
            if id_ not in found:
                found.add(id_)
                stack.append(id_)
    return found - {item.id}


def _rollouts(item: IndexedItem) -> Iterator[ItemMutation]:
    rollouts = item.rollouts
    for place, rollout in enumerate(rollouts):
        before, after = rollouts[:place], rollouts[place + 1 :]
        says = rollout_text(rollout)
        if len(rollouts) > 1:
            yield ItemMutation(f"rollouts/{place + 1}", Aspect.DECIDES, says, replace(item, rollouts=(*before, *after)))
        for part, aspect, other in _otherwise(rollout, item.versions):
            changed = replace(item, rollouts=(*before, other, *after))
            yield ItemMutation(f"rollouts/{place + 1}/{part}", aspect, says, changed)
        if after:
            swapped = (*before, after[0], rollout, *after[1:])
            yield ItemMutation(f"rollouts/{place + 1}/order", Aspect.OTHER, says, replace(item, rollouts=swapped))


def _otherwise(rollout: Rollout, versions: Sequence[int]) -> Iterator[tuple[str, Aspect, Rollout]]:
    """Yield a rollout with one of its fields otherwise."""
    for version in versions:
        if version != rollout.version:
            yield f"version/{version}", Aspect.OTHER, replace(rollout, version=version)
    if rollout.start != BEGINNING:
        yield "from", Aspect.LIMIT, replace(rollout, start=rollout.start - 1)
        yield "from", Aspect.BEYOND, replace(rollout, start=rollout.start + 1)
    audience = rollout.audience
    if audience.type is not AudienceType.EVERYBODY:
        yield "audience", Aspect.OTHER, replace(rollout, audience=_EVERYBODY)
    if audience.type is AudienceType.SHARE:
        for aspect, share in ((Aspect.LIMIT, audience.share - 1), (Aspect.BEYOND, audience.share + 1)):
            if 0 <= share <= SHARE_STEPS:
                yield "share", aspect, replace(rollout, audience=replace(audience, share=share))


def rollout_text(rollout: Rollout) -> str:
    """Return a rollout in short: `version 2 to new from 2026-12-01T00:00:00Z`."""
    audience = rollout.audience
    match audience.type:
        case AudienceType.SHARE:
            whom = f"{format_units(audience.share, 2)} %"
        case AudienceType.TAG:
            whom = f"tag {audience.tag}"
        case _:
            whom = audience.type.value
    begins = "" if rollout.start == BEGINNING else f" from {format_instant(rollout.start)}"
    return f"version {rollout.version} to {whom}{begins}"
