"""What a use of a feature is booked on, and the calls of the ledger that book it in the right windows.

The accounts are those of a consumption at a sidecar: the customer's; the subscription's and the user's where they are
named; everybody's where there is a cap for everybody; and the same of the feature that it draws on.

Which window an instant is in depends on what was used before, so only the ledger knows it. A call is made with a guess,
and again with the windows that the ledger names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from tiergate.engine.metered_limits import drawn_amount
from tiergate.engine.normalized_check import normalize_check
from tiergate.errors import CheckError, NotFoundError, RequestError
from tiergate.model import SubjectType
from tiergate.store.subjects import customers_of
from tiergate.store.usage_ledger import LedgerCall, needs_of_consumption
from tiergate.usage.accounts import Account, Consumption, Debit, Scope
from tiergate.usage.protocol import Reason, Refused
from tiergate.usage.windows import UsageWindows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import TypeVar

    from tiergate.model import CatalogIndex, Check, Feature, Instant, Interval, Subject
    from tiergate.store import ReadUnit
    from tiergate.usage.ledger import Ledger

    T = TypeVar("T")

ROUNDS: Final = 6
"""How often a call is made again because the windows of its accounts have changed."""

AHEAD_MS: Final = 60_000
"""How far usage may be in the future, in milliseconds: clocks differ."""


class Use(NamedTuple):
    """Usage of a feature by a subject of a customer, in units of the feature. `source`: what the feature draws on."""

    subject: Subject
    customer: str
    feature: Feature
    amount: int
    source: Feature | None = None

    @property
    def own(self) -> int:
        """The place of the account of the subject itself among the debits."""
        return int(self.subject.type is SubjectType.SUBSCRIPTION)

    def debits(self, at: Instant) -> tuple[Debit, ...]:
        """Return the debits, in the windows in which an instant is if nothing was used before."""
        debits: list[Debit] = []
        for feature, amount in ((self.feature, self.amount), (self.source, drawn_amount(self.feature, self.amount))):
            if feature is None or feature.metered is None or not amount:
                continue
            window = UsageWindows.of(feature.metered).at(at).start
            debits += [Debit(account, amount) for account in self._accounts(feature, window)]
        return tuple(debits)

    def _accounts(self, feature: Feature, window: Instant) -> Iterable[Account]:
        yield Account(feature.id, Scope.CUSTOMER, self.customer, "", window)
        if self.subject.type is SubjectType.SUBSCRIPTION:
            yield Account(feature.id, Scope.SUBSCRIPTION, self.customer, self.subject.id, window)
        if self.subject.user is not None:
            yield Account(feature.id, Scope.USER, self.customer, self.subject.user, window)
        if feature.caps.total is not None:
            yield Account(feature.id, Scope.EVERYBODY, "", "", window)


class OtherWindows(NamedTuple):
    """The same consumption, in the windows that the ledger names."""

    consumption: Consumption


def find_use(index: CatalogIndex, check: Check, customers: Mapping[str, str]) -> Use:
    """Return the use that a check describes. `customers`: of subscriptions, by id.

    Raises:
        UnknownFeatureError, CheckError: as a check; or the feature is not metered.
        RequestError: 404, there is no such subscription.
    """
    feature, normalized = normalize_check(check, index.features)
    if feature.metered is None:
        raise CheckError("feature", f"`{feature.id}` is not metered: its usage is not counted")
    source = None if feature.draws is None else index.features.get(feature.draws.source)
    subject = check.subject
    customer: str | None = subject.id
    if subject.type is SubjectType.SUBSCRIPTION:
        customer = customers.get(subject.id)
    if customer is None:
        raise unknown_subject(subject)
    return Use(subject, customer, feature, normalized.amount, source)


def customers_of_subjects(unit: ReadUnit, subjects: Collection[Subject]) -> Mapping[str, str]:
    """Return the customers of those of the subjects that are subscriptions, by id."""
    ids = {subject.id for subject in subjects if subject.type is SubjectType.SUBSCRIPTION}
    return customers_of(unit.session, sorted(ids)) if ids else {}


def unknown_subject(subject: Subject) -> RequestError:
    """Return that there is no such subject."""
    detail = f"there is no {subject.type.value} of this id"
    return RequestError(404, "unknown subject", detail, field="/subject")


def metered_feature(index: CatalogIndex, id_: str) -> Feature:
    """Return a feature whose usage is counted.

    Raises:
        NotFoundError: if there is no such feature, or it is not metered.
    """
    feature = index.features.get(id_)
    if feature is None or feature.metered is None:
        raise NotFoundError("metered feature", id_)
    return feature


def call_in_windows(
    consumption: Consumption, act: Callable[[Ledger, Consumption, tuple[Interval, ...]], T]
) -> LedgerCall[T | OtherWindows | Refused]:
    """Return the call that acts on a consumption if its accounts are in the right windows, which `act` gets too."""

    def call(ledger: Ledger) -> T | OtherWindows | Refused:
        windows: list[Interval] = []
        for debit in consumption.debits:
            window = ledger.window_of(debit.account, consumption.at)
            if window is None:
                return Refused(Reason.UNKNOWN_ACCOUNT, debit.account)
            windows.append(window)
        placed = tuple(
            replace(debit, account=debit.account.in_window(window.start))
            for debit, window in zip(consumption.debits, windows, strict=True)
        )
        if placed != consumption.debits:
            return OtherWindows(replace(consumption, debits=placed))
        return act(ledger, consumption, tuple(windows))

    return LedgerCall(needs_of_consumption(consumption), call)
