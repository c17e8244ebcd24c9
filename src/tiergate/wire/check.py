"""Bodies of checks, as callers send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from tiergate.model import FeatureType, SubjectType
from tiergate.naming import EXTERNAL_PREFIX, MAX_SUBJECT_ID, SUBJECT_ID_PATTERN
from tiergate.wire.decision import UNSET, Absent, InstantText
from tiergate.wire.json import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import Check

MAX_CHECKS: Final = 1_000
"""The most checks of one `POST /v1/checks`."""

FIELDS_OF: Final[Mapping[FeatureType, frozenset[str]]] = {
    FeatureType.SWITCH: frozenset(),
    FeatureType.QUANTITY: frozenset({"amount", "used", "user_used"}),
    FeatureType.RANGE: frozenset({"value"}),
    FeatureType.CUSTOM: frozenset({"level"}),
}
"""The fields of a check that fit each type of feature."""

SUBJECT_ID_SCHEMA: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_SUBJECT_ID,
    "pattern": SUBJECT_ID_PATTERN,
    "not": {"type": "string", "pattern": f"^{EXTERNAL_PREFIX}"},
}

# The schemas say more than the structs check: `check_reader` checks the rest, and names the wrong field.
SubjectId = Annotated[str, msgspec.Meta(extra_json_schema=SUBJECT_ID_SCHEMA)]
_Name = Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1})]


def _number(description: str, bound: str) -> msgspec.Meta:
    return msgspec.Meta(description=description, extra_json_schema={"type": "number", bound: 0})


class SubjectBody(msgspec.Struct, forbid_unknown_fields=True):
    """A customer or subscription, and optionally a user of it."""

    id: SubjectId
    type: Literal["customer", "subscription"] | Absent = UNSET
    user: SubjectId | Absent = UNSET


class CheckBody(msgspec.Struct, forbid_unknown_fields=True):
    """A check. A field that the feature's type does not know is an error."""

    subject: SubjectId | SubjectBody
    feature: _Name
    amount: (
        Annotated[
            msgspec.Raw,
            _number("Quantity: how many more; by default one unit, or the smallest amount.", "exclusiveMinimum"),
        ]
        | Absent
    ) = UNSET
    used: Annotated[msgspec.Raw, _number("Quantity: how many were used before.", "minimum")] | Absent = UNSET
    user_used: Annotated[msgspec.Raw, _number("Quantity: how many of them by the user.", "minimum")] | Absent = UNSET
    value: Annotated[msgspec.Raw, _number("Range: the value; by default any.", "minimum")] | Absent = UNSET
    level: (
        Annotated[
            str, msgspec.Meta(description="Custom: the level; by default any.", extra_json_schema={"minLength": 1})
        ]
        | Absent
    ) = UNSET


def check_json(check: Check) -> bytes:
    """Encode a check as the body that asks for it."""
    subject = check.subject
    about: str | dict[str, str] = subject.id
    if subject.type is not SubjectType.CUSTOMER or subject.user is not None:
        about = {"type": subject.type.value, "id": subject.id}
        if subject.user is not None:
            about["user"] = subject.user
    body: dict[str, object] = {"subject": about, "feature": check.feature}
    for name in ("amount", "used", "user_used", "value", "level"):
        given = getattr(check, name)
        if given is not None:
            body[name] = given
    return encode(body)


class CheckAtBody(CheckBody, forbid_unknown_fields=True):
    """A check at an instant; by default now."""

    at: InstantText | Absent = UNSET


class ChecksBody(msgspec.Struct, forbid_unknown_fields=True):
    """Several checks, answered in their order."""

    checks: Annotated[list[CheckBody], msgspec.Meta(max_length=MAX_CHECKS)]
