"""Reads the requests of OFREP: a context of anything, in which a few members have a meaning.

Applications put what they like into a context, so members without a meaning are ignored, and those with one count only
for the features that they fit: a `level` says nothing about a quantity. A member that counts must be valid.

A body that is not JSON is a `RequestError`, a wrong context a `CheckError`, of which `TargetingKeyError` is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.errors import CheckError
from tiergate.model import Check, FeatureType, Subject, SubjectType
from tiergate.naming import normalize_subject_id
from tiergate.text_normalization import to_nfc
from tiergate.wire.check import FIELDS_OF
from tiergate.wire.strict_reader import (
    JsonObject,
    kind_of,
    malformed_json,
    number_field,
    parse_json,
    read_query_fields,
    string_field,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import Number

SUBSCRIPTION: Final = "subscription:"
"""The beginning of the targeting key of a subscription."""

_TARGETING_KEY: Final = "targetingKey"
_USER: Final = "user"
_NUMBERS: Final = ("amount", "used", "user_used", "value")
_LEVEL: Final = "level"
_MEANT: Final = frozenset((*_NUMBERS, _LEVEL))
_OF_VALUE: Final[Mapping[FeatureType, frozenset[str]]] = {FeatureType.QUANTITY: frozenset({"used", "user_used"})}
_NONE: Final = frozenset[str]()


class TargetingKeyError(CheckError):
    """The context has no targeting key."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"/context/{_TARGETING_KEY}", detail)


class Context(NamedTuple):
    """A context: the subject, and the members that may count for some feature. `whole`: all of it."""

    subject: Subject
    fields: Mapping[str, object]
    whole: Mapping[str, object]

    def names_for(self, kind: FeatureType, *, decision: bool) -> frozenset[str]:
        """Return the members that count for a feature of a type: for its `:allowed`, or for its value."""
        if not self.fields:
            return _NONE
        return (FIELDS_OF if decision else _OF_VALUE).get(kind, _NONE).intersection(self.fields)

    def check(self, feature: str, kind: FeatureType | None, *, decision: bool) -> Check:
        """Return the check that a flag asks for. Raises `CheckError` if a member that counts is invalid.

        `kind`: none as long as no catalog says it; then no member counts.
        """
        names = _NONE if kind is None else self.names_for(kind, decision=decision)
        if not names:
            return Check(self.subject, feature)
        amount, used, user_used, value = (self._number(name) if name in names else None for name in _NUMBERS)
        level = to_nfc(string_field(self.fields[_LEVEL], f"/context/{_LEVEL}")) if _LEVEL in names else None
        return Check(self.subject, feature, amount, used, user_used, value, level)

    def _number(self, name: str) -> Number:
        return number_field(self.fields[name], f"/context/{name}")


def read_context(body: bytes) -> Context:
    """Read the context of a request."""
    whole = parse_json(body)
    if not isinstance(whole, JsonObject):
        raise malformed_json(f"the body must be an object, not {kind_of(whole)}")
    context = whole.get("context")
    if context is None:
        raise TargetingKeyError("is required, in an object `context`")
    if not isinstance(context, JsonObject):
        raise CheckError("/context", f"must be an object, not {kind_of(context)}")
    for repeated, at in ((whole.repeated, ""), (context.repeated, "/context")):
        if repeated is not None:
            raise CheckError(f"{at}/{repeated[:60]}", "is given twice")
    key, user = context.get(_TARGETING_KEY), context.get(_USER)
    if key is None or key == "":
        raise TargetingKeyError("is required: the id of a customer, or `subscription:` and the id of one")
    subject = _subject(
        string_field(key, f"/context/{_TARGETING_KEY}"),
        None if user is None else string_field(user, f"/context/{_USER}"),
    )
    fields = {name: value for name, value in context.items() if name in _MEANT and value is not None}
    return Context(subject, fields, context)


def read_stream_query(query: bytes) -> Subject:
    """Read the subject of a query such as `targetingKey=acme&user=u1`; other parameters are errors."""
    fields = read_query_fields(query, (_TARGETING_KEY, _USER))
    if not fields.get(_TARGETING_KEY):
        raise TargetingKeyError("is required")
    return _subject(fields[_TARGETING_KEY], fields.get(_USER) or None)


def targeting_key(subject: Subject) -> str:
    """Return the targeting key of a subject."""
    return f"{SUBSCRIPTION if subject.type is SubjectType.SUBSCRIPTION else ''}{subject.id}"


def _subject(key: str, user: str | None) -> Subject:
    kind = SubjectType.SUBSCRIPTION if key.startswith(SUBSCRIPTION) else SubjectType.CUSTOMER
    name = key.removeprefix(SUBSCRIPTION)
    if not name:
        raise TargetingKeyError(f"must have an id after `{SUBSCRIPTION}`")
    return Subject(normalize_subject_id(name), kind, None if user is None else normalize_subject_id(user))
