"""Read typed parameters of a query: a value of an enumeration, several of them, a flag.

Another value of a parameter is a `RequestError` 400.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tiergate.errors import RequestError
from tiergate.naming import nearest

if TYPE_CHECKING:
    from enum import StrEnum

    from tiergate.control.api.request import AdminRequest

E = TypeVar("E", bound="StrEnum")


def enum_parameter(request: AdminRequest, name: str, enum: type[E]) -> E | None:
    """Return a value of an enumeration, or `None` without the parameter."""
    text = request.query.get(name)
    return None if text is None else _parse_enum(text, name, enum)


def enum_list_parameter(request: AdminRequest, name: str, enum: type[E]) -> tuple[E, ...]:
    """Return values of an enumeration, separated by commas; none without the parameter."""
    text = request.query.get(name)
    return () if text is None else tuple(_parse_enum(value, name, enum) for value in text.split(","))


def _parse_enum(text: str, name: str, enum: type[E]) -> E:
    values = [member.value for member in enum]
    if text not in values:
        listed = ", ".join(f"`{value}`" for value in values)
        raise RequestError(400, "invalid request", f"`{name}` must be one of {listed}", nearest(text, values))
    return enum(text)


def flag_parameter(request: AdminRequest, name: str) -> bool | None:
    """Return `true` or `false` of a parameter, or `None` without it."""
    text = request.query.get(name)
    if text not in {None, "true", "false"}:
        raise RequestError(400, "invalid request", f"`{name}` must be `true` or `false`")
    return None if text is None else text == "true"
