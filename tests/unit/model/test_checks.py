from __future__ import annotations

from tiergate.model import Check, Reason, Subject, SubjectType
from tiergate.model.checks import REASON_PRECEDENCE


def test_reasons_have_the_precedence_of_the_design() -> None:
    """The closed set, in its order (design, section 2)."""
    written = (
        "unknown_subject, evaluation_error, stale_data, feature_inactive, feature_suspended, subscription_inactive, "
        "override_denied, rule_denied, amount_invalid, cap_reached, not_entitled, limit_reached, out_of_range, "
        "level_too_low, granted"
    )
    assert [reason.value for reason in sorted(Reason, key=REASON_PRECEDENCE.__getitem__)] == written.split(", ")


def test_subjects_that_differ_in_anything_are_different_keys() -> None:
    """A customer, a subscription of the same id, and a user in each are four."""
    subjects = {Subject("a"), Subject("a", SubjectType.SUBSCRIPTION), Subject("a", user="u"), Subject("a", user="v")}
    assert len(subjects) == 4
    assert Subject("a") in subjects


def test_equal_checks_are_equal_values() -> None:
    """Two of the same question are one key."""
    assert Check(Subject("a"), "movies", amount=1) == Check(Subject("a", SubjectType.CUSTOMER, None), "movies", 1)
