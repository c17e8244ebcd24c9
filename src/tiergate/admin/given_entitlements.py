"""List which item gives what of which feature: now, in its draft, and in other versions that some customers get.

One list answers both questions: which items give a feature, and what an item gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.admin.items import has_draft
from tiergate.catalog import value_data
from tiergate.errors import ParameterError
from tiergate.naming import nearest
from tiergate.publish.rollouts import current_version
from tiergate.store.features import read_features
from tiergate.store.items import read_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiergate.model import Feature, Value
    from tiergate.store import ReadUnit
    from tiergate.store.items import StoredItem


class GivenFilter(NamedTuple):
    """Of one feature, of one item, or all."""

    feature: str | None = None
    item: str | None = None


def list_given(
    unit: ReadUnit, wanted: GivenFilter, cursor: str | None, limit: int
) -> tuple[list[dict[str, object]], str | None]:
    """Return one page of what items give, by item and feature, and the cursor of the next page.

    Raises:
        ParameterError: if there is no such item or feature.
    """
    items = read_items(unit)
    features = {**unit.published.catalog.features, **read_features(unit)}
    for name, value, known in (("item", wanted.item, items), ("feature", wanted.feature, features)):
        if value is not None and value not in known:
            near = nearest(value[:100], known)
            hint = f", did you mean `{near}`?" if near else ""
            raise ParameterError(name, f"is not in the catalog: `{value[:100]}`{hint}")
    after = tuple((cursor or "").split(" ")) if cursor else ()
    page: list[dict[str, object]] = []
    last = ""
    for id_, stored in items.items():
        if (wanted.item is not None and id_ != wanted.item) or (after and id_ < after[0]):
            continue
        for entry in _given(unit, stored, features, wanted.feature):
            if (id_, entry["feature"]) <= after:
                continue
            if len(page) == limit:
                return page, last
            page.append(entry)
            last = f"{id_} {entry['feature']}"
    return page, None


def _given(
    unit: ReadUnit, stored: StoredItem, features: Mapping[str, Feature], feature: str | None
) -> Iterator[dict[str, object]]:
    item = stored.item
    published = unit.published.catalog.items.get(item.id)
    versions = {} if published is None else {it.version: it.entitlements for it in published.versions}
    current = current_version(item.rollouts, unit.now)
    now: Mapping[str, Value] = versions.get(current, {})
    draft = stored.draft if has_draft(unit, stored) else None
    known = {id_ for given in (*versions.values(), draft or {}) for id_ in given}
    for id_ in sorted(known if feature is None else known & {feature}):
        if id_ not in features:
            continue
        entry: dict[str, object] = {"item": item.id, "kind": item.kind.value, "feature": id_}
        if id_ in now:
            entry |= {"version": current, "value": value_data(now[id_], features[id_])}
        if draft is not None and draft.get(id_) != now.get(id_):
            entry["draft"] = value_data(draft[id_], features[id_]) if id_ in draft else None
        others = [
            {"version": version, "value": value_data(given[id_], features[id_])}
            for version, given in sorted(versions.items())
            if version != current and id_ in given
        ]
        if others:
            entry["others"] = others
        if entry.keys() & {"value", "draft", "others"}:
            yield entry
