"""The token of a loss: it names exactly who loses what, so that whoever accepts it accepts that and nothing else.

A refusal and a dry run give the token; the request that is meant gives it back as `accept_loss`. Pure: the same losses
have the same token in every process, on every database and in whatever order they are found. Nothing can be read from
a token but the number of customers.

A token holds while the loss is the same. One customer more or less, another feature, another value, another instant:
each of them is another loss, with another token. What holds already, or holds at once, has no instant, so that a token
does not change while somebody reads what it stands for.
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
"""What a subject holds of a feature, as `Answered.value` has it."""

_encode = msgspec.json.Encoder().encode


class Loss(NamedTuple):
    """What one subject loses of one feature.

    `effect`: one that takes. `since`: the first instant of it, in UTC milliseconds; none where it holds at once.
    `before` and `after`: what the subject holds.
    """

    subject: Subject
    feature: str
    effect: Effect
    since: Instant | None
    before: LossValue
    after: LossValue


class LossAccumulator:
    """Adds up losses, customer by customer, in constant memory; `features`: those of which something is lost."""

    def __init__(self) -> None:
        self._sum = 0
        self.customers = 0
        self.features: set[str] = set()

    def add(self, customer: str, losses: Iterable[Loss]) -> None:
        """Add all that one customer loses, itself or by its subscriptions; nothing of it: it does not count."""
        digests = []
        for loss in losses:
            digests.append(int.from_bytes(_digest([customer, *_plain(loss)])))
            self.features.add(loss.feature)
        if digests:
            self.customers += 1
            self._sum = (self._sum + sum(digests)) % _MODULUS

    def token(self, basis: Iterable[str] = ()) -> str:
        """The token of all of it; empty where nothing is lost.

        `basis`: texts that say how much is lost where values do not, such as rules; in their order.
        """
        if not self.customers:
            return ""
        name = _digest([self.customers, f"{self._sum:x}", *basis]).hex()[:_DIGITS]
        return f"loss-{self.customers}-{name}"


def loss_token(customer: str, losses: Iterable[Loss], basis: Iterable[str] = ()) -> str:
    """The token of what one customer loses; empty where it loses nothing."""
    result = LossAccumulator()
    result.add(customer, losses)
    return result.token(basis)


def losses_of(effects: Iterable[SubjectEffect], now: Instant) -> list[Loss]:
    """Those of some effects that take something; `now`: the instant from which on they were looked for."""
    return [
        Loss(
            effect.subject,
            effect.feature,
            effect.effect,
            effect.since if effect.since > now else None,
            effect.before.value,
            effect.after.value,
        )
        for effect in effects
        if effect.effect.takes
    ]


def is_loss_token(text: str) -> bool:
    """Say whether a text has the form of a token."""
    return _TOKEN.fullmatch(text) is not None


def customer_count(token: str) -> int:
    """How many customers lose something by what a token names; 0 for none, and for what is no token."""
    match = _TOKEN.fullmatch(token)
    return 0 if match is None else int(match[1])


def _plain(loss: Loss) -> list[object]:
    kind = "customer" if loss.subject.type is SubjectType.CUSTOMER else "subscription"
    values = [_value(loss.before), _value(loss.after)]
    return [kind, loss.subject.id, loss.feature, loss.effect.value, loss.since, *values]


def _value(value: LossValue) -> object:
    """A value in one form, whatever number it came as."""
    if value is None or isinstance(value, bool | str):
        return value
    return [format(Decimal(value).normalize(), "f")]


def _digest(parts: list[object]) -> bytes:
    return hashlib.sha256(_encode(parts)).digest()
