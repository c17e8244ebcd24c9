"""The audit log: search and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from tiergate.admin.instant_filters import instant_filter
from tiergate.errors import ParameterError, did_you_mean
from tiergate.model import format_instant
from tiergate.naming import nearest
from tiergate.store.audit import AuditQuery, export_audit, is_recorded, search_audit
from tiergate.store.keys import key_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiergate.store import ReadUnit, Store
    from tiergate.store.audit import AuditEntry

FILTERS: Final = ("actor", "action", "kind", "resource", "customer", "request_id", "text", "since", "until")
"""The names of the filters that `read_query` knows; those after `text` are instants."""

_VERBS: Final = {
    "author": "erased",
    "catalog": "applied",
    "customer": "created changed deleted erased",
    "draft": "edited deleted",
    "edit": "discarded",
    "feature": "created edited deleted activated archived reactivated suspended resumed",
    "grant": "given changed ended",
    "item": "created edited deleted activated archived retired rollouts_changed sold",
    "key": "created revoked",
    "publication": "created rolled_back",
    "roles": "drafted draft_dropped",
    "status_monitor": "declared edited deleted",
    "status_report": "created edited ended deleted",
    "rules": "drafted removed",
    "store": "bootstrapped",
    "subscription": (
        "created changed deleted trial_set activated paused resumed past_due canceled ended item_added item_changed "
        "item_removed pinned unpinned plan_changed plan_change_scheduled plan_change_withdrawn billed"
    ),
    "thresholds": "set removed",
    "usage": "corrected written_off",
    "webhook": "created edited deleted disabled redelivered secret_rotated tested",
}
ACTIONS: Final = frozenset(f"{subject}.{verb}" for subject, verbs in _VERBS.items() for verb in verbs.split())
"""What is done, as entries name it. The log of an older version may have other actions and kinds."""

KINDS: Final = frozenset(_VERBS) - {"catalog", "draft", "edit"}
"""The kinds of resources that entries are about."""

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
    return AuditQuery(**texts, since=instant_filter(filters, "since"), until=instant_filter(filters, "until"))


def check_query(unit: ReadUnit, query: AuditQuery) -> None:
    """Reject an action or a kind that does not exist, which no entry could have.

    Raises:
        ParameterError: it is neither known nor in the log.
    """
    _check_words(unit, "action", query.action, ACTIONS)
    _check_words(unit, "kind", query.kind, KINDS)


def _check_words(unit: ReadUnit, name: Literal["action", "kind"], text: str | None, known: frozenset[str]) -> None:
    for word in () if text is None else text.split(","):
        if word not in known and not is_recorded(unit, name, word):
            raise ParameterError(name, f"has no `{word[:100]}`{did_you_mean(nearest(word, known))}")


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


def _data(entry: AuditEntry) -> dict[str, Any]:
    return {**msgspec.to_builtins(entry, builtin_types=(msgspec.Raw,)), "at": format_instant(entry.at)}
