"""Commits and releases of reservations. A repeated request that ends a reservation in the same way gets its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.errors import CheckError, RequestError
from tiergate.model import format_instant, from_units, to_units
from tiergate.model.amounts import ScaleError
from tiergate.sidecar.deferred import Deferred
from tiergate.sidecar.usage.book_records import EndedReservation, Reservation
from tiergate.wire.usage import ReservationDocument

if TYPE_CHECKING:
    from tiergate.errors import JournalError
    from tiergate.model import Instant, Number
    from tiergate.sidecar.usage.usage_service import UsageService

Ending = Deferred["ReservationDocument | RequestError"]
"""How a reservation ended, or why it did not: 503 if that could not be written."""


def commit(service: UsageService, id_: str, amount: Number | None, now: Instant) -> Ending:
    """Consume an amount of a reservation (`None`: all), and release the rest.

    Raises:
        RequestError: 404, there is no such reservation; 409, it expired or ended otherwise; 503, nothing is counted.
        CheckError: the amount is not one of the feature, or more than is reserved.
    """
    found = _find(service, id_)
    reservation = found.reservation if isinstance(found, EndedReservation) else found
    consumed = reservation.amount if amount is None else _units(amount, reservation)
    if isinstance(found, EndedReservation):
        if (found.state, found.consumed) != ("committed", consumed):
            raise _ended(found)
        return _repeat(service, found)
    if reservation.expires <= now:
        raise _expired(reservation)
    return _end(service, reservation, consumed, now, committed=True)


def release(service: UsageService, id_: str, now: Instant) -> Ending:
    """Give all of a reservation back; also after it expired. Raises as `commit`."""
    found = _find(service, id_)
    if isinstance(found, EndedReservation):
        if found.state == "committed":
            raise _ended(found)
        return _repeat(service, found)
    return _end(service, found, 0, now, committed=False)


def _find(service: UsageService, id_: str) -> Reservation | EndedReservation:
    found = service.meter.reservation(id_)
    if found is None:
        raise RequestError(404, "unknown reservation", f"there is no reservation `{id_[:100]}`, or it ended long ago")
    return found


def _end(service: UsageService, reservation: Reservation, consumed: int, now: Instant, *, committed: bool) -> Ending:
    ending: Ending = Deferred()
    document = _document(reservation, consumed, committed=committed, replayed=False)

    def done(error: JournalError | None) -> None:
        ending.resolve(document if error is None else service.write_error(error))

    service.meter.end(reservation, consumed, now, committed=committed, done=done)
    return ending


def _repeat(service: UsageService, ended: EndedReservation) -> Ending:
    ending: Ending = Deferred()
    is_committed = ended.state == "committed"
    document = _document(ended.reservation, ended.consumed, committed=is_committed, replayed=True)

    def done(error: JournalError | None) -> None:
        ending.resolve(document if error is None else service.write_error(error))

    service.meter.sync(done)
    service.counts.replayed += 1
    return ending


def _document(reservation: Reservation, consumed: int, *, committed: bool, replayed: bool) -> ReservationDocument:
    return ReservationDocument(
        reservation=reservation.id,
        feature=reservation.feature,
        state="committed" if committed else "released",
        consumed=from_units(consumed, reservation.scale),
        released=from_units(reservation.amount - consumed, reservation.scale),
        replayed=replayed,
    )


def _units(amount: Number, reservation: Reservation) -> int:
    try:
        units = to_units(amount, reservation.scale)
    except ScaleError as error:
        raise CheckError("/amount", f"{error}: the scale of the feature is {reservation.scale}") from None
    except ValueError as error:
        raise CheckError("/amount", str(error)) from None
    if units > reservation.amount:
        reserved = from_units(reservation.amount, reservation.scale)
        raise CheckError("/amount", f"must be at most what is reserved, {reserved}")
    return units


def _ended(ended: EndedReservation) -> RequestError:
    if ended.state == "expired":
        return _expired(ended.reservation)
    detail = f"the reservation was {ended.state} before"
    if ended.state == "committed":
        consumed = from_units(ended.consumed, ended.reservation.scale)
        detail = f"{detail}, with the amount {consumed}"
    return RequestError(409, "reservation ended", detail)


def _expired(reservation: Reservation) -> RequestError:
    detail = f"the reservation expired at {format_instant(reservation.expires)}, and its units were given back"
    return RequestError(409, "reservation expired", detail)
