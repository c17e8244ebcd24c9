"""Checks from Python arguments: ids, numbers and levels of the usual types, converted exactly.

A value of another type is a `CheckError` that names the field, before anything is sent.
"""

from __future__ import annotations

import operator
from decimal import Decimal
from typing import TYPE_CHECKING, SupportsIndex
from uuid import UUID

from tiergate.errors import CheckError
from tiergate.model import Check, Subject, SubjectType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tiergate.model import Number

Id = str | int | UUID
"""An id: text, or a number or UUID of another system, which is converted to text."""

SubjectArgument = Id | Subject
"""A customer's id, or a subject."""

Quantity = int | float | Decimal | SupportsIndex
"""A number. A `float` stands for the shortest decimal that is read back as it: 0.1 for 0.1, and for 0.1 + 0.2 one of 17
digits, which no feature takes."""

_MOST_ENCODED = 2**63
_NUMBERS = ("amount", "used", "user_used", "value")


def make_check(subject: SubjectArgument, feature: str, fields: Mapping[str, Quantity | str | None]) -> Check:
    """Make a check; `fields` are its numbers and its level by their names."""
    level = fields.get("level")
    amount, used, user_used, value = (_number(fields.get(name), f"/{name}") for name in _NUMBERS)
    if level is not None and not isinstance(level, str):
        raise CheckError("/level", f"must be a string, not {_kind(level)}")
    held = None if level is None else _exact(level)
    return Check(make_subject(subject), feature_text(feature), amount, used, user_used, value, held)


def checked(check: Check, at: str) -> Check:
    """Check the types of a caller's check; `at` points to it among others."""
    if not isinstance(check, Check):
        raise CheckError(at, f"must be a `Check`, not {_kind(check)}")
    try:
        return make_check(check.subject, check.feature, {name: getattr(check, name) for name in (*_NUMBERS, "level")})
    except CheckError as error:
        raise CheckError(f"{at}{error.field}", error.detail, error.suggestion) from None


def make_subject(subject: SubjectArgument) -> Subject:
    """Make a subject of a customer's id, or check a subject."""
    if not isinstance(subject, Subject):
        return Subject(_id(subject, "/subject"))
    try:
        kind = SubjectType(subject.type)
    except ValueError:
        raise CheckError("/subject/type", "must be `customer` or `subscription`") from None
    user = None if subject.user is None else _id(subject.user, "/subject/user")
    return Subject(_id(subject.id, "/subject/id"), kind, user)


def feature_text(value: object) -> str:
    """Return the id of a feature as a plain string; raises `CheckError` if it is no text."""
    if not isinstance(value, str):
        raise CheckError("/feature", f"must be a string, not {_kind(value)}")
    return _exact(value)


def expect_offset(at: datetime) -> None:
    """Raise `CheckError` if a moment has no offset."""
    if at.tzinfo is None:
        raise CheckError("/at", "must have its offset: a local time would be a guess")


def check_json(check: Check) -> dict[str, object]:
    """Return a check as the members of the sidecar's request, without absent ones."""
    subject = check.subject
    subject_member: object = subject.id
    if subject != Subject(subject.id):
        subject_member = {"type": subject.type.value, "id": subject.id} | (
            {"user": subject.user} if subject.user else {}
        )
    fields = {name: getattr(check, name) for name in (*_NUMBERS, "level")}
    members: dict[str, object] = {"subject": subject_member, "feature": check.feature}
    return members | {name: value for name, value in fields.items() if value is not None}


def _id(value: object, at: str) -> str:
    if isinstance(value, bool) or not isinstance(value, Id):
        raise CheckError(at, f"must be a string, a whole number or a UUID, not {_kind(value)}")
    text = _exact(value) if isinstance(value, str) else str(int(value) if isinstance(value, int) else value)
    if not text:
        raise CheckError(at, "must not be empty")
    return text


def _exact(text: str) -> str:
    """Return a text as a plain string, whatever kind of text it is: a member of an enumeration is its value."""
    return str.__str__(text)


def _number(value: object, at: str) -> Number | None:
    if value is None:
        return None
    if isinstance(value, bool):
        raise CheckError(at, "must be a number, not a boolean")
    if isinstance(value, float):
        value = Decimal(repr(float(value)))  # a subclass may have another `repr`
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise CheckError(at, f"must be a finite number, not `{value}`")
        return value
    try:
        whole = operator.index(value)  # type: ignore[arg-type] # of any type with `__index__`
        return whole if abs(whole) < _MOST_ENCODED else Decimal(whole)
    except TypeError:
        raise CheckError(at, f"must be an `int`, a `Decimal` or a `float`, not {_kind(value)}") from None


def _kind(value: object) -> str:
    return "`None`" if value is None else f"`{type(value).__name__}`"
