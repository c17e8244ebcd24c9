"""Filters of lists that are instants, such as `since` and `until`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.errors import ParameterError
from tiergate.model import parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.model import Instant


def instant_filter(filters: Mapping[str, str], name: str) -> Instant | None:
    """Return the instant that a filter names; none if the filter is not given.

    Raises:
        ParameterError: the value is not an instant.
    """
    text = filters.get(name)
    try:
        return None if text is None else parse_instant(text)
    except ValueError as error:
        raise ParameterError(name, str(error)) from None
