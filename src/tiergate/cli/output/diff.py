"""A semantic comparison of two catalogs as lines of text."""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

from tiergate.cli.output.changeset import CHANGE_MARKS, shorten
from tiergate.cli.output.console import print_line
from tiergate.cli.output.metering_words import describe_metering
from tiergate.impact.diff.diff_result import ChangeDirection
from tiergate.impact.diff.representative_subjects import HoldingPattern
from tiergate.model import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterable

    import msgspec

    from tiergate.catalog.writing.value_changes import ValueChange
    from tiergate.impact.diff.counterexample import Counterexample
    from tiergate.impact.diff.diff_result import DecisionChange, EntitlementDifference, FeatureChange, SemanticDiff
    from tiergate.impact.diff.representative_subjects import HolderGroup
    from tiergate.impact.single_subject_engine import EntitlementValue
    from tiergate.model import Instant

_DIRECTIONS = {
    ChangeDirection.GAINS: ("gains", "green"),
    ChangeDirection.LOSES: ("loses", "red"),
    ChangeDirection.MORE: ("more", "green"),
    ChangeDirection.LESS: ("less", "red"),
    ChangeDirection.OTHER: ("other", "yellow"),
}
_PATTERNS = {HoldingPattern.ONE: "", HoldingPattern.TWO: "two of it", HoldingPattern.TWICE: "held twice"}
_PATTERN_ORDER = list(HoldingPattern)


def print_diff(comparison: SemanticDiff) -> None:
    """Print what changes in meaning, what is not proved, what changes in text only, and how much was decided."""
    for feature in comparison.features:
        _print_feature(feature, comparison.now)
    _print_items(comparison)
    _print_decision_changes(comparison.turns, comparison.now)
    for gap in comparison.unproved:
        print_line(f"? {gap.what}: {gap.why}: not proved", "yellow")
    for note in comparison.notes:
        details = ", ".join(map(_detail, note.details))
        print_line(f"= {note.kind} {note.id}: {details}; no decision depends on it", "dim")
    print_line(_verdict(comparison))


def _verdict(comparison: SemanticDiff) -> str:
    decided = f"{comparison.cases:,} cases decided on both sides"
    if comparison.ruled:
        features = "feature" if comparison.ruled == 1 else "features"
        decided += f", the rules of {comparison.ruled:,} {features} compared"
    if comparison.is_same:
        has_decided = comparison.cases or comparison.ruled
        return f"same meaning: {decided if has_decided else 'nothing that affects decisions changed'}"
    if not comparison.differs:
        return f"no difference found, but equality is not proved: {decided}"
    return f"different meaning: {decided}"


def _print_feature(change: FeatureChange, now: Instant) -> None:
    mark, style = CHANGE_MARKS[change.change]
    print_line(f"{mark} feature {change.id}", style)
    for detail in change.details:
        words = describe_metering(detail.path, _plain(detail.before), _plain(detail.after))
        print_line(f"    {words or _detail(detail)}")
    if change.change == "changed":
        for check in (change.shown_by, change.also_by):
            if check is not None:
                print_line(f"    such as {_evidence(check, change.id, now)}")


def _print_items(comparison: SemanticDiff) -> None:
    rows: defaultdict[str, list[EntitlementDifference]] = defaultdict(list)
    for difference in comparison.differences:
        rows[difference.item].append(difference)
    heads = {item.id: (*CHANGE_MARKS[item.change], f"{item.kind} {item.id}") for item in comparison.items}
    for id_ in sorted(heads.keys() | rows.keys()):
        mark, style, head = heads.get(id_, ("~", "yellow", id_))
        print_line(f"{mark} {head}", style)
        for difference in _distinct(rows[id_]):
            print_line(f"    {_difference(difference)}", _DIRECTIONS[difference.kind][1])


def _distinct(rows: list[EntitlementDifference]) -> list[EntitlementDifference]:
    """Leave out what two of an item give if one shows it, and what pinned versions give if it is as for everybody."""

    def content(row: EntitlementDifference) -> tuple[object, ...]:
        return row.feature, row.bearing, row.beside, row.before, row.after

    def scope(row: EntitlementDifference) -> tuple[object, ...]:
        return row.feature, row.beside, row.audience, row.since

    general = {content(row) for row in rows if row.audience is None}
    rows = [row for row in rows if row.audience is None or row.audience.pin is None or content(row) not in general]
    shown = {scope(row) for row in rows if row.bearing is HoldingPattern.ONE}
    distinct = []
    for row in sorted(rows, key=lambda row: (row.feature, _PATTERN_ORDER.index(row.bearing))):
        if row.bearing is HoldingPattern.ONE or scope(row) not in shown:
            shown.add(scope(row))
            distinct.append(row)
    return distinct


def _difference(difference: EntitlementDifference) -> str:
    before, after = _value(difference.before), _value(difference.after)
    parts = [f"{difference.feature}: {before} → {after} ({_DIRECTIONS[difference.kind][0]})"]
    if _PATTERNS[difference.bearing]:
        parts.append(_PATTERNS[difference.bearing])
    if difference.beside:
        parts.append(f"held with {' and '.join(difference.beside)}")
    if difference.audience is not None:
        parts.append(_audience(difference.audience))
    period = [f"from {format_instant(difference.since)}"] if difference.since is not None else []
    period += [f"until {format_instant(difference.until)}"] if difference.until is not None else []
    return ", ".join([*parts, *([" ".join(period)] if period else [])])


def _audience(audience: HolderGroup) -> str:
    if audience.pin is not None:
        return f"pinned to version {audience.pin}"
    parts = [f"with the tags {' and '.join(audience.tags)}" if audience.tags else "without such a tag"]
    if audience.share is not None:
        parts.append(f"at {audience.share[0] / 100:g} to {audience.share[1] / 100:g} % of the share")
    parts.append("existing" if audience.added is None else f"added since {format_instant(audience.added)}")
    return ", ".join(parts)


def _value(entitlement: EntitlementValue) -> str:
    if entitlement.is_nothing:
        return "nothing"
    if entitlement.value is True:
        return "on"
    number = f"{'unlimited' if entitlement.unlimited else entitlement.value} {entitlement.unit}".rstrip()
    if not entitlement.soft:
        return number
    above = "" if entitlement.overage_max is None else f", at most {entitlement.overage_max} above"
    return f"{number}, soft limit{above}"


def _print_decision_changes(changes: Iterable[DecisionChange], now: Instant) -> None:
    """Print features with the same change by the same rules together; other reasons only if no decision changes."""
    changes = list(changes)
    decided = {change.feature for change in changes if change.allowed_before is not change.allowed_after}
    groups: defaultdict[tuple[str, str, tuple[str, ...]], list[DecisionChange]] = defaultdict(list)
    for change in changes:
        if change.allowed_before is not change.allowed_after or change.feature not in decided:
            groups[change.reason_before, change.reason_after, change.rules].append(change)
    for (before, after, rules), group in groups.items():
        items = sorted({item for change in group for item in change.items})
        holders = f" for holders of {', '.join(items)}" if items else ""
        by = f", by {', '.join(rules)}" if rules else ""
        features = ", ".join(change.feature for change in group)
        print_line(f"~ {features}: {_reasons(before, after)}{holders}{by}", "yellow")
        print_line(f"    such as {_evidence(group[0].shown_by, group[0].feature, now)}")


def _reasons(before: str, after: str) -> str:
    return f"{before or 'an error'} → {after or 'an error'}"


def _evidence(check: Counterexample, feature: str, now: Instant) -> str:
    names = ("amount", "used", "user_used", "value", "level")
    fields = [f"{name} {getattr(check, name)}" for name in names if getattr(check, name) is not None]
    text = f"a check of {' '.join([feature, *fields])} by {_subject(check)}"
    text += f" at {format_instant(check.at)}" if check.timed or check.at != now else ""
    return f"{text}: {_reasons(check.reason_before, check.reason_after)}"


def _subject(check: Counterexample) -> str:
    """Describe the subject, with everything that is needed to repeat the check."""
    name = check.subject if check.customer is None else f"{check.type} {check.subject} of {check.customer}"
    name = name if check.user is None else f"user {check.user} of {name}"
    parts = ["holds " + " and ".join(items) if items else "has a subscription to nothing" for items in check.items]
    parts = parts or ["has no subscription"]
    parts += [f"tags {', '.join(check.tags)}"] if check.tags else []
    parts += [f"{key} {value}" for key, value in check.attributes.items()]
    parts += [f"override {override}" for override in check.overrides]
    parts += ["suspended"] if check.suspended else []
    parts += [f"{check.metered} used as metered"] if check.metered else []
    parts += [f"{check.total_used} used by everybody"] if check.total_used else []
    parts += [f"usage resets at {format_instant(check.resets_at)}"] if check.resets_at is not None else []
    parts += [f"while the feature is {check.status}"] if check.status else []
    return f"{name} ({'; '.join(parts)})"


def _detail(detail: ValueChange) -> str:
    return f"{detail.path.replace('/', ' ')}: {_raw(detail.before)} → {_raw(detail.after)}"


def _plain(value: msgspec.Raw | None) -> object:
    return None if value is None else json.loads(bytes(value), parse_float=Decimal)


def _raw(value: msgspec.Raw | None) -> str:
    return "nothing" if value is None else shorten(bytes(value).decode())
