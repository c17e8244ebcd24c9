"""Reads bodies about outcomes as strictly as checks, and names the wrong field the same way (see `check_reader`)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from tiergate.errors import CheckError
from tiergate.model import parse_instant
from tiergate.wire.decision import UNSET
from tiergate.wire.outcomes import MAX_DURATION_MS, MAX_OUTCOME_ID, MAX_OUTCOMES
from tiergate.wire.strict_reader import (
    JsonObject,
    expect_fields,
    kind_of,
    number_field,
    parse_json,
    read_query_fields,
    string_field,
)
from tiergate.wire.usage_reader import read_key_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.model import Instant

FIELDS: Final = ("feature", "ok", "duration_ms", "at", "id")
QUERY_FIELDS: Final = ("feature", "from")
_SEVERAL: Final = b'{"outcomes"'
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)


class Outcome(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """How a request went, as nearly all say it. `at`: when, as text; `UNSET`: now."""

    feature: str
    ok: bool
    duration_ms: Annotated[float, msgspec.Meta(ge=0, le=MAX_DURATION_MS)] | msgspec.UnsetType = UNSET
    at: str | msgspec.UnsetType = UNSET
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_OUTCOME_ID)] | msgspec.UnsetType = UNSET


class _Outcomes(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    outcomes: Annotated[list[Outcome], msgspec.Meta(max_length=MAX_OUTCOMES)]


_decode_one = msgspec.json.Decoder(Outcome).decode
_decode_several = msgspec.json.Decoder(_Outcomes).decode


def read_outcomes(body: bytes) -> tuple[Sequence[Outcome | CheckError], bool]:
    """Read outcomes; return each, or what is wrong with it, and whether there may be several."""
    quick = _read_quickly(body)
    if quick is not None:
        return quick
    whole = parse_json(body)
    if not isinstance(whole, JsonObject) or "outcomes" not in whole:
        return [_outcome_of(whole, "")], False
    expect_fields(whole, "", ("outcomes",), ("outcomes",))
    outcomes = whole["outcomes"]
    if not isinstance(outcomes, list):
        raise CheckError("/outcomes", f"must be a list, not {kind_of(outcomes)}")
    if len(outcomes) > MAX_OUTCOMES:
        raise CheckError("/outcomes", f"must have at most {MAX_OUTCOMES} outcomes, not {len(outcomes)}")
    return [_or_error(outcome, f"/outcomes/{place}") for place, outcome in enumerate(outcomes)], True


def read_outcomes_query(query: bytes) -> tuple[str, Instant | None]:
    """Read the feature, and the instant from which on, of a query such as `feature=movies&from=2026-11-30`."""
    fields = read_query_fields(query, QUERY_FIELDS)
    if not fields.get("feature"):
        raise CheckError("feature", "is required")
    start = fields.get("from")
    try:
        return fields["feature"], None if start is None else parse_instant(start)
    except ValueError as error:
        raise CheckError("from", str(error)) from None


def with_id(outcome: Outcome, header: bytes) -> Outcome:
    """Return an outcome with the id of its header `Idempotency-Key`."""
    id_ = read_key_header([header])
    if id_ is None or outcome.id == id_:
        return outcome
    if outcome.id is not UNSET:
        raise CheckError("/id", "differs from the header `Idempotency-Key`")
    return msgspec.structs.replace(outcome, id=id_)


def _read_quickly(body: bytes) -> tuple[Sequence[Outcome], bool] | None:
    """Read what is certainly valid. INVARIANT (quick is thorough)."""
    is_list = body.startswith(_SEVERAL)
    try:
        outcomes = _decode_several(body).outcomes if is_list else [_decode_one(body)]
    except _UNREADABLE:
        return None
    colons = int(is_list)  # each field is followed by one, and a repeated field by one more
    for outcome in outcomes:
        colons += 2 if outcome.duration_ms is UNSET else 3
        if not outcome.feature:
            return None
        if outcome.at is not UNSET:
            colons += 1 + outcome.at.count(":")
        if outcome.id is not UNSET:
            colons += 1 + outcome.id.count(":")
    return (outcomes, is_list) if body.count(b":") == colons and b"\\" not in body else None


def _outcome_of(value: object, at: str) -> Outcome:
    expect_fields(value, at, FIELDS, ("feature", "ok"))
    if not isinstance(value, JsonObject):  # pragma: no cover - refused above
        raise CheckError(at, "must be an object")
    feature, ok = string_field(value["feature"], f"{at}/feature"), value["ok"]
    if not isinstance(ok, bool):
        raise CheckError(f"{at}/ok", f"must be a boolean, not {kind_of(ok)}")
    outcome = Outcome(feature, ok)
    if "duration_ms" in value:
        duration = number_field(value["duration_ms"], f"{at}/duration_ms")
        if not Decimal(0) <= duration <= MAX_DURATION_MS:
            raise CheckError(f"{at}/duration_ms", f"must be from 0 to {MAX_DURATION_MS} milliseconds")
        outcome.duration_ms = float(duration)
    if "at" in value:
        outcome.at = string_field(value["at"], f"{at}/at")
    if "id" in value:
        outcome.id = string_field(value["id"], f"{at}/id")
        if len(outcome.id) > MAX_OUTCOME_ID:
            raise CheckError(f"{at}/id", f"must be at most {MAX_OUTCOME_ID} characters")
    return outcome


def _or_error(value: object, at: str) -> Outcome | CheckError:
    try:
        return _outcome_of(value, at)
    except CheckError as error:
        return error
