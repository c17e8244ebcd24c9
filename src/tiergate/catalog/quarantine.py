"""Whose records have problems, where the others shall be loaded all the same.

A problem is set aside with the customer whom it concerns: the customer of the record, of a subscription the one that it
names, of two records with one id both. Whoever loads then keeps the earlier records of these customers, and takes
nothing of what the files now say of them. What names nobody (a line that is no record, a file that cannot be read) is
not set aside: whose record to keep would be a guess, and a file that is cut looks just so. Neither is too much at once:
then not a record is wrong, but the file, or the catalog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.catalog.reading.problem_report import ProblemLog
    from tiergate.model import Problem

_ALWAYS: Final = 1_000
_SHARE: Final = 10
"""More than so many customers, and more than a tenth of all, are too many."""


class Quarantine:
    """What is set aside while subjects are read. `customers`: by id, the subscriptions in records with problems.

    `subscriptions`: those of which nobody can say the customer. `problems`: what is wrong, once everything was read;
    `count` of them in all.
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
        """Set a record aside that has so many problems of its own, by the ids that can be read in it."""
        self._placed += problems
        if customer is not None:
            self.blame(customer, () if subscription is None else (subscription,))
        elif subscription is not None:
            self.subscriptions.add(subscription)
        else:
            self._nobodys = True

    def blame(self, customer: str, subscriptions: Iterable[str] = (), problems: int = 0) -> None:
        """Set a customer aside for so many problems that show between records."""
        self._placed += problems
        self.customers.setdefault(customer, set()).update(subscriptions)

    def finish(self, log: ProblemLog, customers: int, *, is_complete: bool) -> bool:
        """Say whether all that is in `log` is set aside; `customers`: how many there are in all.

        Where it is not, nothing is: all problems stand.
        """
        self.problems, self.count = log.sorted(), log.count
        found = len(self.customers) + len(self.subscriptions)
        too_many = found > max(_ALWAYS, customers // _SHARE) or found >= customers
        return is_complete and not self._nobodys and self._placed == log.count and not too_many
