"""Check edits of features and drafts against the values in use. Pure rules.

The rules protect published definitions: the type of a feature never changes, its scale and the order of its levels do
not change while in use, and values of reachable versions, drafts and overrides stay valid. Each problem has a JSON
Pointer into the feature or draft, and names the users of the value. The readers check the form of catalog files; the
store knows which values are in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tiergate.catalog.reading.document import shorten
from tiergate.catalog.reading.json_pointers import escape_pointer
from tiergate.errors import BodyProblem
from tiergate.model import (
    Amount,
    Feature,
    FeatureStatus,
    FeatureType,
    Level,
    MeteredAmount,
    Unlimited,
    Value,
    format_units,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

_MOVES = {
    FeatureStatus.DRAFT: (FeatureStatus.ACTIVE,),
    FeatureStatus.ACTIVE: (FeatureStatus.ARCHIVED,),
    FeatureStatus.ARCHIVED: (FeatureStatus.ACTIVE,),
}
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ValueUse:
    """One value of a feature in use; `value` is `None` if the feature is only named.

    `holders`: some users, as text (`the plan/pro@7`); `count`: how many there are. `is_bound`: levels, minimum and
    maximum apply to it, as for items but not for overrides.
    """

    value: Value | None
    holders: tuple[str, ...]
    count: int
    is_bound: bool = True

    def __str__(self) -> str:
        shown = self.holders[:_SHOWN]
        more = self.count - len(shown)
        return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def check_feature_change(
    old: Feature, new: Feature, uses: Sequence[ValueUse], drawn_by: Sequence[str] = ()
) -> list[BodyProblem]:
    """Return the problems of a change of a feature; both have the same id. `drawn_by`: features that draw on it."""
    if new.type is not old.type:
        detail = f"`{old.id}` is a {old.type.value}: the type of a feature never changes"
        return [BodyProblem("/type", "type-changed", detail)]
    result = check_status_change(old, new.status)
    mapped = [use for use in uses if use.value is not None]
    if new.scale != old.scale and mapped:
        detail = f"the scale of `{old.id}` cannot change while it is in use, by {_holders(mapped)}"
        return [*result, BodyProblem("/scale", "scale-mapped", detail)]
    result += [*_metering(old, new, mapped), *_source(old, new, drawn_by)]
    match old.type:
        case FeatureType.CUSTOM:
            result += _labels(old, new, mapped)
        case FeatureType.QUANTITY:
            result += _numbers(new, mapped)
        case FeatureType.RANGE:
            result += _bounds(new, mapped)
        case FeatureType.SWITCH:
            pass
    return result


def _metering(old: Feature, new: Feature, mapped: Iterable[ValueUse]) -> Iterator[BodyProblem]:
    """Yield the problem of no longer counting usage of which some value says what happens above the limit."""
    if new.metered is not None or old.metered is None:
        return
    own = [use for use in mapped if isinstance(use.value, MeteredAmount)]
    if own:
        detail = f"`{old.id}` must stay metered while a `limit` of its own is in use, by {_holders(own)}"
        yield BodyProblem("/metered", "limit-mapped", detail)


def _source(old: Feature, new: Feature, drawn_by: Sequence[str]) -> Iterator[BodyProblem]:
    """Yield the problems of a feature that others draw on: it stays a metered quantity of its scale."""
    if not drawn_by:
        return
    users = str(ValueUse(None, tuple(f"`{id_}`" for id_ in drawn_by), len(drawn_by)))
    if new.scale != old.scale:
        detail = f"the scale of `{old.id}` cannot change while features draw on it: {users}"
        yield BodyProblem("/scale", "source-mapped", detail)
    if new.metered is None:
        yield BodyProblem("/metered", "source-mapped", f"`{old.id}` must stay metered: features draw on it, {users}")
    if new.draws is not None:
        detail = f"`{old.id}` cannot draw on a feature: features draw on it, {users}"
        yield BodyProblem("/draws", "source-mapped", detail)


def check_status_change(old: Feature, status: FeatureStatus) -> list[BodyProblem]:
    """Return the problems of a change of a feature's status."""
    if status is old.status or status in _MOVES[old.status]:
        return []
    allowed = " or ".join(f"`{move.value}`" for move in _MOVES[old.status])
    detail = f"`{old.id}` is `{old.status.value}`: it can become {allowed}, not `{status.value}`"
    return [BodyProblem("/status", "status-move", detail)]


def features_drawing_on(id_: str, features: Mapping[str, Feature]) -> list[str]:
    """Return the ids of the features that draw on one, sorted; `features`: all, by id."""
    return sorted(
        other.id for other in features.values() if other.draws is not None and other.draws.source == id_ != other.id
    )


def check_feature_deletion(feature: Feature, uses: Sequence[ValueUse]) -> list[BodyProblem]:
    """Return the problems of deleting a feature."""
    result = []
    if feature.status is FeatureStatus.ACTIVE:
        detail = f"`{feature.id}` is active: archive it first"
        result.append(BodyProblem("", "feature-active", detail))
    if uses:
        result.append(BodyProblem("", "feature-mapped", f"`{feature.id}` is in use, by {_holders(uses)}"))
    return result


def check_draft(
    draft: Mapping[str, Value], given: Collection[str], features: Mapping[str, Feature]
) -> list[BodyProblem]:
    """Return the problems of a draft of an item; `given` are the features that the item gives already."""
    return [
        BodyProblem(
            f"/entitlements/{escape_pointer(id_)}",
            "feature-archived",
            f"`{id_}` is archived: it gets no new entitlements",
        )
        for id_ in draft
        if id_ not in given and features[id_].status is FeatureStatus.ARCHIVED
    ]


def _labels(old: Feature, new: Feature, mapped: Iterable[ValueUse]) -> Iterator[BodyProblem]:
    uses: dict[str, list[ValueUse]] = {}
    for use in mapped:
        if isinstance(use.value, Level):
            uses.setdefault(use.value.label, []).append(use)
    users = {label: _holders(its_uses) for label, its_uses in uses.items()}
    kept = []
    for label in sorted(users, key=old.rank):
        if label in new.labels:
            kept.append(label)
        else:
            detail = f"the level `{shorten(label)}` cannot be removed while it is in use, by {users[label]}"
            yield BodyProblem("/levels", "level-mapped", detail)
    for low, high in pairwise(kept):
        if new.rank(low) > new.rank(high):
            detail = (
                f"`{shorten(high)}` is above `{shorten(low)}`, and the order of levels in use cannot change: "
                f"`{shorten(high)}` is given by {users[high]}, `{shorten(low)}` by {users[low]}"
            )
            yield BodyProblem("/levels", "level-order", detail)


def _numbers(new: Feature, mapped: Iterable[ValueUse]) -> Iterator[BodyProblem]:
    if new.numbers is None:
        return
    for use in _by_value(mapped):
        if isinstance(use.value, Unlimited):
            missing, shown = not new.unlimited_level, "unlimited"
        elif isinstance(use.value, Amount):
            missing, shown = use.value.units not in new.numbers, format_units(use.value.units, new.scale)
        else:
            continue
        if missing:
            detail = f"the level `{shown}` cannot be removed while it is in use, by {use}"
            yield BodyProblem("/levels", "level-mapped", detail)


def _bounds(new: Feature, mapped: Iterable[ValueUse]) -> Iterator[BodyProblem]:
    for use in _by_value(mapped):
        if isinstance(use.value, Unlimited):
            shown, too_small, too_large = "unlimited", False, new.maximum is not None
        elif isinstance(use.value, Amount):
            units = use.value.units
            shown = format_units(units, new.scale)
            too_small = new.minimum is not None and units < new.minimum
            too_large = new.maximum is not None and units > new.maximum
        else:
            continue
        if too_small:
            detail = f"the minimum cannot exclude `{shown}` while it is in use, by {use}"
            yield BodyProblem("/min", "value-excluded", detail)
        if too_large:
            detail = f"the maximum cannot exclude `{shown}` while it is in use, by {use}"
            yield BodyProblem("/max", "value-excluded", detail)


def _by_value(mapped: Iterable[ValueUse]) -> list[ValueUse]:
    """Return the uses that are bound by levels, minimum and maximum, by ascending number."""
    bound = [use for use in mapped if use.is_bound]
    return sorted(bound, key=lambda use: use.value.units if isinstance(use.value, Amount) else 0)


def _holders(uses: Sequence[ValueUse]) -> str:
    holders = tuple(dict.fromkeys(holder for use in uses for holder in use.holders))
    return str(ValueUse(None, holders, max(len(holders), sum(use.count for use in uses))))
