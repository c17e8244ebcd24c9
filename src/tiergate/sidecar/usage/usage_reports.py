"""Usage after the fact: counted even where it exceeds a limit, in the window of the instant at which it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.engine.evaluator import Denial
from tiergate.engine.normalized_check import normalize_check
from tiergate.errors import CheckError, RequestError, UnknownFeatureError
from tiergate.model import Interval, SubjectType, from_units
from tiergate.sidecar.deferred import Deferred
from tiergate.sidecar.usage.book_records import SUBSCRIPTION, KeyUse
from tiergate.sidecar.usage.usage_service import digest_check
from tiergate.usage.idempotency import key_of
from tiergate.wire.json import encode
from tiergate.wire.usage import TOO_LATE, RecordedUsage, window_document

if TYPE_CHECKING:
    from tiergate.errors import JournalError, TiergateError
    from tiergate.model import Instant
    from tiergate.sidecar.state import StateView
    from tiergate.sidecar.usage.meter import Draft
    from tiergate.sidecar.usage.usage_service import UsageService
    from tiergate.wire.usage_reader import UsageRecord

Report = Deferred["list[RecordedUsage | TiergateError] | RequestError"]
"""What became of each record; or why none was counted: 503 if they could not be written."""

_decode = msgspec.json.Decoder(RecordedUsage).decode


def report(service: UsageService, view: StateView, records: list[UsageRecord | CheckError], now: Instant) -> Report:
    """Count records of usage, each on its own; those that are wrong do not keep the others from counting.

    Raises:
        RequestError: 501 or 503, nothing can be counted here.
    """
    meter = service.meter
    results: list[RecordedUsage | TiergateError] = []
    for record in records:
        if isinstance(record, CheckError):
            results.append(record)
            continue
        try:
            results.append(_count(service, view, record, now))
        except RequestError as error:
            if error.status >= 500:
                raise
            service.counts.too_late += error.title == TOO_LATE
            results.append(_placed(error, record))
        except (CheckError, UnknownFeatureError) as error:
            results.append(_placed(error, record))
    outcome: Report = Deferred()

    def done(error: JournalError | None) -> None:
        outcome.resolve(results if error is None else service.write_error(error))

    meter.sync(done)  # INVARIANT (nothing half): it fails if a record before it does
    return outcome


def _count(service: UsageService, view: StateView, record: UsageRecord, now: Instant) -> RecordedUsage:
    check = record.check
    generation, feature = service.counted_feature(view, check)
    evaluator = generation.engine.evaluator
    amount = normalize_check(check, evaluator.index.features)[1].amount
    if isinstance(evaluator.find_subject(check.subject, now), Denial):
        raise RequestError(
            404, "unknown subject", f"there is no {check.subject.type.value} of this id", field="/subject"
        )
    use: KeyUse | None = None
    if record.key is not None:
        use = KeyUse(key_of(record.source, record.key), digest_check(generation, check, b"report", record.at), b"", now)
        known = service.meter.find_key(use.key, now)
        if known is not None and known.digest != use.digest:
            raise RequestError(409, "idempotency key reused", "this key was used for another request", field="/key")
        if known is not None:
            service.counts.replayed += 1
            return msgspec.structs.replace(_decode(known.answer), replayed=True)
    at = now if record.at is None else record.at
    draft = service.meter.draft(check.subject, feature, amount, now, at)
    window = _window(draft, check.subject.type)
    result = RecordedUsage(
        feature=feature.id,
        amount=from_units(amount, feature.scale),
        window=window_document(window),
        key=record.key if record.key is not None else service.make_key(),
        replayed=False,
    )
    if use is not None:
        use = KeyUse(use.key, use.digest, encode(result), now)
    service.meter.count(draft, at, use, _ignore)
    service.counts.recorded += 1
    service.counts.counted_late += window.until <= now
    return result


def _window(draft: Draft, kind: SubjectType) -> Interval:
    """Return the window of the account that the record is about."""
    if kind is SubjectType.SUBSCRIPTION:
        entry = next((entry for entry in draft.entries if entry.account[1] == SUBSCRIPTION), draft.entries[0])
    else:
        entry = draft.entries[0]
    return Interval(entry.start, entry.until)


def _placed(error: TiergateError, record: UsageRecord) -> TiergateError:
    """Return an error that points to its field in the request."""
    pointer = record.pointer
    if isinstance(error, CheckError) and not error.field.startswith("/"):
        field = record.feature_field if error.field == "feature" else f"{pointer}/{error.field.replace('.', '/')}"
        return CheckError(field, error.detail, error.suggestion)
    if isinstance(error, UnknownFeatureError):
        detail = f"no feature `{error.feature}` in the catalog"
        return RequestError(404, "unknown feature", detail, error.suggestion, field=record.feature_field)
    if isinstance(error, RequestError) and error.field is not None:
        error.field = pointer + error.field
    return error


def _ignore(error: JournalError | None) -> None:
    """The `sync` behind it fails too."""
