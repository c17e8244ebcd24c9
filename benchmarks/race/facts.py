"""The facts that every system gets, and the questions with their right answers.

Plan `p<i>` gives each quantity feature `f<i>` its own limit, and customer `c<i>` has one to three plans. The question:
may this customer use one more of this feature, if `used` are in use? Yes, if some plan of the customer gives more.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FEATURES = 400
PLANS = 200
CUSTOMERS = 10_000
LARGEST = 10**9


@dataclass(frozen=True)
class Question:
    """May customer `c<customer>` use one more of feature `f<feature>`, if `used` are in use?"""

    customer: int
    feature: int
    used: int


@dataclass(frozen=True)
class Facts:
    """`limits[plan][feature]`, from 1 to `LARGEST`, and the plans of each customer."""

    limits: tuple[tuple[int, ...], ...]
    subscriptions: tuple[tuple[int, ...], ...]

    @property
    def features(self) -> int:
        """The number of features."""
        return len(self.limits[0])

    @property
    def plans(self) -> int:
        """The number of plans."""
        return len(self.limits)

    @property
    def customers(self) -> int:
        """The number of customers."""
        return len(self.subscriptions)

    def allowed(self, question: Question) -> bool:
        """Return the right answer."""
        plans = self.subscriptions[question.customer]
        return question.used < max(self.limits[plan][question.feature] for plan in plans)

    def boundary_questions(self, pairs: int) -> Iterator[Question]:
        """Return two questions for each of `pairs` customers and features, on both sides of a limit.

        The limits are those of all plans of the customer in turn, so that half of the customers' smaller limits are
        asked for too.
        """
        for turn in range(pairs):
            customer, feature = turn * 37 % self.customers, turn * 13 % self.features
            plans = self.subscriptions[customer]
            limit = self.limits[plans[turn % len(plans)]][feature]
            yield Question(customer, feature, limit - 1)
            yield Question(customer, feature, limit)


def draw_facts(features: int = FEATURES, plans: int = PLANS, customers: int = CUSTOMERS) -> Facts:
    """Return the facts of a size: the same on every machine. Customer 0 has only plan 0."""
    draw = random.Random(11)
    limits = tuple(tuple(draw.randint(1, LARGEST) for _ in range(features)) for _ in range(plans))
    others = (tuple(draw.sample(range(plans), draw.randint(1, min(3, plans)))) for _ in range(customers - 1))
    return Facts(limits, ((0,), *others))
