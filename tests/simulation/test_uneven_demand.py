from __future__ import annotations

import pytest

from tests.simulation.crowd import Crowd

LIMIT = 10_000
DEMANDS = {
    "one holder is hot": [2_000.0] + [5.0] * 19,
    "each holder has less than the one before": [2_000 / (index + 1) for index in range(20)],
    "half of the holders are nearly idle": [400.0] * 10 + [1.0] * 10,
    "all holders are alike": [200.0] * 20,
}


@pytest.mark.parametrize("rates", DEMANDS.values(), ids=DEMANDS)
def test_uneven_demand_uses_the_limit_before_anybody_is_refused(rates: list[float]) -> None:
    """At least 99 % of a limit is used before the first refusal, nobody waits for others, and the last unit is sold."""
    outcome = Crowd(LIMIT, rates, waits=False).run(1_000 + 2_000 * LIMIT / sum(rates) + 5_000)
    assert outcome.used >= LIMIT * 99 // 100
    assert outcome.sold == LIMIT
    assert outcome.exchanges < LIMIT // 5


def test_holders_that_stop_give_their_units_back() -> None:
    """Holders that stop consuming at once, with leases sized for a high rate, do not keep their units."""
    crowd = Crowd(LIMIT, [1_000.0] * 20, waits=False)
    crowd.run(1_200)
    crowd.rates[1:] = [0.0] * 19
    outcome = crowd.run(20_000)
    assert outcome.used >= LIMIT * 99 // 100
    assert outcome.sold == LIMIT


def test_consumptions_that_wait_use_all_of_the_limit() -> None:
    """If consumptions wait for units that others hold, nobody is refused before the last unit is sold."""
    outcome = Crowd(500, [400.0] * 3 + [20.0] * 17, waits=True).run(9_000)
    assert outcome.used == outcome.sold == 500
