"""Checks normalized to whole units by their features. A field that does not fit the feature's type is an error.

`CheckError` names the field that is wrong; `UnknownFeatureError` means that the catalog has no such feature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.errors import CheckError, UnknownFeatureError
from tiergate.model import FeatureType, ScaleError, to_units
from tiergate.model.amounts import MAX_EDGE_UNITS, MAX_SCALE
from tiergate.naming import ID, is_id, is_subject_id, nearest, parse_subject_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import Check, Feature, Number, Subject

_FIELDS = ("amount", "used", "user_used", "value", "level")
_NUMBERS = _FIELDS[:-1]
_TYPES = dict(zip(_FIELDS, [*[FeatureType.QUANTITY] * 3, FeatureType.RANGE, FeatureType.CUSTOM], strict=True))
"""The type of feature that accepts each field."""


class NormalizedCheck(msgspec.Struct, frozen=True, gc=False):
    """A check in whole units; `used` and `user_used` are `None` if the check does not contain them.

    `value` is 0 and `rank` 1, the smallest, if the check names none.
    """

    amount: int = 0
    used: int | None = None
    user_used: int | None = None
    value: int = 0
    rank: int = 1


_LOWEST = NormalizedCheck()
"""Of a switch, and of a check that names no value or level."""

_QUANTITY, _RANGE, _CUSTOM = FeatureType.QUANTITY, FeatureType.RANGE, FeatureType.CUSTOM
"""An attribute of an enumeration costs a tenth of a microsecond each time."""

_ID = ID.fullmatch


def normalize_check(check: Check, features: Mapping[str, Feature]) -> tuple[Feature, NormalizedCheck]:
    """Find the feature and read the check's numbers in its units."""
    feature = features.get(check.feature)
    if feature is None:
        raise UnknownFeatureError(check.feature[:200], nearest(check.feature, features))
    expect_valid_subject(check.subject)
    return feature, normalize_fields(check, feature)


def normalize_fields(check: Check, feature: Feature) -> NormalizedCheck:
    """Read the fields of a check of a feature, in its units."""
    kind, level = feature.type, check.level
    if kind is _QUANTITY:
        if check.value is not None or level is not None:
            _reject(feature, None, None, None, check.value, level)
        return _quantity(check, feature)
    if check.amount is not None or check.used is not None or check.user_used is not None:
        _reject(feature, check.amount, check.used, check.user_used, None, None)
    if kind is _CUSTOM:
        if check.value is not None:
            _reject(feature, None, None, None, check.value, None)
        return _LOWEST if level is None else NormalizedCheck(rank=_rank(level, feature))
    if kind is _RANGE:
        if level is not None:
            _reject(feature, None, None, None, None, level)
        return _LOWEST if check.value is None else NormalizedCheck(value=_units("value", check.value, feature))
    if check.value is not None or level is not None:
        _reject(feature, None, None, None, check.value, level)
    return _LOWEST


def expect_valid_check(check: Check) -> None:
    """Check that some feature could accept a check, without any catalog."""
    if not is_id(check.feature):
        raise UnknownFeatureError(check.feature[:200], None)
    expect_valid_subject(check.subject)
    given = [name for name in _FIELDS if getattr(check, name) is not None]
    for name in given:
        if _TYPES[name] is not _TYPES[given[0]]:
            raise CheckError(name, f"no feature accepts both `{given[0]}` and `{name}`")
    for name, number in zip(_NUMBERS, (check.amount, check.used, check.user_used, check.value), strict=True):
        if number is not None:
            _expect_number(name, number)


def expect_valid_subject(subject: Subject) -> None:
    """Check that a subject's ids are valid."""
    if subject.user is None and _ID(subject.id):  # nearly always
        return
    for field, id_ in (("subject.id", subject.id), ("subject.user", subject.user)):
        if id_ is None or is_subject_id(id_):
            continue
        try:
            parse_subject_id(id_)
        except ValueError as error:
            raise CheckError(field, str(error)) from None
        raise CheckError(field, "must be in the Unicode normal form C")


def _expect_number(field: str, number: Number) -> None:
    """Check that some scale can represent a number."""
    detail = ""
    for scale in range(MAX_SCALE + 1):
        try:
            units = to_units(number, scale)
        except ValueError as error:
            whole = isinstance(number, int) or number == number.to_integral_value()
            detail = detail if detail and whole else str(error)  # the least scale takes the largest numbers
        else:
            if field == "amount" and not units:
                raise CheckError(field, "must be positive")
            return
    raise CheckError(field, detail)


def _quantity(check: Check, feature: Feature) -> NormalizedCheck:
    amount, used, user_used = check.amount, check.used, check.user_used
    amount = default_amount(feature) if amount is None else _units("amount", amount, feature)
    if not amount:
        raise CheckError("amount", "must be positive")
    return NormalizedCheck(
        amount,
        None if used is None else _units("used", used, feature),
        None if user_used is None else _units("user_used", user_used, feature),
    )


def default_amount(feature: Feature) -> int:
    """The amount of a check that names none: the minimum amount, or one whole unit where there is no minimum.

    Where the batch has an increment, the next whole multiple of it, so that the amount is one that can be taken.
    """
    batch = feature.batch
    if not feature.scale and batch.minimum is None and batch.increment is None:  # as most
        return 1
    least = int(10**feature.scale) if batch.minimum is None else batch.minimum
    step = batch.increment or 1
    return -(-least // step) * step


def _units(field: str, number: Number, feature: Feature) -> int:
    if type(number) is int and not feature.scale and 0 <= number <= MAX_EDGE_UNITS:  # nearly always
        return number
    try:
        return to_units(number, feature.scale)
    except ScaleError as error:
        raise CheckError(field, f"{error}: the scale of `{feature.id}` is {feature.scale}") from None
    except ValueError as error:
        raise CheckError(field, str(error)) from None


def _rank(level: str, feature: Feature) -> int:
    label = feature.label_of(level)
    if label is None:
        near = nearest(level, feature.labels)
        raise CheckError("level", f"`{level[:200]}` is not a level of `{feature.id}`", near)
    return feature.rank(label)


def _reject(feature: Feature, *fields: Number | str | None) -> None:
    """Reject given fields, in the order of `_FIELDS`, that the feature's type does not accept."""
    for name, given in zip(_FIELDS, fields, strict=True):
        if given is not None:
            raise CheckError(name, f"a {feature.type.value} such as `{feature.id}` does not accept `{name}`")
