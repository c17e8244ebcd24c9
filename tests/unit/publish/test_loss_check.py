"""What a publication takes from customers, at the publisher: looked for, refused, accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.publishing import CATALOG, Press, opened
from tiergate.catalog import load_catalog_texts
from tiergate.errors import LossError
from tiergate.impact.preview.loss_token import customer_count
from tiergate.model import Customer, Override, OverrideMode, Rules, Unlimited
from tiergate.publish import loss_check, loss_estimate
from tiergate.publish.apply_planner import ApplyRequest, plan_apply
from tiergate.publish.publication_stages import PublishConditions
from tiergate.store import SYSTEM
from tiergate.store.subject_writer import write_customer_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.publish.publication_stages import PublishResult
    from tiergate.store import WriteUnit

LESS = CATALOG.replace("movies: 50", "movies: 40")


@pytest.fixture
def press(sqlite_url: str) -> Iterator[Press]:
    """A store with a small catalog in force, and nobody who holds anything."""
    with opened(sqlite_url) as found:
        found.apply()
        yield found


def applied(press: Press, text: str, *, accept_loss: str = "") -> PublishResult:
    """Apply a catalog file, with a look at who loses by it."""
    planner = plan_apply(ApplyRequest(load_catalog_texts({"catalog.yaml": text})))
    return press.publisher.publish(
        planner,
        lambda work: press.store.change(work, SYSTEM),
        PublishConditions(checks_loss=True, accepted_loss=accept_loss),
    )


def test_what_nobody_has_is_taken_from_nobody(press: Press) -> None:
    """Customers of other plans are not even asked about."""
    press.hold("acme", "free")
    outcome = applied(press, LESS)
    assert outcome.impact is not None
    assert (outcome.is_new, outcome.impact["examined"]) == (True, 0)


DAILY = '@id("day") forbid (principal, action == Action::"consume", resource) when { %s };'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("context.used >= 20", "context.used >= 10"),
        ("context.used * context.amount > 20", "context.amount * context.used > 10"),  # not compared
    ],
)
def test_a_rule_that_takes_or_may_take_between_the_limits_is_refused(press: Press, old: str, new: str) -> None:
    """What is not proved to take nothing is not let through; who holds nothing of it loses nothing."""
    press.apply(rules=Rules({"law": DAILY % old}))

    def tightened() -> PublishResult:
        loaded = load_catalog_texts({"catalog.yaml": CATALOG})
        planner = plan_apply(ApplyRequest(loaded, Rules({"law": DAILY % new})))
        return press.publisher.publish(
            planner, lambda work: press.store.change(work, SYSTEM), PublishConditions(checks_loss=True)
        )

    press.hold("acme", "gold")
    with pytest.raises(LossError) as caught:
        tightened()
    assert loss_check.count_losing_customers(dict(caught.value.impact)) == 1


def test_a_loss_is_refused_and_leaves_everything_as_it_was(press: Press) -> None:
    """No row of any table is another one."""
    press.hold("acme", "gold")
    before = press.rows()
    with pytest.raises(LossError) as caught:
        applied(press, LESS)
    assert caught.value.impact["customers"] == {
        "touched": 1,
        "take": 1,
        "above": 0,
        "loses": 0,
        "less": 1,
        "other": 0,
        "unproved": 0,
        "kept": 0,
        "more": 0,
        "gains": 0,
    }
    assert press.rows() == before
    assert applied(press, LESS, accept_loss=caught.value.token).sequence == 2


def refused(press: Press, text: str, *, accept_loss: str = "") -> LossError:
    """Apply a catalog file by which somebody loses."""
    with pytest.raises(LossError) as caught:
        applied(press, text, accept_loss=accept_loss)
    return caught.value


def test_a_loss_that_grew_is_refused_with_its_own_token(press: Press) -> None:
    """What was accepted for one customer is not accepted for two, nor for another one, nor for more of it."""
    press.hold("acme", "gold")
    one = refused(press, LESS)
    press.hold("initech", "gold")
    two = refused(press, LESS, accept_loss=one.token)
    assert (customer_count(one.token), customer_count(two.token)) == (1, 2)
    assert "another one, of 1 customer" in two.detail
    deeper = refused(press, CATALOG.replace("movies: 50", "movies: 10"), accept_loss=two.token)
    assert deeper.token != two.token
    assert applied(press, LESS, accept_loss=two.token).is_new


def test_a_loss_that_shrank_is_another_one_too(press: Press) -> None:
    """A token names a loss, and a smaller one has its own; where nothing is lost any more, nothing is asked."""
    press.hold("acme", "gold")
    press.hold("initech", "gold")
    two = refused(press, LESS)
    override = Override("o", "movies", OverrideMode.REPLACE, Unlimited())
    press.store.change(lambda unit: keep_override(unit, "initech", override), SYSTEM)
    one = refused(press, LESS, accept_loss=two.token)
    assert customer_count(one.token) == 1
    press.store.change(lambda unit: keep_override(unit, "acme", override), SYSTEM)
    assert applied(press, LESS, accept_loss=two.token).is_new


def keep_override(unit: WriteUnit, customer: str, override: Override) -> None:
    """Give a customer an override."""
    unit.touch(customer)
    write_customer_parts(unit.session, Customer(customer, overrides=(override,)))


def test_the_same_loss_has_the_same_token_everywhere(sqlite_url: str, postgres_url: str) -> None:
    """On another database, in another order, by another process, and a minute later."""
    tokens = []
    for url, names in ((sqlite_url, ("acme", "Zeta", "ümlaut")), (postgres_url, ("ümlaut", "Zeta", "acme"))):
        with opened(url) as press:
            press.apply()
            for name in names:
                press.hold(name, "gold")
            tokens.append(refused(press, LESS).token)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(loss_estimate, "MAX_IN_PROCESS", 1)
                tokens.append(refused(press, LESS).token)
    assert len(set(tokens)) == 1
    assert customer_count(tokens[0]) == 3


def test_how_much_a_rule_takes_is_part_of_the_token(press: Press) -> None:
    """Two rules by which the same customer is allowed less of the same value are two losses."""
    press.hold("acme", "gold")

    def rule(amount: int) -> str:
        when = f"when {{ context.amount > {amount} }}"
        text = f'@id("cap")\nforbid (principal, action == Action::"consume", resource == Feature::"movies") {when};'
        rules = Rules(policies={"cap": text})
        planner = plan_apply(ApplyRequest(load_catalog_texts({"catalog.yaml": CATALOG}), rules))
        with pytest.raises(LossError) as caught:
            press.publisher.publish(
                planner, lambda work: press.store.change(work, SYSTEM), PublishConditions(checks_loss=True)
            )
        return caught.value.token

    assert rule(5) == rule(5)
    assert rule(5) != rule(3)


def test_how_much_a_cap_takes_is_part_of_the_token(press: Press) -> None:
    """A cap per user leaves the value as it is."""
    press.hold("acme", "gold")
    capped = [CATALOG.replace("{id: movies,", f"{{id: movies, caps: {{per_user: {cap}}},") for cap in (5, 3)]
    assert refused(press, capped[0]).token == refused(press, capped[0]).token
    assert refused(press, capped[0]).token != refused(press, capped[1]).token


def test_what_is_taken_while_it_is_weighed_is_seen(press: Press) -> None:
    """Whoever comes to hold it between the weighing and the transaction is not covered by the token."""
    press.hold("acme", "gold")
    token = refused(press, LESS).token
    planner = plan_apply(ApplyRequest(load_catalog_texts({"catalog.yaml": LESS})))
    come: list[str] = []

    def racing(work: Callable[[WriteUnit], PublishResult]) -> PublishResult:
        if not come:
            come.append("late")
            press.hold("late", "gold")
        return press.store.change(work, SYSTEM)

    with pytest.raises(LossError) as caught:
        press.publisher.publish(planner, racing, PublishConditions(checks_loss=True, accepted_loss=token))
    assert customer_count(caught.value.token) == 2
    assert press.sequence == 1


def test_who_has_an_override_in_place_of_what_is_taken_loses_nothing(press: Press) -> None:
    """What is compared is what is allowed, not what the plan gives."""
    override = Override("o", "movies", OverrideMode.REPLACE, Unlimited())
    press.hold("acme", "gold", overrides=(override,))
    outcome = applied(press, LESS)
    assert outcome.impact is not None
    assert (outcome.impact["examined"], outcome.impact["customers"]["touched"]) == (1, 0)


def test_a_first_publication_takes_nothing(sqlite_url: str) -> None:
    """There is nothing in force that anybody could lose."""
    with opened(sqlite_url) as press:
        assert applied(press, CATALOG).impact is None


def test_without_being_asked_nothing_is_weighed(press: Press) -> None:
    """Suspensions, rollbacks and what is sold go through as before."""
    press.hold("acme", "gold")
    assert press.apply(LESS).impact is None


def test_many_holders_are_found_by_a_process_of_its_own(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same tally; and it says how far it is."""
    for place in range(30):
        press.hold(f"c{place}", "gold")
    monkeypatch.setattr(loss_estimate, "MAX_IN_PROCESS", 10)
    with pytest.raises(LossError) as caught:
        applied(press, LESS)
    assert caught.value.impact["customers"]["take"] == 30  # type: ignore[index]


# ── items that cease to count ────────────────────────────────────────────────────────────────────────────────────────

CHAIN = CATALOG + "  - {id: pack, kind: addon, depends_on: [extra], entitlements: {movies: {add: 7}}}\n"


@pytest.mark.parametrize(
    ("new", "taken"),
    [
        (CHAIN.replace("available_for: [gold]", "available_for: [free]"), {"acme": (67, 50)}),
        (CHAIN.replace("depends_on: [extra]", "depends_on: [free]"), {"acme": (67, 60)}),
        (CHAIN.replace("id: extra,", "id: extra, rollouts: [],"), {"acme": (67, 50)}),
        (CHAIN.replace("id: gold,", "id: gold, rollouts: [],"), {"acme": (67, None)}),
    ],
    ids=["available for others", "depends on others", "given to nobody", "its plan given to nobody"],
)
def test_what_ceases_to_count_is_a_loss(press: Press, new: str, taken: dict[str, tuple[int, int | None]]) -> None:
    """An item for which what it needs is no longer held gives nothing, nor does what needs it."""
    press.apply(CHAIN)
    press.hold("acme", "gold", "extra", "pack")
    press.hold("beta", "free")
    impact = refused(press, new).impact
    examples = next(it["examples"] for it in impact["features"] if it["feature"] == "movies")  # type: ignore[attr-defined]
    assert {it["customer"]: (it["before"]["value"], it["after"]["value"] or None) for it in examples} == taken


def test_needing_less_takes_nothing(press: Press) -> None:
    """It is looked at, and published."""
    press.hold("acme", "gold", "extra")
    outcome = applied(press, CATALOG.replace("available_for: [gold]", "available_for: [gold, free]"))
    assert outcome.impact is not None
    assert (outcome.impact["examined"], outcome.impact["customers"]["touched"]) == (1, 0)
