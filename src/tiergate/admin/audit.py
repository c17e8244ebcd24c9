"""The audit log: search and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tiergate.errors import ParameterError
from tiergate.model import format_instant, parse_instant
from tiergate.store.audit import AuditQuery, export_audit, search_audit
from tiergate.store.keys import key_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiergate.model import Instant
    from tiergate.store import ReadUnit, Store
    from tiergate.store.audit import AuditEntry

FILTERS: Final = ("actor", "action", "kind", "resource", "customer", "request_id", "text", "since", "until")
"""The names of the filters that `read_query` knows; those after `text` are instants."""

_TEXTS: Final = FILTERS[:7]
_MAX_TEXT: Final = 200
_KEY: Final = "key/"


def read_query(filters: Mapping[str, str]) -> AuditQuery:
    """Read a query from filters by name; other names are ignored.

    Raises:
        ParameterError: a value is invalid.
    """
    texts = {name: filters[name] for name in _TEXTS if name in filters}
    if len(texts.get("text", "")) > _MAX_TEXT:
        raise ParameterError("text", f"may have at most {_MAX_TEXT} characters")
    return AuditQuery(**texts, since=_instant(filters, "since"), until=_instant(filters, "until"))


def search_entries(
    unit: ReadUnit, query: AuditQuery, before: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Return one page of entries, the newest first, and the id to continue before; with the names of keys."""
    entries = search_audit(unit, query, before, limit + 1)
    page = entries[:limit]
    names = key_names(unit, {entry.actor.removeprefix(_KEY) for entry in page if entry.actor.startswith(_KEY)})
    found = [_data(entry) for entry in page]
    for data in found:
        name = names.get(str(data["actor"]).removeprefix(_KEY)) if str(data["actor"]).startswith(_KEY) else None
        if name is not None:
            data["actor_name"] = name
    return found, page[-1].id if len(entries) > limit else None


def export_entries(store: Store, query: AuditQuery, after: int) -> Iterator[dict[str, Any]]:
    """Yield entries with an id above `after`, the oldest first."""
    return map(_data, export_audit(store, query, after))


def _instant(filters: Mapping[str, str], name: str) -> Instant | None:
    text = filters.get(name)
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise ParameterError(name, str(error)) from None


def _data(entry: AuditEntry) -> dict[str, Any]:
    return {**msgspec.to_builtins(entry, builtin_types=(msgspec.Raw,)), "at": format_instant(entry.at)}
