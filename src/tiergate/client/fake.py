"""A sidecar for the tests of a service: what customers have is said in the test, and nothing is sent.

    sidecar = FakeSidecar({"movies": FakeFeature("quantity", metered=True), "analytics": FakeFeature()})
    sidecar.give("ada", "movies", 50)
    sidecar.allows("ada", "movies", otherwise=False)

It has the questions of :class:`tiergate.client.Sidecar`, and answers them by the same rules, as far as a customer's
entitlements go: no plans, no rules, no time. `tests/system/test_conformance.py` holds it to the suite. Whoever needs
plans uses `tiergate.embedded`. Not for several threads at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, Unpack
from uuid import uuid4

from tiergate.client.answers import Answer, Entitlement, Explanation
from tiergate.client.calls import expect_options
from tiergate.client.check_arguments import make_check, make_subject
from tiergate.client.local_checks import answer_each
from tiergate.client.local_outcomes import RememberedOutcomes
from tiergate.client.normalized_ids import normalize_check, normalize_subject
from tiergate.client.usage import (
    Consumption,
    FeatureUsage,
    RecordedUsage,
    Reservation,
    ReservationMade,
    UsageWindow,
)
from tiergate.errors import CallerError, CheckError, RequestError, SidecarUnreachableError, UnknownFeatureError
from tiergate.model import Check, ShownCaps, Subject
from tiergate.naming import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from tiergate.client.calls import CheckOptions
    from tiergate.client.check_arguments import Quantity, SubjectArgument
    from tiergate.model import Number, ShownValue

_FIELDS = {
    "switch": (),
    "quantity": ("amount", "used", "user_used"),
    "range": ("value",),
    "custom": ("level",),
}
_ALL_FIELDS = ("amount", "used", "user_used", "value", "level")


@dataclass(frozen=True, slots=True)
class FakeFeature:
    """A feature of the fake. `minimum` and `increment`: of its batch. `per_user`: its cap for each user.

    `draft`: it is a draft, and nobody has it yet. `levels`: of a custom feature, the lowest first. `scale`: the most
    decimal digits of its numbers. `metered`: its usage is counted.
    """

    type: Literal["switch", "quantity", "range", "custom"] = "switch"
    unit: str = ""
    scale: int = 0
    levels: Sequence[str] = ()
    minimum: Quantity | None = None
    increment: Quantity | None = None
    per_user: int | None = None
    metered: bool = False
    draft: bool = False


class _Given(NamedTuple):
    value: ShownValue | Literal["unlimited"]
    soft: bool


@dataclass(slots=True)
class _Customer:
    given: dict[str, _Given] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    used: dict[str, Decimal] = field(default_factory=dict)
    is_live: bool = True


class _Held(NamedTuple):
    customer: _Customer
    feature: str
    amount: Decimal
    end: tuple[str, Decimal] | None = None  # how it ended, and what of it was used


class FakeSidecar(RememberedOutcomes):
    """Answers as a sidecar would for customers who have what `give` says.

    `asked`, `reported`: the checks and the outcomes so far, for assertions. `is_down`: while it is true, nothing is
    answered, and outcomes are lost.
    """

    def __init__(self, features: Mapping[str, FakeFeature]) -> None:
        """Prepare the features, by their ids; nobody has any."""
        super().__init__()
        self._features = dict(sorted(features.items()))
        self._customers: dict[Subject, _Customer] = {}
        self._suspended: set[str] = set()
        self._keys: dict[str, tuple[object, Answer, Number]] = {}
        self._reports: dict[str, object] = {}
        self._reservations: dict[str, _Held] = {}
        self._reserved: dict[str, str] = {}
        self.asked: list[Check] = []
        self.no_answers = 0

    def give(
        self,
        subject: SubjectArgument,
        feature: str,
        value: Quantity | str | bool = True,  # noqa: FBT001, FBT002 - a switch that is given is true
        *,
        soft: bool = False,
    ) -> None:
        """Give a subject a feature: true, a number, a level, or `"unlimited"`. `soft`: of a limit that may be passed.

        Raises:
            UnknownFeatureError: there is no such feature.
        """
        self._expect(feature)
        known = value if isinstance(value, bool | str) else _number(value)
        self._customer_to_change(subject).given[feature] = _Given(known, soft)

    def add(self, subject: SubjectArgument, *, is_live: bool = True) -> None:
        """Make a subject known that has nothing. `is_live`: whether it has a subscription that counts."""
        self._customer_to_change(subject).is_live = is_live

    def suspend(self, feature: str, subject: SubjectArgument | None = None) -> None:
        """Suspend a feature for everybody, or for one subject."""
        self._expect(feature)
        (self._suspended if subject is None else self._customer_to_change(subject).suspended).add(feature)

    def check(self, subject: SubjectArgument, feature: str, **options: Unpack[CheckOptions]) -> Answer:
        """Answer as `Sidecar.check`."""
        return self._answer(_check(subject, feature, options))

    def allows(
        self, subject: SubjectArgument, feature: str, *, otherwise: bool, **options: Unpack[CheckOptions]
    ) -> bool:
        """Answer as `Sidecar.allows`."""
        try:
            return self.check(subject, feature, **options).allowed
        except SidecarUnreachableError:
            return otherwise

    def checks(
        self, checks: Sequence[Check], *, request_id: str | None = None, traceparent: str | None = None
    ) -> list[Answer | CallerError]:
        """Answer as `Sidecar.checks`."""
        del request_id, traceparent
        return answer_each(checks, self._answer)

    def entitlements(
        self,
        subject: SubjectArgument,
        *,
        features: Sequence[str] = (),
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> list[Answer]:
        """Answer as `Sidecar.entitlements`."""
        del request_id, traceparent
        for feature in features:
            self._expect(feature)
        whom = make_subject(subject)
        return [self._answer(Check(whom, one)) for one in self._features if not features or one in features]

    def explain(
        self, subject: SubjectArgument, feature: str, *, at: datetime | None = None, **options: Unpack[CheckOptions]
    ) -> Explanation:
        """Answer as `Sidecar.explain`; the one sentence says the reason."""
        del at
        answer = self.check(subject, feature, **options)
        return Explanation(answer=answer, sentences=(f"{feature}: {answer.reason}",), reasoning={})

    def consume(
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        key: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Consumption:
        """Answer as `Sidecar.consume`, and count."""
        del request_id, traceparent
        answer, consumed, used_key, replayed = self._counted("consume", subject, feature, amount, key)
        return Consumption(answer=answer, consumed=consumed, key=used_key, replayed=replayed)

    def reserve(
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        expires_in: int | None = None,
        key: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Reservation:
        """Answer as `Sidecar.reserve`, and count; it never expires."""
        del expires_in, request_id, traceparent
        answer, reserved, used_key, replayed = self._counted("reserve", subject, feature, amount, key)
        id_ = self._reserved.setdefault(used_key, uuid4().hex) if answer.allowed else ""
        if id_ and not replayed:
            self._reservations[id_] = _Held(self._customers[_holder(make_subject(subject))], feature, Decimal(reserved))
        return Reservation(self, ReservationMade(answer, reserved, id_, None, used_key))

    def end_reservation(self, id_: str, verb: Literal["commit", "release"], amount: Quantity | None) -> None:
        """End a reservation as `Sidecar.end_reservation`."""
        self._expect_up()
        if not id_:
            raise CheckError("/reservation", "is empty: a reservation that is denied cannot end")
        held = self._reservations.get(id_)
        if held is None:
            raise RequestError(404, "unknown reservation", f"there is no reservation `{id_}`")
        kept = Decimal(0) if verb == "release" else held.amount if amount is None else Decimal(_number(amount))
        if kept > held.amount:
            raise CheckError("/amount", "is more than is reserved")
        if held.end is None:
            held.customer.used[held.feature] -= held.amount - kept
            self._reservations[id_] = held._replace(end=(verb, kept))
        elif held.end != (verb, kept):
            raise RequestError(409, "reservation ended", "it ended otherwise, or with another amount")

    def report_usage(
        self,
        subject: SubjectArgument,
        feature: str,
        *,
        amount: Quantity | None = None,
        at: datetime | None = None,
        key: str | None = None,
    ) -> RecordedUsage:
        """Count as `Sidecar.report_usage`."""
        self._expect_up()
        check = normalize_check(make_check(subject, feature, {"amount": amount}))
        customer = self._customers.get(_holder(check.subject))
        number = self._amount(check, self._metered(feature))
        if customer is None:
            raise RequestError(404, "unknown subject", f"nobody has the id `{check.subject.id}`", field="/subject")
        content, used_key = ("report", check.subject, feature, number, at), key or uuid4().hex
        replayed = used_key in self._reports or used_key in self._keys
        if replayed and self._reports.get(used_key) != content:
            raise RequestError(409, "idempotency key reused", "the key was used for other content", field="/key")
        if not replayed:
            self._reports[used_key] = content
            customer.used[feature] = customer.used.get(feature, Decimal(0)) + number
        return RecordedUsage(
            feature=feature, amount=_shown(number), window=UsageWindow(), key=used_key, replayed=replayed
        )

    def usage(self, subject: SubjectArgument, feature: str | None = None) -> list[FeatureUsage]:
        """Answer as `Sidecar.usage`."""
        self._expect_up()
        customer = self._customers.get(_holder(make_subject(subject)))
        if customer is None:
            raise RequestError(404, "unknown subject", "nobody has this id", field="/subject")
        if feature is not None:
            self._metered(feature)
        names = [one for one, is_ in self._features.items() if is_.metered and feature in {None, one}]
        return [self._usage_of(customer, name) for name in names]

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _usage_of(self, customer: _Customer, name: str) -> FeatureUsage:
        given = customer.given.get(name, _Given(0, soft=False))
        used = customer.used.get(name, Decimal(0))
        limit = None if given.value == "unlimited" else Decimal(str(given.value or 0))
        return FeatureUsage(
            feature=name,
            used=_shown(used),
            reserved=0,
            unlimited=limit is None,
            soft=given.soft,
            window=UsageWindow(),
            scale=self._features[name].scale,
            unit=self._features[name].unit,
            limit=None if limit is None else _shown(limit),
            remaining=None if limit is None else _shown(max(limit - used, Decimal(0))),
            overage=_shown(used - limit) if limit is not None and used > limit else None,
        )

    def _counted(
        self, verb: str, subject: SubjectArgument, feature: str, amount: Quantity | None, key: str | None
    ) -> tuple[Answer, Number, str, bool]:
        """Decide, count the amount if it is allowed, and return the answer after it, what was counted, and the key."""
        check = normalize_check(make_check(subject, feature, {"amount": amount}))
        definition = self._metered(feature)
        number = self._amount(check, definition)
        content, used_key = (verb, check.subject, feature, number), key or uuid4().hex
        if used_key in self._keys or used_key in self._reports:
            self._expect_up()
            before, answer, counted = self._keys.get(used_key, (None, None, 0))
            if answer is None or before != content:
                raise RequestError(409, "idempotency key reused", "the key was used for other content", field="/key")
            return answer, counted, used_key, True
        answer = self._answer(check)
        if not answer.allowed:
            return answer, 0, used_key, False
        customer = self._customers[_holder(check.subject)]
        customer.used[feature] = customer.used.get(feature, Decimal(0)) + number
        answer = self._told(definition, check, answer.reason, customer)
        self._keys[used_key] = content, answer, _shown(number)
        return answer, _shown(number), used_key, False

    def _metered(self, feature: str) -> FakeFeature:
        definition = self._expect(feature)
        if not definition.metered:
            raise CheckError("/feature", f"`{feature}` is not metered")
        return definition

    def _expect_up(self) -> None:
        if self.is_down:
            self.no_answers += 1
            raise SidecarUnreachableError("fake:", "the fake is down")

    def _expect(self, feature: str) -> FakeFeature:
        if feature not in self._features:
            raise UnknownFeatureError(feature, nearest(feature, self._features))
        return self._features[feature]

    def _customer_to_change(self, subject: SubjectArgument) -> _Customer:
        return self._customers.setdefault(_holder(make_subject(subject)), _Customer())

    def _answer(self, check: Check) -> Answer:
        self._expect_up()
        check = normalize_check(check)
        definition = self._expect(check.feature)
        for name in _ALL_FIELDS:
            if getattr(check, name) is not None and name not in _FIELDS[definition.type]:
                raise CheckError(f"/{name}", f"does not fit a feature of the type {definition.type}")
        self.asked.append(check)
        customer = self._customers.get(_holder(check.subject))
        reason = "unknown_subject" if customer is None else self._reason(definition, check, customer)
        return self._told(definition, check, reason, customer)

    def _reason(self, definition: FakeFeature, check: Check, customer: _Customer) -> str:
        """The first reason, in order of precedence, that applies."""
        is_suspended = check.feature in self._suspended | customer.suspended
        amount = self._amount(check, definition)
        value = customer.given.get(check.feature, _Given(None, soft=False)).value
        reasons: Iterator[tuple[str, bool]] = iter(
            (
                ("feature_inactive", definition.draft),
                ("feature_suspended", is_suspended),
                ("subscription_inactive", not customer.is_live),
                ("amount_invalid", not _fits_batch(definition, amount)),
                (
                    "cap_reached",
                    definition.per_user is not None and (check.user_used or 0) + amount > definition.per_user,
                ),
                ("not_entitled", not value),
                *self._bounds(definition, check, customer, amount),
            )
        )
        return next((reason for reason, applies in reasons if applies), "granted")

    def _bounds(
        self, definition: FakeFeature, check: Check, customer: _Customer, amount: Decimal
    ) -> Iterator[tuple[str, bool]]:
        value, soft = customer.given.get(check.feature, _Given(None, soft=False))
        if not value or value == "unlimited" or isinstance(value, bool):
            return
        if definition.type == "quantity":
            yield "limit_reached", not soft and self._used(check, customer) + amount > Decimal(str(value))
        elif definition.type == "range":
            yield "out_of_range", check.value is not None and _decimal(check.value) > Decimal(str(value))
        elif definition.type == "custom" and check.level is not None:
            levels = list(definition.levels)
            yield "level_too_low", levels.index(check.level) > levels.index(str(value))

    def _told(self, definition: FakeFeature, check: Check, reason: str, customer: _Customer | None) -> Answer:
        given = None if customer is None or definition.draft else customer.given.get(check.feature)
        value: object = None if given is None else given.value
        if definition.type == "switch":
            shown = Entitlement(value=bool(value))
        elif definition.type == "custom":
            shown = Entitlement(value=None if value is None else str(value))
        else:
            shown = self._numbers(definition, check, customer, value)
        return Answer(
            allowed=reason == "granted",
            reason=reason,
            feature=check.feature,
            type=definition.type,
            entitlement=shown,
            revision="fake",
        )

    def _numbers(self, definition: FakeFeature, check: Check, customer: _Customer | None, value: object) -> Entitlement:
        unlimited = value == "unlimited"
        limit = None if unlimited else Decimal(str(value or 0))
        of_quantity = definition.type == "quantity"
        used = self._used(check, customer) if of_quantity else None
        overage = None
        if definition.metered and limit is not None and used is not None and used > limit:
            overage = _shown(used - limit)
        return Entitlement(
            value=None if limit is None else _shown(limit),
            unlimited=unlimited,
            unit=definition.unit,
            used=None if used is None else _shown(used),
            remaining=None if used is None or limit is None else _shown(max(limit - used, Decimal(0))),
            overage=overage,
            caps=None if definition.per_user is None else ShownCaps(per_user=definition.per_user),
        )

    def _used(self, check: Check, customer: _Customer | None) -> Decimal:
        if check.used is not None:
            return _decimal(check.used)
        return Decimal(0) if customer is None else customer.used.get(check.feature, Decimal(0))

    def _amount(self, check: Check, definition: FakeFeature) -> Decimal:
        """Read the numbers of a check, and return the amount: by default the least one."""
        for name in ("amount", "used", "user_used", "value"):
            number = getattr(check, name)
            if number is not None and (number < 0 or -int(_decimal(number).as_tuple().exponent) > definition.scale):
                raise CheckError(
                    f"/{name}", f"must not be negative, and have at most {definition.scale} decimal digits"
                )
        if check.amount is not None and not check.amount:
            raise CheckError("/amount", "must be positive")
        if check.level is not None and check.level not in definition.levels:
            raise CheckError("/level", f"`{check.level}` is no level", nearest(check.level, definition.levels))
        if check.amount is not None:
            return _decimal(check.amount)
        return Decimal(1) if definition.minimum is None else Decimal(str(definition.minimum))


def _holder(subject: Subject) -> Subject:
    """Return the customer or subscription that a subject is, or whose user it is."""
    whom = normalize_subject(subject)
    return Subject(whom.id, whom.type)


def _fits_batch(definition: FakeFeature, amount: Decimal) -> bool:
    if definition.type != "quantity":
        return True
    step = amount if definition.increment is None else Decimal(str(definition.increment))
    return amount >= Decimal(str(definition.minimum or 0)) and amount % step == 0


def _check(subject: SubjectArgument, feature: str, options: CheckOptions) -> Check:
    expect_options(options)
    fields = {name: value for name, value in options.items() if name in _ALL_FIELDS}
    return make_check(subject, feature, fields)  # type: ignore[arg-type] # the values of the typed dictionary


def _number(value: Quantity) -> Number:
    number = make_check("any", "any", {"value": value}).value
    return 0 if number is None else number


def _decimal(number: Number) -> Decimal:
    return Decimal(number)


def _shown(number: Decimal | Number) -> Number:
    whole = Decimal(number)
    return int(whole) if whole == whole.to_integral_value() else whole.normalize()
