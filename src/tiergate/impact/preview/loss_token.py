"""The token of a loss: it identifies exactly which subjects lose what, so that accepting it accepts nothing else.

A rejection and a dry run return the token; the request passes it as `accept_loss`. Pure: the same losses have the same
token in every process, database and order. A token reveals only the number of customers.

One customer more or less, another feature, value or instant is another loss with another token. A loss that already
applies, or applies at once, has no instant, so its token stays the same over time.
"""

from __future__ import annotations

import hashlib
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.model import Number, SubjectType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.impact.preview.subject_effects import Effect, SubjectEffect
    from tiergate.model import Instant, Subject

_TOKEN: Final = re.compile(r"loss-([1-9][0-9]{0,17})-[0-9a-f]{32}")
_DIGITS: Final = 32
_MODULUS: Final = 2**256

LossValue = bool | Number | str | None
"""A value of a feature, as in `LeastCheckResult.value`."""

_encode = msgspec.json.Encoder().encode


class Loss(NamedTuple):
    """What one subject loses of one feature.

    `effect`: one that reduces. `since`: the first instant, in UTC milliseconds; `None` if at once. `overages`: how much
    above the values soft limits allow.
    """

    subject: Subject
    feature: str
    effect: Effect
    since: Instant | None
    before: LossValue
    after: LossValue
    overages: tuple[Number | str, Number | str] = (0, 0)


class LossAccumulator:
    """Sums losses, customer by customer, in constant memory; `features`: those with a loss."""

    def __init__(self) -> None:
        self._sum = 0
        self.customers = 0
        self.features: set[str] = set()

    def add(self, customer: str, losses: Iterable[Loss]) -> None:
        """Add all losses of one customer and its subscriptions; without any, the customer is not counted."""
        digests = []
        for loss in losses:
            digests.append(int.from_bytes(_digest([customer, *_plain(loss)])))
            self.features.add(loss.feature)
        if digests:
            self.customers += 1
            self._sum = (self._sum + sum(digests)) % _MODULUS

    def token(self, basis: Iterable[str] = ()) -> str:
        """Return the token; empty if nothing is lost.

        `basis`: texts that define the loss if values do not, such as rules; in their order.
        """
        if not self.customers:
            return ""
        name = _digest([self.customers, f"{self._sum:x}", *basis]).hex()[:_DIGITS]
        return f"loss-{self.customers}-{name}"


def loss_token(customer: str, losses: Iterable[Loss], basis: Iterable[str] = ()) -> str:
    """Return the token of one customer's losses; empty if there are none."""
    result = LossAccumulator()
    result.add(customer, losses)
    return result.token(basis)


def losses_of(effects: Iterable[SubjectEffect], now: Instant) -> list[Loss]:
    """Return the effects that reduce something as losses; `now`: the instant that the search started at."""
    return [
        Loss(
            effect.subject,
            effect.feature,
            effect.effect,
            effect.since if effect.since > now else None,
            effect.before.value,
            effect.after.value,
            (effect.before.overage, effect.after.overage),
        )
        for effect in effects
        if effect.effect.reduces
    ]


def is_loss_token(text: str) -> bool:
    """Return whether a text has the form of a token."""
    return _TOKEN.fullmatch(text) is not None


def customer_count(token: str) -> int:
    """Return the number of customers in a token; 0 if the text is no token."""
    match = _TOKEN.fullmatch(token)
    return 0 if match is None else int(match[1])


def _plain(loss: Loss) -> list[object]:
    kind = "customer" if loss.subject.type is SubjectType.CUSTOMER else "subscription"
    values = [_value(loss.before), _value(loss.after)]
    if loss.overages != (0, 0):
        values += [_value(overage) for overage in loss.overages]
    return [kind, loss.subject.id, loss.feature, loss.effect.value, loss.since, *values]


def _value(value: LossValue) -> object:
    """Return a value in one form, whatever type its number has."""
    if value is None or isinstance(value, bool | str):
        return value
    return [format(Decimal(value).normalize(), "f")]


def _digest(parts: list[object]) -> bytes:
    return hashlib.sha256(_encode(parts)).digest()
