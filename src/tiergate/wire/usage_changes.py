"""Bodies of changes of usage at the control plane: corrections, and grants that are given, changed or topped up.

Numbers are read exactly, and a wrong field is named by its JSON Pointer (`CheckError`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import msgspec

from tiergate.errors import CheckError
from tiergate.model import FOREVER, MAX_THRESHOLDS, Number, parse_instant
from tiergate.naming import is_id, parse_subject_id
from tiergate.wire.check import SubjectId
from tiergate.wire.decision import UNSET, Absent, InstantText
from tiergate.wire.strict_reader import JsonObject, expect_fields, number_field, parse_json, string_field

if TYPE_CHECKING:
    from tiergate.model import Instant

FIRST_PRIORITY: Final = 0
LAST_PRIORITY: Final = 100
MAX_REASON: Final = 1_000
"""The most characters of a reason."""

_Amount = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "number", "minimum": 0})]
_Added = Annotated[
    msgspec.Raw,
    msgspec.Meta(description="Top up: so many more.", extra_json_schema={"type": "number", "exclusiveMinimum": 0}),
]
_Taken = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        description="Negative: what did not happen, or should not count.",
        extra_json_schema={"type": "number", "exclusiveMaximum": 0},
    ),
]
_Priority = Annotated[
    int,
    msgspec.Meta(ge=FIRST_PRIORITY, le=LAST_PRIORITY, description="The lowest number is spent first; by default 50."),
]
_Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_REASON)]
_Name = Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1})]


class CorrectionBody(msgspec.Struct, forbid_unknown_fields=True):
    """A correction of usage: less was used, by the customer, and by the subscription and user where they are named."""

    feature: _Name
    amount: _Taken
    subscription: SubjectId | Absent = UNSET
    user: SubjectId | Absent = UNSET
    at: Annotated[InstantText, msgspec.Meta(description="An instant in the window; by default now.")] | Absent = UNSET


class GrantBody(msgspec.Struct, forbid_unknown_fields=True):
    """Units besides the allowance, once. Without `from` they count from now, without `until` until they are used up."""

    feature: _Name
    amount: _Amount
    reason: _Reason
    id: Annotated[str, msgspec.Meta(description="By default one is made.")] | Absent = UNSET
    start: InstantText | Absent = msgspec.field(default=UNSET, name="from")
    until: InstantText | Absent = UNSET
    priority: _Priority | Absent = UNSET


class GrantEditBody(msgspec.Struct, forbid_unknown_fields=True):
    """A change of a grant; what is absent stays. `until: null`: without an end."""

    amount: _Amount | Absent = UNSET
    add: _Added | Absent = UNSET
    reason: _Reason | Absent = UNSET
    start: InstantText | Absent = msgspec.field(default=UNSET, name="from")
    until: InstantText | Absent | None = UNSET
    priority: _Priority | Absent = UNSET


class ThresholdsBody(msgspec.Struct, forbid_unknown_fields=True):
    """The thresholds of a customer for a feature, in place of the feature's. An empty list: none."""

    thresholds: Annotated[
        list[msgspec.Raw],
        msgspec.Meta(
            max_length=MAX_THRESHOLDS,
            description="Percentages of the limit, such as `80%`, and amounts.",
            extra_json_schema={
                "items": {
                    "anyOf": [
                        {"type": "string", "pattern": "^(1000|[1-9][0-9]{0,2})%$"},
                        {"type": "number", "exclusiveMinimum": 0},
                    ]
                }
            },
        ),
    ]


class Correction(NamedTuple):
    """A correction as it was read. `amount`: how much less, positive. `at`: `None` for now."""

    feature: str
    amount: Number
    subscription: str | None
    user: str | None
    at: Instant | None


class NewGrant(NamedTuple):
    """A grant as it was read; `None` where the body says nothing."""

    feature: str
    amount: Number
    reason: str
    id: str | None
    start: Instant | None
    until: Instant | None
    priority: int | None


class GrantEdit(NamedTuple):
    """A change of a grant as it was read; `None`: it stays. `until` of `FOREVER`: without an end."""

    amount: Number | None
    add: Number | None
    reason: str | None
    start: Instant | None
    until: Instant | None
    priority: int | None


def read_correction(body: bytes) -> Correction:
    """Read a correction."""
    fields = _fields(body, ("feature", "amount", "subscription", "user", "at"), ("feature", "amount"))
    amount = number_field(fields["amount"], "/amount")
    if not amount < 0:
        raise CheckError("/amount", "must be negative: a correction says how much less was used")
    return Correction(
        string_field(fields["feature"], "/feature"),
        -amount,
        _subject(fields, "subscription"),
        _subject(fields, "user"),
        _instant(fields, "at"),
    )


def read_grant(body: bytes) -> NewGrant:
    """Read a new grant."""
    known = ("feature", "amount", "reason", "id", "from", "until", "priority")
    fields = _fields(body, known, ("feature", "amount", "reason"))
    id_ = string_field(fields["id"], "/id") if "id" in fields else None
    if id_ is not None and not is_id(id_):
        raise CheckError("/id", "must be an id: letters, digits, `_`, `-` and `.`")
    return NewGrant(
        string_field(fields["feature"], "/feature"),
        number_field(fields["amount"], "/amount"),
        _reason(fields["reason"]),
        id_,
        _instant(fields, "from"),
        _instant(fields, "until"),
        _priority(fields),
    )


def read_grant_edit(body: bytes) -> GrantEdit:
    """Read a change of a grant."""
    fields = _fields(body, ("amount", "add", "reason", "from", "until", "priority"), ())
    if "amount" in fields and "add" in fields:
        raise CheckError("/add", "cannot be given with `amount`")
    return GrantEdit(
        number_field(fields["amount"], "/amount") if "amount" in fields else None,
        number_field(fields["add"], "/add") if "add" in fields else None,
        _reason(fields["reason"]) if "reason" in fields else None,
        _instant(fields, "from"),
        FOREVER if "until" in fields and fields["until"] is None else _instant(fields, "until"),
        _priority(fields),
    )


def read_thresholds(body: bytes) -> list[str | Number]:
    """Read the thresholds of a customer: percentages as they are written, and numbers."""
    fields = _fields(body, ("thresholds",), ("thresholds",))
    levels = fields["thresholds"]
    if not isinstance(levels, list):
        raise CheckError("/thresholds", "must be a list")
    return [
        level if isinstance(level, str) else number_field(level, f"/thresholds/{place}")
        for place, level in enumerate(levels)
    ]


def _fields(body: bytes, known: tuple[str, ...], required: tuple[str, ...]) -> JsonObject:
    value = parse_json(body)
    expect_fields(value, "", known, required)
    if not isinstance(value, JsonObject):  # pragma: no cover - refused above
        raise CheckError("", "must be an object")
    return value


def _subject(fields: JsonObject, name: str) -> str | None:
    if name not in fields:
        return None
    try:
        return parse_subject_id(string_field(fields[name], f"/{name}"))
    except ValueError as error:
        raise CheckError(f"/{name}", str(error)) from None


def _instant(fields: JsonObject, name: str) -> Instant | None:
    if name not in fields:
        return None
    try:
        return parse_instant(string_field(fields[name], f"/{name}"))
    except ValueError as error:
        raise CheckError(f"/{name}", str(error)) from None


def _reason(value: object) -> str:
    reason = string_field(value, "/reason").strip()
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise CheckError("/reason", f"must be printable, and of 1 to {MAX_REASON} characters")
    return reason


def _priority(fields: JsonObject) -> int | None:
    if "priority" not in fields:
        return None
    priority = number_field(fields["priority"], "/priority")
    if not isinstance(priority, int) or not FIRST_PRIORITY <= priority <= LAST_PRIORITY:
        raise CheckError("/priority", f"must be a whole number from {FIRST_PRIORITY} to {LAST_PRIORITY}")
    return priority
