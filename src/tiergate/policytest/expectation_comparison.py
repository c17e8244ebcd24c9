"""Compare a decision with its expectation, and write each difference as in a test file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.model import FOREVER, format_instant
from tiergate.policytest.expectations import OVERRIDE_PREFIX
from tiergate.policytest.results import Mismatch

if TYPE_CHECKING:
    from tiergate.cedar import CedarResult
    from tiergate.model import Decision, Entitlement, Instant, Number, Source
    from tiergate.permissions import Permission
    from tiergate.policytest.suites import Expectation

_UNLIMITED = "unlimited"


def compare_decision(expected: Expectation, actual: Decision) -> tuple[Mismatch, ...]:
    """Return the fields in which a decision differs, in the order of the reference page."""
    mismatches: list[Mismatch] = []
    if expected.allowed is not actual.allowed:
        mismatches.append(Mismatch("allowed", _word(expected.allowed), _word(actual.allowed)))
    if expected.reason is not None and expected.reason is not actual.reason:
        mismatches.append(Mismatch("reason", expected.reason, actual.reason))
    if expected.has_value:
        value = entitlement_value(actual.entitlement)
        # `True` is equal to 1 in Python, but a switch that is on is no number
        if expected.value != value or isinstance(expected.value, bool) is not isinstance(value, bool):
            mismatches.append(Mismatch("value", _word(expected.value), _word(value)))
    remaining, overage = actual.entitlement.remaining, actual.entitlement.overage
    _compare_number(
        "remaining", expected.remaining, _UNLIMITED if remaining is msgspec.UNSET else remaining, mismatches
    )
    _compare_number("overage", expected.overage, 0 if overage is msgspec.UNSET else overage, mismatches)
    if expected.sources is not None:
        sources = {source_name(source) for source in actual.sources}
        if sources != set(expected.sources):
            mismatches.append(Mismatch("sources", _listed(expected.sources), _listed(sources)))
    _compare_policies(expected, actual.policies, mismatches)
    if expected.valid_until is not None and actual.until != expected.valid_until:
        mismatches.append(Mismatch("valid_until", _instant(expected.valid_until), _instant(actual.until)))
    _compare_errors(expected, actual.errors, mismatches)
    return tuple(mismatches)


def _compare_number(name: str, expected: Number | None, actual: Number | str, mismatches: list[Mismatch]) -> None:
    if expected is not None and expected != actual:
        mismatches.append(Mismatch(name, str(expected), str(actual)))


def compare_permission(expected: Expectation, actual: Permission) -> tuple[Mismatch, ...]:
    """Return the fields in which the result of a role table differs."""
    result: list[Mismatch] = []
    if expected.allowed is not actual.allowed:
        result.append(Mismatch("allowed", _word(expected.allowed), _word(actual.allowed)))
    _compare_policies(expected, actual.policies, result)
    _compare_errors(expected, actual.errors, result)
    return tuple(result)


def compare_outcome(expected: Expectation, actual: CedarResult) -> tuple[Mismatch, ...]:
    """Return the fields in which Cedar's own result differs.

    As in `cedar run-tests`, the expected policies must be among the deciding ones, which may be more.
    """
    mismatches: list[Mismatch] = []
    if expected.allowed is not actual.allowed:
        mismatches.append(Mismatch("decision", _cedar(expected.allowed), _cedar(actual.allowed)))
    if expected.policies is not None and not set(expected.policies) <= set(actual.policies):
        mismatches.append(Mismatch("reason", _listed(expected.policies), _listed(actual.policies)))
    if expected.errors is not None and expected.errors != len(actual.errors):
        mismatches.append(Mismatch("num_errors", str(expected.errors), str(len(actual.errors))))
    return tuple(mismatches)


def entitlement_value(entitlement: Entitlement) -> bool | Number | str | None:
    """Return the granted value as a row writes it: `unlimited` in place of a number."""
    if entitlement.unlimited is True:
        return _UNLIMITED
    return None if entitlement.value is msgspec.UNSET else entitlement.value


def source_name(source: Source) -> str:
    """Return a source as a row names it: `plan/gold@3`, or `override/` and the override's id."""
    if source.override is not None:
        return f"{OVERRIDE_PREFIX}{source.override}"
    return f"{source.item}@{source.version}"


def _compare_policies(expected: Expectation, actual: tuple[str, ...], mismatches: list[Mismatch]) -> None:
    if expected.policies is not None and set(actual) != set(expected.policies):
        mismatches.append(Mismatch("policies", _listed(expected.policies), _listed(actual)))


def _compare_errors(expected: Expectation, actual: tuple[str, ...], mismatches: list[Mismatch]) -> None:
    if expected.errors is not None and expected.errors != len(actual):
        mismatches.append(Mismatch("errors", str(expected.errors), str(len(actual))))


def _instant(until: Instant) -> str:
    return "null" if until >= FOREVER else format_instant(until)


def _word(value: object) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cedar(allowed: bool) -> str:  # noqa: FBT001 - it is the value
    return "allow" if allowed else "deny"


def _listed(names: tuple[str, ...] | set[str]) -> str:
    return f"[{', '.join(sorted(names))}]"
