"""Usage after the fact: counted at the control plane, for services that have no sidecar beside them.

Each record counts on its own, in the window of the instant at which it happened, even where it exceeds a limit. An
idempotency key counts once here and at every sidecar, in effect when that reports.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tiergate.admin.usage_debits import (
    AHEAD_MS,
    ROUNDS,
    OtherWindows,
    Use,
    call_in_windows,
    customers_of_subjects,
    find_use,
    unknown_subject,
)
from tiergate.errors import BodyError, BodyProblem, CheckError, ForbiddenError, RequestError, UnknownFeatureError
from tiergate.model import SubjectType, format_instant, from_units
from tiergate.permissions import Action, Resource
from tiergate.usage.accounts import AMOUNT_MAX, Consumption
from tiergate.usage.idempotency import digest_of_record, key_of
from tiergate.usage.protocol import Booked, Reason, Refused
from tiergate.wire.json import encode
from tiergate.wire.usage import MADE_KEY_PREFIX, RecordedUsage, window_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiergate.admin.actor import Actor
    from tiergate.model import CatalogIndex, Instant, Interval
    from tiergate.permissions import Caller
    from tiergate.store import ReadUnit
    from tiergate.store.usage_ledger import LedgerCall, UsageLedger
    from tiergate.usage.ledger import Ledger
    from tiergate.wire.usage_reader import UsageRecord

_decode: Final = msgspec.json.Decoder(RecordedUsage).decode


class PlannedRecord(NamedTuple):
    """A record that can be booked. `key`: the caller's, or one that was made, which is not kept."""

    record: UsageRecord
    use: Use
    key: str
    consumption: Consumption


Result = RecordedUsage | RequestError | BodyError | ForbiddenError
"""What became of a record."""


class _Booked(NamedTuple):
    """What the ledger said, and the window of the subject's account."""

    result: Booked | Refused
    window: Interval


def plan_records(
    actor: Actor, unit: ReadUnit, records: Sequence[UsageRecord | CheckError]
) -> list[PlannedRecord | RequestError | BodyError | ForbiddenError]:
    """Find out what records are booked on; for those that cannot be booked, why.

    A caller that is limited to some customers gets an error for each record of another, known or not.

    Raises:
        ForbiddenError: the actor may not report usage.
    """
    actor.require(Action.REPORT_USAGE, reporting_resource(actor.caller))
    index = unit.published.index
    subjects = [record.check.subject for record in records if not isinstance(record, CheckError)]
    customers = customers_of_subjects(unit, subjects)
    allowed = actor.caller.scope.customers
    return [
        _forbidden() if _is_forbidden(record, customers, allowed) else _plan(index, customers, record, unit.now)
        for record in records
    ]


def reporting_resource(caller: Caller) -> Resource:
    """Return what a caller must be allowed to report usage of: the store; of a limited one, one of its customers."""
    customers = caller.scope.customers
    return Resource.store() if customers is None else Resource.customer_of(min(customers, default=""))


def _is_forbidden(
    record: UsageRecord | CheckError, customers: Mapping[str, str], allowed: frozenset[str] | None
) -> bool:
    if allowed is None or isinstance(record, CheckError):
        return False
    subject = record.check.subject
    is_customer = subject.type is SubjectType.CUSTOMER
    return (subject.id if is_customer else customers.get(subject.id)) not in allowed


def _forbidden() -> ForbiddenError:
    return ForbiddenError(Action.REPORT_USAGE, "Customer", scoped=True)


def _plan(
    index: CatalogIndex, customers: Mapping[str, str], record: UsageRecord | CheckError, now: Instant
) -> PlannedRecord | RequestError | BodyError:
    if isinstance(record, CheckError):
        return _wrong_value(record.field, record)
    try:
        use = find_use(index, record.check, customers)
    except CheckError as error:
        field = record.feature_field if error.field == "feature" else _pointer(record, error.field)
        return _wrong_value(field, error)
    except UnknownFeatureError as error:
        detail = f"no feature `{error.feature}` in the catalog"
        return RequestError(404, "unknown feature", detail, error.suggestion, field=record.feature_field)
    except RequestError as error:
        return error
    at = now if record.at is None else record.at
    if at > now + AHEAD_MS:
        return _in_the_future(at)
    debits = use.debits(at)
    if any(debit.amount > AMOUNT_MAX for debit in debits):
        return _too_large()
    key, digest = b"", b""
    if record.key is not None:
        key = key_of(record.source, record.key)
        digest = digest_of_record(use.subject, use.feature.id, use.amount, record.at)
    name = f"{MADE_KEY_PREFIX}{secrets.token_hex(12)}" if record.key is None else record.key
    return PlannedRecord(record, use, name, Consumption(key, digest, at, debits))


def book_records(
    ledger: UsageLedger, planned: Sequence[PlannedRecord | RequestError | BodyError | ForbiddenError]
) -> list[Result]:
    """Book records, and return what became of each, in their order.

    Raises:
        StoreError: if the database cannot be used; some records may have been booked.
    """
    results: dict[int, Result] = {
        place: item for place, item in enumerate(planned) if not isinstance(item, PlannedRecord)
    }
    waiting = {place: item for place, item in enumerate(planned) if isinstance(item, PlannedRecord)}
    for _ in range(ROUNDS):
        outcomes = ledger.run_all([_call(item) for item in waiting.values()])
        again: dict[int, PlannedRecord] = {}
        for (place, item), outcome in zip(waiting.items(), outcomes, strict=True):
            booked = outcome.get()
            if isinstance(booked, OtherWindows):
                again[place] = item._replace(consumption=booked.consumption)
            elif isinstance(booked, Refused):
                results[place] = _refusal(booked, item, None)
            else:
                results[place] = _result(booked, item)
        waiting = again
    for place in waiting:
        results[place] = RequestError(503, "windows moving", "the windows of the usage have changed too often: retry")
    return [results[place] for place in range(len(planned))]


def _call(item: PlannedRecord) -> LedgerCall[_Booked | OtherWindows | Refused]:
    def act(ledger: Ledger, consumption: Consumption, windows: tuple[Interval, ...]) -> _Booked:
        window = windows[item.use.own]
        answer = encode(_document(item, window, replayed=False)) if consumption.key else b""
        return _Booked(ledger.record(consumption, answer), window)

    return call_in_windows(item.consumption, act)


def _result(booked: _Booked, item: PlannedRecord) -> Result:
    result = booked.result
    if isinstance(result, Refused):
        return _refusal(result, item, booked.window)
    if result.repeated and result.answer:
        return msgspec.structs.replace(_decode(result.answer), replayed=True)
    return _document(item, booked.window, replayed=result.repeated)


def _document(item: PlannedRecord, window: Interval, *, replayed: bool) -> RecordedUsage:
    feature = item.use.feature
    return RecordedUsage(
        feature=feature.id,
        amount=from_units(item.use.amount, feature.scale),
        window=window_document(window),
        key=item.key,
        replayed=replayed,
    )


def _refusal(refused: Refused, item: PlannedRecord, window: Interval | None) -> RequestError:
    match refused.reason:
        case Reason.KEY_CONFLICT:
            return RequestError(409, "idempotency key reused", "this key was used for another request", field="/key")
        case Reason.WINDOW_CLOSED if window is not None:
            detail = f"the window of the usage ended at {format_instant(window.until)}, and is closed"
            return RequestError(422, "usage too late", detail, field="/at")
        case Reason.UNKNOWN_ACCOUNT:
            return unknown_subject(item.use.subject)
        case _:
            return _too_large()


def _in_the_future(at: Instant) -> RequestError:
    detail = f"the usage is of {format_instant(at)}, which is in the future"
    return RequestError(422, "usage in the future", detail, field="/at")


def _too_large() -> RequestError:
    return RequestError(422, "usage too large", "so much usage cannot be counted", field="/amount")


def _wrong_value(pointer: str, error: CheckError) -> BodyError:
    return BodyError([BodyProblem(pointer, "wrong-value", error.detail, error.suggestion)])


def _pointer(record: UsageRecord, field: str) -> str:
    return field if field.startswith("/") else f"{record.pointer}/{field.replace('.', '/')}"
