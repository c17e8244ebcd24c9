"""What a comparison of meanings found: in words for people, and as data for programs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tiergate.cli.output.console import say
from tiergate.impact.diff.counterexample import Counterexample
from tiergate.impact.diff.diff_result import ChangeDirection
from tiergate.impact.diff.representative_subjects import HoldingPattern
from tiergate.model import format_instant
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    import msgspec

    from tiergate.catalog.writing.value_changes import ValueChange
    from tiergate.impact.diff.diff_result import DecisionChange, EntitlementDifference, FeatureChange, SemanticDiff
    from tiergate.impact.diff.representative_subjects import HolderGroup
    from tiergate.impact.single_subject_engine import EntitlementValue
    from tiergate.model import Instant

_KINDS = {
    ChangeDirection.GAINS: "gains",
    ChangeDirection.LOSES: "loses",
    ChangeDirection.MORE: "more",
    ChangeDirection.LESS: "less",
    ChangeDirection.OTHER: "other",
}
_STYLES = {
    ChangeDirection.GAINS: "green",
    ChangeDirection.MORE: "green",
    ChangeDirection.LOSES: "red",
    ChangeDirection.LESS: "red",
    ChangeDirection.OTHER: "yellow",
}
_BEARINGS = {HoldingPattern.ONE: "", HoldingPattern.TWO: "two of it", HoldingPattern.TWICE: "held twice"}
_MARKS = {"added": ("+", "green"), "changed": ("~", "yellow"), "removed": ("-", "red")}
_MOST = 100
_LEAST = Counterexample("", 0, "", "")
"""What a check says of itself where nothing more is said."""
_ALWAYS = frozenset({"subject", "reason_before", "reason_after", "type"})


def tell_meaning(found: SemanticDiff) -> None:
    """Tell what changes in meaning, what is not proved, and what only reads otherwise; last, how much was decided."""
    for change in found.features:
        _tell_feature(change, found.now)
    _tell_items(found)
    _tell_turns(found.turns, found.now)
    for one in found.unproved:
        say(f"? {one.what}: {one.why}: not proved", "yellow")
    for note in found.notes:
        say(
            f"= {note.kind} {note.id}: {', '.join(_detail(it) for it in note.details)}; no decision depends on it",
            "dim",
        )
    say(_verdict(found))


def _verdict(found: SemanticDiff) -> str:
    decided = f"{found.cases:,} cases decided on both sides"
    if found.ruled:
        decided += f", the rules of {found.ruled:,} {'feature' if found.ruled == 1 else 'features'} compared"
    if found.is_same and not found.cases and not found.ruled:
        return "same meaning: nothing that affects decisions changed"
    if found.is_same:
        return f"same meaning: {decided}"
    if not found.differs:
        return f"no difference found, but equality is not proved: {decided}"
    return f"different meaning: {decided}"


def _tell_feature(change: FeatureChange, now: Instant) -> None:
    mark, style = _MARKS[change.change]
    say(f"{mark} feature {change.id}", style)
    for detail in change.details:
        say(f"    {_detail(detail)}")
    if change.change == "changed":
        for shown in (change.shown_by, change.also_by):
            if shown is not None:
                say(f"    such as {_evidence(shown, change.id, now)}")


def _tell_items(found: SemanticDiff) -> None:
    rows: defaultdict[str, list[EntitlementDifference]] = defaultdict(list)
    for one in found.differences:
        rows[one.item].append(one)
    heads = {it.id: (*_MARKS[it.change], f"{it.kind} {it.id}") for it in found.items}
    for id_ in sorted(heads.keys() | rows.keys()):
        mark, style, head = heads.get(id_, ("~", "yellow", id_))
        say(f"{mark} {head}", style)
        for one in _shown(rows[id_]):
            say(f"    {_difference(one)}", _STYLES[one.kind])


def _shown(rows: Iterable[EntitlementDifference]) -> list[EntitlementDifference]:
    """What several of an item give only where one of it does not tell; what pins give only where it differs."""
    listed = list(rows)
    everybodys = {(it.feature, it.bearing, it.beside, it.before, it.after) for it in listed if it.audience is None}
    listed = [
        it
        for it in listed
        if it.audience is None
        or it.audience.pin is None
        or (it.feature, it.bearing, it.beside, it.before, it.after) not in everybodys
    ]
    told = {(it.feature, it.beside, it.audience, it.since) for it in listed if it.bearing is HoldingPattern.ONE}
    found = []
    for one in sorted(listed, key=lambda it: (it.feature, list(HoldingPattern).index(it.bearing))):
        key = (one.feature, one.beside, one.audience, one.since)
        if one.bearing is HoldingPattern.ONE or key not in told:
            told.add(key)
            found.append(one)
    return found


def _difference(one: EntitlementDifference) -> str:
    who = [_BEARINGS[one.bearing]] if _BEARINGS[one.bearing] else []
    who += [f"held with {' and '.join(one.beside)}"] if one.beside else []
    who += [] if one.audience is None else [_audience(one.audience)]
    when = _when(one.since, one.until)
    text = f"{one.feature}: {_held(one.before)} → {_held(one.after)} ({_KINDS[one.kind]})"
    return ", ".join([text, *who, *([when] if when else [])])


def _audience(audience: HolderGroup) -> str:
    if audience.pin is not None:
        return f"pinned to version {audience.pin}"
    parts = [f"with the tags {' and '.join(audience.tags)}" if audience.tags else "without such a tag"]
    if audience.share is not None:
        parts.append(f"at {audience.share[0] / 100:g} to {audience.share[1] / 100:g} % of the share")
    parts.append("of old" if audience.added is None else f"added since {format_instant(audience.added)}")
    return ", ".join(parts)


def _when(since: Instant | None, until: Instant | None) -> str:
    parts = [f"from {format_instant(since)}"] if since is not None else []
    parts += [f"until {format_instant(until)}"] if until is not None else []
    return " ".join(parts)


def _held(held: EntitlementValue) -> str:
    if held.is_nothing:
        return "nothing"
    if held.value is True:
        return "on"
    return f"{'unlimited' if held.unlimited else held.value} {held.unit}".rstrip()


def _tell_turns(turns: Iterable[DecisionChange], now: Instant) -> None:
    """Tell features together that turn in the same way and by the same rules; another reason only where that is all."""
    listed = list(turns)
    turning = {turn.feature for turn in listed if turn.allowed_before is not turn.allowed_after}
    alike: defaultdict[tuple[str, str, tuple[str, ...]], list[DecisionChange]] = defaultdict(list)
    for turn in listed:
        if turn.allowed_before is not turn.allowed_after or turn.feature not in turning:
            alike[turn.reason_before, turn.reason_after, turn.rules].append(turn)
    for (before, after, rules), found in alike.items():
        items = sorted({item for turn in found for item in turn.items})
        who = f" for holders of {', '.join(items)}" if items else ""
        by = f", by {', '.join(rules)}" if rules else ""
        features = ", ".join(turn.feature for turn in found)
        say(f"~ {features}: {before or 'a mistake'} → {after or 'a mistake'}{who}{by}", "yellow")
        say(f"    such as {_evidence(found[0].shown_by, found[0].feature, now)}")


def _evidence(shown: Counterexample, feature: str, now: Instant) -> str:
    asked = {
        "amount": shown.amount,
        "used": shown.used,
        "user_used": shown.user_used,
        "value": shown.value,
        "level": shown.level,
    }
    words = [f"{name} {it}" for name, it in asked.items() if it is not None]
    question = f"a check of {' '.join([feature, *words])} by {_whom(shown)}"
    question += f" at {format_instant(shown.at)}" if shown.timed or shown.at != now else ""
    return f"{question}: {shown.reason_before or 'a mistake'} → {shown.reason_after or 'a mistake'}"


def _whom(shown: Counterexample) -> str:
    """Who asks, with all that is needed to ask it again."""
    whom = shown.subject if shown.customer is None else f"{shown.type} {shown.subject} of {shown.customer}"
    whom = whom if shown.user is None else f"user {shown.user} of {whom}"
    said = ["holds " + " and ".join(it) if it else "has a subscription to nothing" for it in shown.items]
    said = said or ["has no subscription"]
    said += [f"tags {', '.join(shown.tags)}"] if shown.tags else []
    said += [f"{key} {value}" for key, value in shown.attributes.items()]
    said += [f"override {it}" for it in shown.overrides]
    said += ["suspended"] if shown.suspended else []
    said += [f"{shown.metered} used as metered"] if shown.metered else []
    said += [f"{shown.total_used} used by everybody"] if shown.total_used else []
    return f"{whom} ({'; '.join(said)})"


def _detail(detail: ValueChange) -> str:
    path = detail.path.replace("/", " ")
    return f"{path}: {_raw(detail.before)} → {_raw(detail.after)}"


def _raw(value: msgspec.Raw | None) -> str:
    text = "nothing" if value is None else bytes(value).decode()
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def meaning_data(found: SemanticDiff) -> bytes:
    """All of it as one JSON document, numbers exact; instants as text, absent where there is none."""
    return encode(
        {
            "same": found.is_same,
            "differs": found.differs,
            "cases": found.cases,
            "ruled": found.ruled,
            "items": found.items,
            "differences": [_difference_data(it) for it in found.differences],
            "features": [_with_evidence(it) for it in found.features],
            "turns": [_with_evidence(it) for it in found.turns],
            "unproved": found.unproved,
            "notes": found.notes,
        }
    )


def _difference_data(one: EntitlementDifference) -> dict[str, Any]:
    data = _with_evidence(one)
    data["everybody"] = one.audience is None
    if one.audience is not None and one.audience.added is not None:
        data["audience"] = {**_fields(one.audience), "added": format_instant(one.audience.added)}
    for key in ("since", "until"):
        if data[key] is not None:
            data[key] = format_instant(data[key])
    return {key: value for key, value in data.items() if value is not None}


def _with_evidence(one: EntitlementDifference | FeatureChange | DecisionChange) -> dict[str, Any]:
    data = _fields(one)
    for name in ("shown_by", "also_by"):
        shown = data.pop(name, None)
        if shown is not None:
            data[name] = _evidence_data(shown)
    return data


def _evidence_data(shown: Counterexample) -> dict[str, Any]:
    """What is said of a check: a number that is asked for also where it is 0, which leaving it out may not mean."""
    found = {key: it for key, it in _fields(shown).items() if key in _ALWAYS or it != getattr(_LEAST, key)}
    return found | {"at": format_instant(shown.at)}


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
