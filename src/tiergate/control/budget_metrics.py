"""Metrics of error budgets: only of features that promise a service level, as of the last minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from tiergate.admin.service_levels import burn_rates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric

    from tiergate.admin.service_level_figures import Standing


def budget_metrics(standings: Iterable[Standing]) -> Iterator[Metric]:
    """Yield what is left of the budgets of features, and how fast they burn; what items promise is left out."""
    left = GaugeMetricFamily(
        "tiergate_cp_error_budget_left_ratio",
        "The part of the error budget of the current window that is left; negative if it is overdrawn.",
        labels=["feature"],
    )
    rates = GaugeMetricFamily(
        "tiergate_cp_error_budget_burn_rate",
        "How fast the error budget burns; 1 spends exactly all of it.",
        labels=["feature", "over"],
    )
    for standing in standings:
        budget = standing.budget
        if standing.key.item or budget is None:
            continue
        share = budget.share_spent
        left.add_metric([standing.key.feature], float(not budget.spent) if share is None else 1 - share)
        for over, rate in burn_rates(standing).items():
            rates.add_metric([standing.key.feature, over], rate)
    yield left
    yield rates
