from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.engine.small import bundle
from tiergate.bundle import Bundle
from tiergate.cedar import Uid, builtin_text, parse_policies
from tiergate.engine.slices import PolicySlice, PolicySlices, item_ancestors
from tiergate.errors import BundleError
from tiergate.model import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

ACME, SUB, BOB = Uid("Customer", "acme"), Uid("Subscription", "sub"), Uid("User", "bob")
GUARDS = ["guard/feature-inactive", "guard/feature-suspended", "guard/subscription-inactive", "guard/override-denied"]
CONSUMING = [*GUARDS, "guard/amount-invalid", "guard/user-cap-reached", "guard/total-cap-reached"]
DRAWING = ["guard/draws-exceeded", "guard/draws-not-entitled"]


def slices(rules: str = "", entries: int = 100) -> PolicySlices:
    """The slices of the standard catalog under some rules."""
    return PolicySlices(bundle(rules=rules), entries, 10**7)


def taken(
    of: PolicySlices,
    feature: str,
    principal: Uid = ACME,
    held: Sequence[str] = ("plan/gold@3",),
    parents: Sequence[Uid] = (),
) -> PolicySlice:
    """The slice for a check; whatever is held is taken to give the feature."""
    return of.slice(bundle().index.features[feature], tuple(held), principal, held, parents)


def ids(part: PolicySlice) -> list[str]:
    """The ids of the static policies of a slice."""
    return [it.id for it in part.static]


def test_a_slice_holds_what_its_action_can_match() -> None:
    """Guards of quantities are for quantities."""
    of = slices()
    assert ids(taken(of, "analytics")) == [*GUARDS, "override/use"]
    assert ids(taken(of, "movies")) == [*CONSUMING, *DRAWING, "override/consume", "grant/consume"]
    assert ids(taken(of, "api-limit")) == [*GUARDS, "override/set"]
    assert ids(taken(of, "support")) == [*GUARDS, "override/choose"]


def test_a_slice_holds_a_permit_for_each_version_that_gives_the_feature() -> None:
    """Beside the static ones; without any, it is the same slice for everybody."""
    of = slices()
    assert len(taken(of, "movies", held=["addon/extra@1", "plan/gold@3"]).group) == len([*CONSUMING, *DRAWING]) + 4
    assert taken(of, "movies", held=[]) is taken(of, "seats", BOB, held=[])


RULES = """
@id("all") forbid (principal, action, resource) when { false };
@id("group") forbid (principal, action in Action::"access", resource) when { false };
@id("use") forbid (principal, action == Action::"use", resource) when { false };
@id("two") forbid (principal, action in [Action::"set", Action::"choose"], resource) when { false };
@id("one") forbid (principal, action, resource == Feature::"movies") when { false };
@id("tag") forbid (principal, action, resource in Tag::"reports") when { false };
@id("acme") forbid (principal == Customer::"acme", action, resource) when { false };
@id("in-acme") forbid (principal in Customer::"acme", action, resource) when { false };
@id("bob") forbid (principal == User::"bob", action, resource) when { false };
@id("user") forbid (principal is User, action, resource) when { false };
@id("user-in-acme") forbid (principal is User in Customer::"acme", action, resource) when { false };
@id("gold") forbid (principal in Item::"plan/gold", action, resource) when { false };
@id("gold3") forbid (principal is Customer in Item::"plan/gold@3", action, resource) when { false };
@id("extra") forbid (principal in Item::"addon/extra", action, resource) when { false };
"""


@pytest.mark.parametrize(
    ("feature", "principal", "held", "parents", "expected"),
    [
        ("movies", ACME, [], (), "all group one acme in-acme"),
        ("analytics", ACME, [], (), "all group use tag acme in-acme"),
        ("support", ACME, [], (), "all group two acme in-acme"),
        ("support", Uid("Customer", "other"), [], (), "all group two"),
        ("support", ACME, ["plan/gold@3"], (), "all group two acme in-acme gold gold3"),
        ("support", SUB, ["plan/gold@3"], (), "all group two gold"),
        ("support", SUB, ["addon/extra@1"], (), "all group two extra"),
        ("support", BOB, ["plan/gold@3"], (ACME,), "all group two in-acme bob user user-in-acme gold"),
        ("support", BOB, [], (SUB,), "all group two bob user"),
        ("support", Uid("User", "acme"), [], (ACME,), "all group two in-acme user user-in-acme"),
    ],
)
def test_a_rule_is_there_exactly_where_its_scope_can_match(
    feature: str, principal: Uid, held: list[str], parents: tuple[Uid, ...], expected: str
) -> None:
    """Principal with its items and its customer, action with its group, resource with its tags."""
    part = taken(slices(RULES), feature, principal, held, parents)
    assert sorted(it.policy.id for it in part.rules) == sorted(expected.split())
    assert all(it.id == f"rule/house/{it.policy.id}" and it.reason is Reason.RULE_DENIED for it in part.rules)


def test_a_rule_that_reads_the_time_shows() -> None:
    """In the slices that hold it, and only there."""
    of = slices(
        '@id("a") forbid (principal, action == Action::"use", resource) when { context.weekday > 7 };'
        '@id("b") forbid (principal, action, resource) when { context.held };'
    )
    assert taken(of, "analytics").reads_time
    assert not taken(of, "movies").reads_time


def test_equal_slices_are_made_once() -> None:
    """From the second time on that one is asked for."""
    of = slices(RULES)
    assert taken(of, "movies") is not taken(of, "movies")
    assert taken(of, "movies") is taken(of, "movies")
    assert taken(of, "movies") is not taken(of, "movies", SUB)
    assert taken(of, "movies") is not taken(of, "seats")
    assert of.cache.hits >= 3


def test_slices_that_are_not_kept_are_equal_all_the_same() -> None:
    """A cache that keeps nothing changes no answer."""
    for _ in range(3):
        assert ids(taken(slices(RULES, entries=0), "movies")) == ids(taken(slices(RULES), "movies"))


def test_many_rules_for_other_subjects_cost_nothing() -> None:
    """They are not even looked at."""
    many = "".join(
        f'@id("r{place}") forbid (principal == Customer::"c{place}", action, resource);' for place in range(2_000)
    )
    of = slices(many)
    assert taken(of, "movies").rules == ()
    (rule,) = taken(of, "movies", Uid("Customer", "c1234")).rules
    assert rule.policy.id == "r1234"
    (candidates,) = of._candidates.values()
    assert len(candidates.depending[Uid("Customer", "c1234")]) == 1


def test_reasons_are_those_of_the_action() -> None:
    """Asked apart from the slice."""
    of = slices()
    features = bundle().index.features
    assert len(of.reasons(features["analytics"])) == 1
    assert len(of.reasons(features["movies"])) == 2


def test_who_holds_a_version_holds_its_item() -> None:
    """Both are ancestors, the item by its name without the version."""
    assert item_ancestors(["plan/gold@3"]) == {Uid("Item", "plan/gold@3"), Uid("Item", "plan/gold")}
    assert item_ancestors([]) == set()


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("policies/guards.cedar", "permit", "policies/guards.cedar"),
        ("policies/rules/house.cedar", "forbid (principal", "policies/rules/house.cedar"),
        (
            "policies/templates.cedar",
            '@id("use") permit (principal in ?principal, action, resource);',
            "one template for",
        ),
    ],
)
def test_a_bundle_whose_policies_cannot_be_used_is_refused(path: str, text: str, message: str) -> None:
    """At once, not at the first check."""
    files = {known: bundle().content(known) for known in bundle().paths()} | {path: text.encode()}
    with pytest.raises(BundleError, match=message):
        PolicySlices(Bundle.from_files(files), 10, 10)


def test_a_bundle_without_guards_is_refused() -> None:
    """Nothing would forbid."""
    files = {path: bundle().content(path) for path in bundle().paths() if path != "policies/guards.cedar"}
    with pytest.raises(BundleError, match=r"guards\.cedar"):
        PolicySlices(Bundle.from_files(files), 10, 10)


def test_what_is_written_by_hand_never_reads_the_time() -> None:
    """So that `now` may be left out of the context where no rule reads it."""
    of = slices()
    assert not any(it.reads_time for it in of.static)
    assert "now" not in builtin_text("templates") + builtin_text("reasons")


def test_slices_can_be_had_with_a_policy_left_out() -> None:
    """The others stay as they are, and those that it was made from too."""
    of = slices(RULES)
    without = of.otherwise({"rule/house/use": None, "guard/override-denied": None})
    assert ids(taken(without, "analytics")) == [
        it for it in ids(taken(of, "analytics")) if it not in ("rule/house/use", "guard/override-denied")
    ]
    assert "rule/house/use" in ids(taken(of, "analytics"))


def test_slices_can_be_had_with_another_policy_in_place_of_one() -> None:
    """It goes by the id of the one that it stands for, and is known to read the time."""
    of = slices('@id("late") forbid (principal, action, resource) when { false };')
    (other,) = parse_policies("forbid (principal, action, resource) when { context.weekday == 7 };")
    part = taken(of.otherwise({"rule/house/late": other}), "analytics")
    assert ids(part)[-1] == "rule/house/late"
    assert part.rules[0].policy is other
    assert (part.reads_time, taken(of, "analytics").reads_time) == (True, False)


def test_reasons_can_be_left_out_too() -> None:
    """They are a set of their own."""
    of = slices()
    movies = bundle().index.features["movies"]
    assert len(of.reasons(movies)) - len(of.otherwise({"reason/limit-reached": None}).reasons(movies)) == 1
