"""Coverage as text and as data: how much, and for each missing target its place and the test it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.model import FeatureType
from tiergate.policytest.coverage.catalog_advice import catalog_advice
from tiergate.policytest.coverage.coverage_result import Mark
from tiergate.policytest.coverage.targets import Aspect, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.policytest.coverage.coverage_result import Coverage, MeasuredTarget
    from tiergate.policytest.coverage.target_sets import TargetSource
    from tiergate.policytest.coverage.targets import Target
    from tiergate.policytest.suites import Place

KINDS: Final[dict[TargetKind, str]] = {
    TargetKind.ENTITLEMENT: "entitlements",
    TargetKind.LEVEL: "levels",
    TargetKind.FEATURE: "features",
    TargetKind.ITEM: "items",
    TargetKind.GUARD: "guards",
    TargetKind.OVERRIDE: "overrides",
    TargetKind.REASON: "reasons",
    TargetKind.RULE: "rules",
    TargetKind.ROLE: "roles",
    TargetKind.SCOPE: "scopes of keys",
}
"""The headings of the kinds of targets."""
UNCOUNTED: Final = "shipped, not counted"
"""The heading of what comes with Tiergate, if it does not count."""


def coverage_text(coverage: Coverage) -> str:
    """Return the coverage by kind, and a line for each missing target, with its place.

    Of what is shipped and does not count, only the percentage is given.
    """
    return "\n".join(_lines(coverage)) + "\n"


def coverage_json(coverage: Coverage) -> dict[str, object]:
    """Return the same as data, with every counted target."""
    return {
        **_numbers(coverage),
        "kinds": {kind.value: _numbers(part) for kind, part in coverage.by_kind.items()},
        "shipped": {"counted": not coverage.uncounted, **_numbers(coverage.shipped)},
        "units": [_unit_json(value) for value in coverage.measured],
    }


def _numbers(coverage: Coverage) -> dict[str, object]:
    return {"percent": float(coverage.percent), "covered": coverage.covered, "total": coverage.total}


def advice(target: Target, subject: TargetSource) -> str:
    """Return what no case shows of a missing target, and what would show it."""
    match target.kind, target.aspect:
        case TargetKind.LEVEL, _:
            return "no case would fail if nothing granted this level: state it as a `value`, or request it"
        case TargetKind.ENTITLEMENT, aspect:
            return _entitlement_advice(aspect, subject)
        case ((TargetKind.FEATURE | TargetKind.ITEM), aspect):
            return catalog_advice(target.kind, aspect, target.part)
        case TargetKind.RULE, Aspect.PART:
            return "no case would fail if it were so: state a decision that it would change, or `policies`"
        case TargetKind.ROLE, Aspect.DECIDES:
            return "no case would fail without this row: allow something that no other row allows, or state `policies`"
        case (TargetKind.OVERRIDE, Aspect.DECIDES):
            return "no case would fail without it: allow something by an override alone, or state `policies`"
        case TargetKind.REASON, Aspect.DECIDES:
            return "no case would fail without it: state this `reason`"
        case ((TargetKind.GUARD | TargetKind.RULE | TargetKind.SCOPE), Aspect.DECIDES):
            return "no case would fail without it: state a decision that it alone makes, its `reason` or `policies`"
        case TargetKind.REASON, _:
            return f"no case would fail without {_which(target)}: state another denial's `reason` and `policies`"
        case _:
            return f"no case would fail without {_which(target)}: state a decision that the condition exempts"


_OF_NUMBERS: Final = {
    Aspect.SOFT: "no case would fail if its limit were not soft, or not hard, as it says: request more than the limit",
    Aspect.OVERAGE: "no case would fail if one unit less were allowed above its limit: request exactly the most",
    Aspect.PER: "no case would fail if the quantity counted otherwise: let a subject have two of the item",
    Aspect.ADDED: "no case would fail if it were not added to the others: let a subject have another value too",
}


def _entitlement_advice(aspect: Aspect, subject: TargetSource) -> str:
    if aspect in _OF_NUMBERS:
        return _OF_NUMBERS[aspect]
    kind = subject.feature.type if subject.feature is not None else None
    is_level = kind is FeatureType.CUSTOM
    match aspect:
        case Aspect.LIMIT if is_level:
            return "no case would fail if the level were one lower: request this level, or state `value`"
        case Aspect.LIMIT:
            return "no case would fail if it were one unit less: request exactly the limit, or state `value`"
        case Aspect.BEYOND if is_level:
            return "no case would fail if the level were one higher: request the next level, or state `value`"
        case Aspect.BEYOND if kind is FeatureType.SWITCH:
            return "no case would fail if it were on: state a denial"
        case Aspect.BEYOND:
            return "no case would fail if it were one unit more: request one unit above the limit, or state `value`"
        case Aspect.UNLIMITED:
            return "no case would fail if it were a number: request more than anything else grants, or state `value`"
        case _:
            return "no case would fail if it were missing: allow something that it alone grants, or state `value`"


def _which(target: Target) -> str:
    return "its condition" if not target.clause else f"its condition number {target.clause + 1}"


def aspect_name(target: Target) -> str:
    """Return the aspect of a target in short: `limit`, `condition 2`, `caps/per_user limit`, the part of a rule."""
    if target.part:
        return target.part if target.aspect is Aspect.PART else f"{target.part} {target.aspect}"
    return f"{target.aspect} {target.clause + 1}" if target.clause else target.aspect


def place_name(place: Place | None, file: str) -> str:
    """Return `catalog.yaml:12:5`; the file alone if no more is known, `shipped` without one."""
    return ":".join(map(str, place)) if place else file or "shipped"


def case_name(measured: MeasuredTarget) -> str:
    """Return the case that covered a target, or came nearest: `catalog_test.yaml:31: ada · movies`."""
    case = measured.case
    return "" if case is None else f"{case.place[0]}:{case.place[1]}: {case.name}"


def _lines(coverage: Coverage) -> Iterator[str]:
    yield f"coverage: {coverage.percent} % ({coverage.covered:,} of {coverage.total:,})"
    kinds = coverage.by_kind
    width = max((len(KINDS[kind]) for kind in kinds), default=0)
    for kind, part in kinds.items():
        yield f"  {KINDS[kind]:{width}}  {part.percent:>6} %  ({part.covered:,} of {part.total:,})"
    if coverage.uncounted:
        shipped = coverage.shipped
        yield f"{UNCOUNTED}: {shipped.percent} % ({shipped.covered:,} of {shipped.total:,})"
    if coverage.missing:
        yield "not covered:"
    for entry in coverage.missing:
        says = f" ({entry.subject.says})" if entry.subject.says else ""
        yield (
            f"  {place_name(entry.subject.place, entry.subject.file)}: "
            f"{entry.target.id}{says}, {aspect_name(entry.target)}: {advice(entry.target, entry.subject)}"
        )
        if entry.mark is Mark.REACHED:
            yield f"    nearest: {case_name(entry)}"


def _unit_json(measured: MeasuredTarget) -> dict[str, object]:
    target, subject = measured.target, measured.subject
    result: dict[str, object] = {"kind": target.kind.value, "id": target.id, "aspect": target.aspect.value}
    if target.aspect is Aspect.CONDITION:
        result["condition"] = target.clause + 1
    if target.part:
        result["part"] = target.part
    if subject.says:
        result["says"] = subject.says
    if subject.file:
        result["file"] = subject.file
    if subject.place:
        result["line"], result["column"] = subject.place[1:]
    result["mark"] = measured.mark.value
    if measured.case is not None:
        result["case"] = {"name": measured.case.name, "file": measured.case.place[0], "line": measured.case.place[1]}
    if measured.mark is not Mark.COVERED:
        result["advice"] = advice(target, subject)
    return result
