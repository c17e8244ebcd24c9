from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.engine.small import ACME, SUB, catalog, record, subscription
from tiergate.engine.active_items import (
    ActiveItems,
    ValidityWindow,
    resolve_active_items,
    share_bucket,
    usual_versions,
)
from tiergate.model import (
    BEGINNING,
    FOREVER,
    Audience,
    AudienceType,
    CatalogIndex,
    Definition,
    Item,
    ItemKind,
    ItemStatus,
    Rollout,
    Subject,
    SubjectRecord,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
)

INDEX = catalog().index()


def resolved(of: SubjectRecord, subject: Subject, index: CatalogIndex, now: int) -> ActiveItems:
    """What a subject holds, which is the same if the usual versions are known beforehand."""
    found = resolve_active_items(of, subject, index, now)
    assert resolve_active_items(of, subject, index, now, usual_versions(index)) == found
    return found


def held(of: SubjectRecord, now: int, subject: Subject = ACME) -> ActiveItems:
    """What a subject holds."""
    return resolved(of, subject, INDEX, now)


def rolled_out(
    *rollouts: Rollout,
    now: int = 100,
    tags: tuple[str, ...] = (),
    item: SubscriptionItem | None = None,
    start: int | None = None,
) -> tuple[str, ...]:
    """The version that acme has of an item of versions 1, 2 and 3."""
    pro = Item(
        id="pro",
        kind=ItemKind.PLAN,
        versions=tuple(Definition(version, {}) for version in (1, 2, 3)),
        rollouts=rollouts,
    )
    known = record(subscription(item or SubscriptionItem("pro"), start=start), tags=tags)
    return resolved(known, ACME, catalog(items=[pro]).index(), now).refs


class TestWindow:
    """The instants around `now` within which nothing begins or ends."""

    def test_an_instant_that_has_come_bounds_the_start(self) -> None:
        """It is part of the window."""
        window = ValidityWindow(100)
        assert window.narrow(100)
        assert window.narrow(50)
        assert (window.start, window.until) == (100, FOREVER)

    def test_an_instant_that_is_to_come_bounds_the_end(self) -> None:
        """It is not part of the window."""
        window = ValidityWindow(100)
        assert not window.narrow(101)
        assert not window.narrow(200)
        assert (window.start, window.until) == (BEGINNING, 101)

    @pytest.mark.parametrize(
        ("interval", "holds", "window"),
        [
            ((BEGINNING, FOREVER), True, (BEGINNING, FOREVER)),
            ((100, 101), True, (100, 101)),
            ((50, FOREVER), True, (50, FOREVER)),
            ((BEGINNING, 150), True, (BEGINNING, 150)),
            ((99, 100), False, (100, FOREVER)),
            ((101, 102), False, (BEGINNING, 101)),
            ((100, 100), False, (BEGINNING, FOREVER)),
            ((150, 50), False, (BEGINNING, FOREVER)),
        ],
    )
    def test_an_interval_bounds_it_at_both_ends(
        self, interval: tuple[int, int], holds: bool, window: tuple[int, int]
    ) -> None:
        """But an empty one does not bound it at all."""
        found = ValidityWindow(100)
        assert found.contains(*interval) is holds
        assert found.start <= window[0]
        assert (found.start, found.until) == window or (not holds and found.until <= window[1])


def test_a_live_subscription_gives_the_versions_of_its_items() -> None:
    """With their quantities; each version once among all."""
    known = record(subscription(SubscriptionItem("gold", 2), "extra"), subscription("gold", id_="other"))
    found = held(known, 0)
    assert found.refs == ("addon/extra@1", "plan/gold@3")
    assert [(it.id, [(v.ref, v.item, v.quantity) for v in it.versions]) for it in found.subscriptions] == [
        ("sub", [("plan/gold@3", "plan/gold", 2), ("addon/extra@1", "addon/extra", 1)]),
        ("other", [("plan/gold@3", "plan/gold", 1)]),
    ]
    assert (found.start, found.until) == (BEGINNING, FOREVER)


def test_a_subscription_gives_nothing_outside_of_its_life() -> None:
    """At its start it counts, at its end no more."""
    known = record(subscription("gold", start=100, end=200))
    assert [bool(held(known, now).subscriptions) for now in (99, 100, 199, 200)] == [False, True, True, False]
    assert [(it.start, it.until) for it in (held(known, now) for now in (99, 150, 200))] == [
        (BEGINNING, 100),
        (100, 200),
        (200, FOREVER),
    ]


def test_a_subscription_that_never_counts_bounds_nothing() -> None:
    """Its dates do not matter."""
    known = record(subscription("gold", status=SubscriptionStatus.EXPIRED, start=100, end=200))
    found = held(known, 150)
    assert (found.subscriptions, found.refs, found.start, found.until) == ((), (), BEGINNING, FOREVER)


def test_an_item_gives_nothing_outside_of_its_own_interval() -> None:
    """While its subscription stays live."""
    known = record(subscription(SubscriptionItem("gold", start=100, until=200), "extra"))
    assert [held(known, now).refs for now in (99, 100, 199, 200)] == [
        ("addon/extra@1",),
        ("addon/extra@1", "plan/gold@3"),
        ("addon/extra@1", "plan/gold@3"),
        ("addon/extra@1",),
    ]
    assert (held(known, 150).start, held(known, 150).until) == (100, 200)


def test_a_subscription_alone_is_resolved_without_the_others() -> None:
    """Their dates do not bound it either."""
    known = record(subscription("gold"), subscription("extra", id_="other", end=50))
    found = held(known, 0, SUB)
    assert found.refs == ("plan/gold@3",)
    assert found.until == FOREVER


def test_suspensions_of_the_subject_itself_are_told_from_those_below_it() -> None:
    """A customer's are its own; of a subscription that is the subject, also where it is not live, its own too."""
    own, customers = Suspension("movies"), Suspension("support")
    known = record(subscription(suspensions=(own,), end=0), suspensions=(customers,))
    assert held(known, 10).suspensions == (customers,)
    assert held(known, 10, SUB).suspensions == (customers, own)


def test_what_the_catalog_does_not_have_gives_nothing() -> None:
    """An item, or a version that is pinned, may be of another catalog."""
    assert held(record(subscription("silver", SubscriptionItem("gold", version=9))), 0).refs == ()


def test_a_pin_stands_above_every_rollout() -> None:
    """It is for good."""
    assert rolled_out(Rollout(3), item=SubscriptionItem("pro", version=1)) == ("plan/pro@1",)


def test_without_any_rollout_in_force_an_item_gives_nothing() -> None:
    """Nobody gets what nobody was given."""
    assert rolled_out() == ()
    assert rolled_out(Rollout(1, start=101)) == ()


def test_the_last_rollout_in_force_counts() -> None:
    """By its place, not by its start."""
    assert rolled_out(Rollout(1), Rollout(2, start=100), Rollout(3, start=101)) == ("plan/pro@2",)
    assert rolled_out(Rollout(2, start=100), Rollout(1, start=50)) == ("plan/pro@1",)


def test_a_rollout_begins_at_its_instant() -> None:
    """With no event needed: what is held says until when it holds."""
    rollouts = (Rollout(1), Rollout(2, start=100))
    assert [rolled_out(*rollouts, now=now) for now in (99, 100)] == [("plan/pro@1",), ("plan/pro@2",)]


def test_a_rollout_for_new_ones_is_for_those_added_since() -> None:
    """When the item was added, else when the subscription started; who has neither date is an old customer."""
    rollouts = (Rollout(1), Rollout(2, start=50, audience=Audience(AudienceType.NEW)))
    old, new = ("plan/pro@1",), ("plan/pro@2",)
    assert [rolled_out(*rollouts, item=SubscriptionItem("pro", added_at=at)) for at in (49, 50, 51)] == [old, new, new]
    assert [rolled_out(*rollouts, start=at) for at in (49, 50, None)] == [old, new, old]
    assert rolled_out(*rollouts, start=60, item=SubscriptionItem("pro", added_at=40)) == old


def test_a_rollout_for_a_tag_is_for_customers_that_carry_it() -> None:
    """And for nobody else."""
    rollouts = (Rollout(1), Rollout(2, audience=Audience(AudienceType.TAG, tag="beta")))
    assert rolled_out(*rollouts, tags=("eu", "beta")) == ("plan/pro@2",)
    assert rolled_out(*rollouts, tags=("eu",)) == ("plan/pro@1",)


def test_a_share_takes_those_below_its_mark() -> None:
    """Exactly from the customer's own place on."""
    place = share_bucket("acme", "pro")

    def share(steps: int) -> tuple[str, ...]:
        return rolled_out(Rollout(1), Rollout(2, audience=Audience(AudienceType.SHARE, share=steps)))

    assert share(place) == ("plan/pro@1",)
    assert share(place + 1) == ("plan/pro@2",)
    assert share(0) == ("plan/pro@1",)
    assert share(10_000) == ("plan/pro@2",)


def test_the_places_of_customers_are_a_format() -> None:
    """Computed elsewhere: whoever changes the hash moves customers from one version to another."""
    assert [share_bucket(customer, "pro") for customer in ("acme", "globex")] == PLACES
    assert share_bucket("acme", "basic") != share_bucket("acme", "pro")


PLACES = [9_078, 7_767]


def test_places_are_spread_evenly() -> None:
    """A quarter is about a quarter, whatever the item."""
    for item in ("pro", "basic"):
        inside = sum(share_bucket(f"customer-{number}", item) < 2_500 for number in range(4_000))
        assert 900 < inside < 1_100


def test_a_rollout_to_come_bounds_only_those_in_its_audience() -> None:
    """The others' answers hold longer."""
    pro = Item(
        id="pro",
        kind=ItemKind.PLAN,
        versions=(Definition(1, {}), Definition(2, {})),
        rollouts=(Rollout(1), Rollout(2, 200, Audience(AudienceType.TAG, tag="beta"))),
    )
    index = catalog(items=[pro]).index()
    assert resolved(record(subscription("pro"), tags=("beta",)), ACME, index, 100).until == 200
    assert resolved(record(subscription("pro")), ACME, index, 100).until == FOREVER


def based(
    *items: SubscriptionItem | str, now: int = 100, plans: tuple[Item, ...] = ()
) -> tuple[ActiveItems, list[str]]:
    """What counts of these items: `seats` is for `pro` or `max`, `sso` needs `seats` and `audit`, which needs `sso`."""
    listed = [
        *(plans or (selling("pro"), selling("max"))),
        selling("seats", available_for=("max", "pro")),
        selling("sso", depends_on=("audit", "seats")),
        selling("audit", depends_on=("sso",)),
    ]
    found = resolved(record(subscription(*items)), ACME, catalog(items=listed).index(), now)
    return found, [ref.partition("/")[2].partition("@")[0] for ref in found.refs]


def selling(id_: str, rollouts: tuple[Rollout, ...] = (Rollout(1),), **rest: Any) -> Item:  # noqa: ANN401
    """An item of one version."""
    kind = ItemKind.PLAN if id_ in {"pro", "max"} else ItemKind.ADDON
    return Item(id=id_, kind=kind, versions=(Definition(1, {}),), rollouts=rollouts, **rest)


@pytest.mark.parametrize(
    ("items", "counting"),
    [
        (("pro", "seats"), ["seats", "pro"]),
        (("max", "pro", "seats"), ["seats", "max", "pro"]),
        (("seats",), []),
        (("pro", "sso"), ["pro"]),
        (("pro", "audit", "sso"), ["pro"]),
        (("pro", "audit", "seats", "sso"), ["audit", "seats", "sso", "pro"]),
        (("audit", "seats", "sso"), []),
        ((SubscriptionItem("pro", until=100), "audit", "seats", "sso"), []),
        ((SubscriptionItem("pro", until=100), SubscriptionItem("max", start=100), "seats"), ["seats", "max"]),
    ],
)
def test_an_item_counts_with_a_plan_and_all_that_it_depends_on(
    items: tuple[SubscriptionItem | str, ...], counting: list[str]
) -> None:
    """One of its plans, every item that it needs, and what these need, in the same subscription at that instant."""
    assert based(*items)[1] == counting


def test_an_add_on_ends_with_its_plan_to_the_millisecond() -> None:
    """And what was found before holds until then."""
    items = (SubscriptionItem("pro", start=50, until=200), "seats")
    found, counting = based(*items, now=199)
    assert (counting, found.start, found.until) == (["seats", "pro"], 50, 200)
    found, counting = based(*items, now=200)
    assert (counting, found.start) == ([], 200)
    found, counting = based(*items, now=49)
    assert (counting, found.until) == ([], 50)


def test_an_add_on_needs_a_version_of_its_plan() -> None:
    """A plan that no rollout gives counts for nothing, until one does."""
    later = (selling("max"), selling("pro", rollouts=(Rollout(1, 150),)))
    found, counting = based("pro", "seats", plans=later)
    assert (counting, found.until) == ([], 150)
    assert based("pro", "seats", plans=later, now=150)[1] == ["seats", "pro"]


def test_an_add_on_does_not_count_with_a_plan_of_another_subscription() -> None:
    """Each subscription is by itself."""
    listed = [selling("pro"), selling("seats", available_for=("pro",))]
    known = record(subscription("pro"), subscription("seats", id_="other"))
    assert resolved(known, ACME, catalog(items=listed).index(), 100).refs == ("plan/pro@1",)


def test_a_draft_counts_for_nobody_and_what_is_archived_goes_on() -> None:
    """Pinned or not; and what is based on a draft does not count either."""
    listed = [
        selling("pro", status=ItemStatus.DRAFT),
        selling("max", status=ItemStatus.ARCHIVED),
        selling("seats", available_for=("pro",)),
    ]
    index = catalog(items=listed).index()
    assert resolved(record(subscription(SubscriptionItem("pro", version=1), "seats")), ACME, index, 100).refs == ()
    assert resolved(record(subscription("max")), ACME, index, 100).refs == ("plan/max@1",)


def test_the_usual_version_of_an_item_is_that_of_its_only_rollout() -> None:
    """Not of a draft, of one that depends on another, or of one with several rollouts, or with one to some or later."""
    plain = Item(id="a", kind=ItemKind.PLAN, versions=(Definition(1, {}), Definition(2, {})), rollouts=(Rollout(2),))
    others: tuple[dict[str, Any], ...] = (
        {"status": ItemStatus.DRAFT},
        {"available_for": ("a",)},
        {"depends_on": ("a",)},
        {"rollouts": (Rollout(1), Rollout(2))},
        {"rollouts": (Rollout(2, start=100),)},
        {"rollouts": (Rollout(2, audience=Audience(AudienceType.TAG, tag="eu")),)},
        {"rollouts": ()},
        {"rollouts": (Rollout(3),)},
    )
    items = [plain, *(replace(plain, id=f"b{place}", **other) for place, other in enumerate(others))]
    usual = usual_versions(catalog(items=items).index())
    assert [(id_, version.ref, version.quantity) for id_, version in usual.items()] == [("a", "plan/a@2", 1)]
