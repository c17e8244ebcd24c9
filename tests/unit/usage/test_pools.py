"""Pools: what is spent first, what comes back, and what grants have left; against a model that moves single units."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from tiergate.model import BEGINNING, FOREVER, Interval, SpendOrder
from tiergate.usage.pools import ALLOWANCE, OVERAGE, ROLLOVER, Grant, Part, Pools, rollover_grant

ALLOWANCE_FIRST, GRANTS_FIRST = SpendOrder
NOW = 50


def pools(
    allowance: int | None, *grants: Grant, order: SpendOrder = ALLOWANCE_FIRST, drawn: dict[str, int] | None = None
) -> Pools:
    """Pools of a window that has drawn nothing but what is given, nor has any other."""
    drawn = drawn or {}
    return Pools.of(allowance, drawn, [(grant, drawn.get(grant.id, 0)) for grant in grants], order)


def next_window(before: Pools, allowance: int | None, *more: Grant) -> Pools:
    """Pools of the window after one, with more grants."""
    totals = [(pool.grant, pool.elsewhere + pool.drawn) for pool in before.grants]
    return Pools.of(allowance, {}, totals + [(grant, 0) for grant in more], before.order)


def test_the_allowance_is_spent_first_then_grants_in_their_order() -> None:
    """By priority, the lowest first, then by the earlier end, then by id; what is left over is overage."""
    grants = (
        Grant("late", 10, until=90),
        Grant("b", 10, until=80),
        Grant("a", 10, until=80),
        Grant("first", 10, priority=1),
    )
    full = pools(100, *grants)
    wanted = [(ALLOWANCE, 100), ("first", 10), ("a", 10), ("b", 10), ("late", 10), (OVERAGE, 7)]
    assert list(full.debit(147, NOW).drawn.items()) == [wanted[0], wanted[5], *wanted[1:5]]
    assert full.debit(115, NOW).drawn == {ALLOWANCE: 100, "first": 10, "a": 5}
    turned = pools(100, *grants, order=GRANTS_FIRST)
    assert turned.debit(45, NOW).drawn == {"first": 10, "a": 10, "b": 10, "late": 10, ALLOWANCE: 5}


def test_a_grant_counts_from_its_start_until_its_end() -> None:
    """Before and after it adds only what was drawn from it."""
    grant = Grant("g", 10, start=40, until=60)
    state = pools(0, grant).debit(4, NOW)
    assert [state.limit(at) for at in (39, 40, 59, 60)] == [4, 10, 10, 4]
    assert [state.remaining(at) for at in (39, 40, 59, 60)] == [0, 6, 6, 0]
    assert state.debit(3, 60).drawn == {"g": 4, OVERAGE: 3}
    assert state.ended(NOW, 60) == (Part("g", 6),)
    assert state.ended(NOW, 59) == ()


def test_an_unlimited_allowance_gives_everything() -> None:
    """Grants are left alone, except with `grants_first`; there is no overage, and its use is counted."""
    state = pools(None, Grant("g", 10)).debit(10**18, NOW)
    assert state.drawn == {ALLOWANCE: 10**18}
    assert (state.used, state.limit(NOW), state.remaining(NOW), state.closing(5)) == (10**18, None, None, 0)
    assert pools(None, Grant("g", 10), order=GRANTS_FIRST).debit(15, NOW).drawn == {"g": 10, ALLOWANCE: 5}


def test_units_are_given_back_in_reverse() -> None:
    """Overage first, then the pool that was spent last."""
    for order, grants_left in ((ALLOWANCE_FIRST, 10), (GRANTS_FIRST, 0)):
        spent = pools(100, Grant("a", 5, priority=1), Grant("b", 5), order=order).debit(115, NOW)
        assert spent.drawn == {ALLOWANCE: 100, "a": 5, "b": 5, OVERAGE: 5}
        returned = spent.give_back(15, NOW)
        assert sum(pool.left for pool in returned.grants) == grants_left
        assert returned.used == 100


def test_what_comes_back_to_an_ended_grant_comes_last() -> None:
    """Nobody could spend it again."""
    spent = pools(5, Grant("ended", 5, until=60)).debit(10, NOW)
    assert spent.give_back(5, 60).drawn == {"ended": 5}
    assert spent.give_back(7, 60).remaining(60) == 5
    assert spent.give_back(5, 59).drawn == {ALLOWANCE: 5}


def test_pain_a_negative_correction_below_zero() -> None:
    """Gives back what was used, and no more: usage is 0, and no pool has more than it had."""
    full = pools(10, Grant("g", 5))
    corrected = full.debit(12, NOW).give_back(100, NOW)
    assert corrected == full
    assert (corrected.used, corrected.limit(NOW), corrected.drawn) == (0, 15, {})


@pytest.mark.parametrize("order", SpendOrder)
def test_pain_a_top_up_does_not_disappear_at_the_reset(order: SpendOrder) -> None:
    """What is left of it is there in the next window, and the one after that."""
    first = pools(100, Grant("top-up", 50), order=order).debit(120, NOW)
    left = first.grants[0].left
    assert left == (30 if order is ALLOWANCE_FIRST else 0)
    second = next_window(first, 100)
    assert (second.used, second.limit(NOW)) == (0, 100 + left)
    third = next_window(second.debit(100 + left // 2, NOW), 100)
    assert third.limit(NOW) == 100 + left - left // 2


def test_a_top_up_outlives_a_fall_of_the_allowance() -> None:
    """What was spent of the allowance stays so: no grant pays for it, and what was left of the grant is there later."""
    state = pools(100, Grant("top-up", 50)).debit(80, NOW).with_allowance(50, NOW)
    assert (state.used, state.limit(NOW), state.remaining(NOW)) == (80, 100, 20)
    spent = state.debit(20, NOW)
    assert (spent.drawn, spent.remaining(NOW)) == ({ALLOWANCE: 80, "top-up": 20}, 0)
    assert spent.debit(1, NOW).drawn[OVERAGE] == 1
    assert next_window(spent, 50).limit(NOW) == 80


def test_pain_an_upgrade_in_mid_window_forgets_and_doubles_nothing() -> None:
    """The limit changes at once, and what was used stays: up, down and up again is as if nothing had been."""
    used = pools(50, Grant("top-up", 20)).debit(60, NOW)
    up = used.with_allowance(100, NOW)
    assert (up.used, up.limit(NOW), up.remaining(NOW)) == (60, 120, 60)
    assert up.with_allowance(50, NOW) == used
    assert used.with_allowance(10, NOW).with_allowance(50, NOW) == used
    assert used.with_allowance(None, NOW).used == 60


@pytest.mark.parametrize("late", [False, True])
def test_a_new_grant_or_a_larger_allowance_takes_overage_over(late: bool) -> None:
    """Even if nothing is used before the grant ends, if the pools were settled while it counted."""
    over = pools(100).debit(120, NOW)
    assert (over.overage, over.remaining(NOW)) == (20, 0)
    granted = Pools.of(100, over.drawn, [(Grant("g", 15, until=60), 0)])
    assert (granted.limit(NOW), granted.used, granted.remaining(NOW)) == (115, 120, 0)
    settled = granted.settle(NOW)
    assert settled.drawn == {ALLOWANCE: 100, "g": 15, OVERAGE: 5}
    assert settled.limit(70 if late else NOW) == 115
    assert over.with_allowance(110, NOW).drawn == {ALLOWANCE: 110, OVERAGE: 10}


def test_what_is_left_of_the_allowance_rolls_over_up_to_a_maximum() -> None:
    """Nothing of grants, nor of what rolled over before; it is a grant that ends with the next window."""
    window = Interval(100, 200)
    full = pools(100, Grant("g", 50))
    assert [full.debit(units, NOW).closing(30) for units in (0, 69, 70, 75, 100, 130)] == [30, 30, 30, 25, 0, 0]
    grant = rollover_grant(25, 0, window)
    assert (grant.id, grant.amount, grant.start, grant.until) == (f"{ROLLOVER}0", 25, 100, 200)
    following = next_window(full.debit(75, NOW), 100, grant)
    assert (following.limit(100), following.limit(200)) == (175, 150)
    assert following.debit(110, 150).drawn == {ALLOWANCE: 100, grant.id: 10}, "before other grants"
    assert following.closing(30) == 30


def test_late_usage_of_a_closed_window_cannot_spend_again_what_rolled_over() -> None:
    """The closed window's allowance is smaller by it."""
    closing = pools(100).debit(60, NOW)
    rolled = closing.closing(30)
    late = Pools.of(100 - rolled, closing.drawn).debit(40, NOW)
    assert late.drawn == {ALLOWANCE: 70, OVERAGE: 30}


def test_what_came_out_of_each_pool_is_known() -> None:
    """Of a debit, and of units given back."""
    before = pools(10, Grant("g", 5))
    after = before.debit(17, NOW)
    assert after.parts_since(before) == (Part(ALLOWANCE, 10), Part(OVERAGE, 2), Part("g", 5))
    assert after.give_back(4, NOW).parts_since(after) == (Part(OVERAGE, -2), Part("g", -2))


def test_pools_are_made_of_what_was_drawn() -> None:
    """And of nothing that grants do not account for."""
    state = Pools.of(10, {ALLOWANCE: 3, "g": 2}, [(Grant("g", 9), 6)])
    assert (state.drawn, state.used, state.limit(NOW)) == ({ALLOWANCE: 3, "g": 2}, 5, 15)
    for drawn, grants in (({"g": 2}, []), ({"g": 2}, [(Grant("g", 9), 1)])):
        with pytest.raises(ValueError, match="grants"):
            Pools.of(10, drawn, grants)


def test_a_grant_that_was_lowered_below_what_was_drawn_has_nothing_left() -> None:
    """And never less than nothing."""
    state = Pools.of(0, {"g": 5}, [(Grant("g", 3), 6)])
    assert (state.grants[0].left, state.limit(NOW), state.remaining(NOW)) == (0, 5, 0)


# ── against a model ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Unit:
    """One unit of a grant or of overage, and in which window it was used, if it was."""

    pool: str
    window: int | None = None


@dataclass
class Model:
    """Single units, moved one at a time: what is used in the window, and where each unit came from."""

    allowance: int | None
    grants: dict[str, Grant]
    order: SpendOrder
    window: int = 0
    used: list[str] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)

    def give(self, grant: Grant) -> None:
        """A grant: its units, none of them used."""
        self.grants[grant.id] = grant
        self.units += [Unit(grant.id) for _ in range(grant.amount)]

    def unused(self, at: int) -> list[Unit]:
        """Units of grants that can be used now, the next one first."""
        going = sorted(
            (grant for grant in self.grants.values() if grant.start <= at < grant.until),
            key=lambda grant: (grant.priority, grant.until, grant.id),
        )
        return [unit for grant in going for unit in self.units if unit.pool == grant.id and unit.window is None]

    def below_limit(self, at: int) -> bool:
        """Whether one more unit is below the limit, overage apart."""
        if self.allowance is None:
            return True
        return self.used.count(ALLOWANCE) - self.allowance < len(self.unused(at))

    def use(self, at: int) -> None:
        """Use one unit."""
        unused = self.unused(at)
        has_allowance = self.allowance is None or self.used.count(ALLOWANCE) < self.allowance
        if not self.below_limit(at):
            self.used.append(OVERAGE)
        elif has_allowance and (self.order is ALLOWANCE_FIRST or not unused):
            self.used.append(ALLOWANCE)
        else:
            unused[0].window = self.window
            self.used.append(unused[0].pool)

    def settle(self, at: int) -> None:
        """Use overage again, now that there may be room."""
        while OVERAGE in self.used and self.below_limit(at):
            self.used.remove(OVERAGE)
            self.use(at)

    def return_one(self, at: int) -> None:
        """Give one unit back, if any was used."""
        going = [grant for grant in self.grants.values() if grant.start <= at < grant.until]
        ended = [grant for grant in self.grants.values() if grant not in going]
        ordered = [
            sorted(some, key=lambda grant: (grant.priority, grant.until, grant.id), reverse=True)
            for some in (going, ended)
        ]
        grants = [grant.id for grant in ordered[0]]
        first = [*grants, ALLOWANCE] if self.order is ALLOWANCE_FIRST else [ALLOWANCE, *grants]
        for pool in [OVERAGE, *first, *(grant.id for grant in ordered[1])]:
            if pool in self.used:
                self.used.remove(pool)
                for unit in self.units:
                    if unit.pool == pool and unit.window == self.window:
                        unit.window = None
                        break
                return

    def pools(self) -> Pools:
        """The same, as pools."""
        drawn = {pool: self.used.count(pool) for pool in set(self.used)}
        totals = {id_: sum(unit.pool == id_ and unit.window is not None for unit in self.units) for id_ in self.grants}
        return Pools.of(self.allowance, drawn, [(self.grants[id_], totals[id_]) for id_ in self.grants], self.order)


def totals(state: Pools) -> list[tuple[Grant, int]]:
    """Grants, each with what was drawn from it in all windows."""
    return [(pool.grant, pool.drawn + pool.elsewhere) for pool in state.grants]


def debit(state: Pools, model: Model, units: int, at: int) -> Pools:
    """Use units, in both."""
    remaining = state.remaining(at)
    after = state.debit(units, at)
    model.settle(at)
    for _ in range(units):
        model.use(at)
    assert after.used == state.used + units
    assert remaining is None or after.remaining(at) == max(0, remaining - units)
    return after


def give_back(state: Pools, model: Model, units: int, at: int) -> Pools:
    """Give units back, in both."""
    after = state.give_back(units, at)
    for _ in range(units):
        model.return_one(at)
    assert after.used == max(0, state.used - units)
    return after


def grant(state: Pools, model: Model, given: Grant, at: int) -> Pools:
    """Give a grant, in both."""
    model.give(given)
    model.settle(at)
    return Pools.of(state.allowance, state.drawn, [*totals(state), (given, 0)], state.order).settle(at)


def reset(state: Pools, model: Model, rollover_max: int, at: int) -> Pools:
    """Close the window, and open the next, in both."""
    rolled = state.closing(rollover_max)
    room = 0 if model.allowance is None else max(0, model.allowance - model.used.count(ALLOWANCE))
    assert rolled == min(room, rollover_max)
    model.used.clear()
    model.window += 1
    rolled_over = rollover_grant(rolled, model.window, Interval(at, at + 30))
    model.grants = {id_: given for id_, given in model.grants.items() if not id_.startswith(ROLLOVER)}
    model.units = [unit for unit in model.units if not unit.pool.startswith(ROLLOVER)]
    model.give(rolled_over)
    kept = [(given, total) for given, total in totals(state) if not given.id.startswith(ROLLOVER)]
    return Pools.of(state.allowance, {}, [*kept, (rolled_over, 0)], state.order)


def run(seed: int) -> None:
    """One random history of a customer, by the pools and by the model."""
    choose = random.Random(seed)
    model = Model(choose.choice((None, 0, 3, 8)), {}, choose.choice(list(SpendOrder)))
    state = model.pools()
    at, rollover_max = 0, choose.choice((0, 2, 5))
    for step in range(25):
        at += choose.randrange(4)
        match choose.randrange(8):
            case 0 | 1 | 2:
                state = debit(state, model, choose.randrange(6), at)
            case 3:
                state = give_back(state, model, choose.randrange(6), at)
            case 4:
                model.allowance = choose.choice((None, 0, 2, 5, 8))
                state = state.with_allowance(model.allowance, at)
                model.settle(at)
            case 5 | 6:
                start = choose.choice((BEGINNING, at, at + 3))
                until = choose.choice((FOREVER, at + 2, at + 8))
                given = Grant(f"g{step}", choose.randrange(6), start, until, choose.choice((0, 50, 50)))
                state = grant(state, model, given, at)
            case _:
                state = reset(state, model, rollover_max, at)
        assert state == model.pools(), (seed, step)
        limit, remaining = state.limit(at), state.remaining(at)
        assert (limit is None) == (remaining is None) == (model.allowance is None)
        assert limit is None or remaining == max(0, limit - state.used)
        assert min(state.spent, state.overage, *(pool.drawn for pool in state.grants), 0) == 0
        assert all(pool.left >= 0 for pool in state.grants)
        assert state.settle(at).settle(at) == state.settle(at)


def test_pools_are_what_moving_single_units_makes_of_them() -> None:
    """Debits, returns, changes of the allowance, grants and resets, in any order."""
    for seed in range(400):
        run(seed)


@pytest.mark.slow
def test_many_pools_are_what_moving_single_units_makes_of_them() -> None:
    """As above, 40,000 times."""
    for seed in range(400, 40_400):
        run(seed)
