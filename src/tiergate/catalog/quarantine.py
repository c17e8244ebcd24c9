"""Set aside customers whose records have problems, so that the others can be loaded.

A problem belongs to the customer of the record: for a subscription, the customer that it names; for two records with
one id, both. The loader then keeps the earlier records of these customers and ignores the new ones.

A problem without a customer (a line that is not a record, an unreadable file) is not set aside: the choice of records
to keep would be a guess, and a truncated file looks the same. Too many customers are not set aside either: then the
file or the catalog is wrong, not the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.catalog.reading.problem_report import ProblemLog
    from tiergate.model import Problem

_ALWAYS: Final = 1_000
_SHARE: Final = 10
"""More than this number of customers, and more than a tenth of all, are too many."""


class Quarantine:
    """The customers set aside while subjects are read. `customers`: id → the subscriptions in records with problems.

    `subscriptions`: those without a known customer. `problems`: all problems, once everything is read; `count`: how
    many there are in total.
    """

    def __init__(self) -> None:
        self.customers: dict[str, set[str]] = {}
        self.subscriptions: set[str] = set()
        self.problems: list[Problem] = []
        self.count = 0
        self._placed = 0
        self._nobodys = False

    def __bool__(self) -> bool:
        return bool(self.customers or self.subscriptions)

    def note(self, customer: str | None, subscription: str | None, problems: int) -> None:
        """Set aside a record with this number of problems, by the ids that can be read in it."""
        self._placed += problems
        if customer is not None:
            self.blame(customer, () if subscription is None else (subscription,))
        elif subscription is not None:
            self.subscriptions.add(subscription)
        else:
            self._nobodys = True

    def blame(self, customer: str, subscriptions: Iterable[str] = (), problems: int = 0) -> None:
        """Set aside a customer for problems between records."""
        self._placed += problems
        self.customers.setdefault(customer, set()).update(subscriptions)

    def finish(self, log: ProblemLog, customers: int, *, is_complete: bool) -> bool:
        """Return whether all problems in `log` are set aside; `customers`: the number of customers in total.

        If not, nothing is set aside: all problems stay.
        """
        self.problems, self.count = log.sorted(), log.count
        result = len(self.customers) + len(self.subscriptions)
        too_many = result > max(_ALWAYS, customers // _SHARE) or result >= customers
        return is_complete and not self._nobodys and self._placed == log.count and not too_many
