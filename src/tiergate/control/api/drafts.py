"""The drafts of items: what their next version will give. Publishing makes a version of a draft.

A draft begins as what the item gives to whoever comes now, shares and tags apart: the version that it is compared with.
Its entity tag is that of its item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.catalog import (
    apply_merge_patch,
    check_draft,
    entitlements_data,
    read_entitlement_body,
    read_entitlements_body,
    to_json_line,
    value_data,
)
from tiergate.control.api.bodies import MERGE_PATCH
from tiergate.control.api.discards import discard_item
from tiergate.control.api.items import item_resource, locked_item
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.control.api.working_catalog import refuse_any, stamped, unchanged
from tiergate.errors import NotFoundError
from tiergate.permissions import Action
from tiergate.publish.rollouts import current_version
from tiergate.store.features import find_feature, read_features
from tiergate.store.items import find_item, find_version, replace_item

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiergate.catalog import PlainData
    from tiergate.control.api.request import AdminRequest
    from tiergate.control.api.working_catalog import Data
    from tiergate.model import Feature, Instant, Value
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.items import StoredItem

_PATH: Final = "/v1/items/{id}/draft"
_ENTITLEMENT: Final = f"{_PATH}/entitlements/{{feature}}"
_MAX_BODY: Final = 4 * 2**20  # the entitlements of 10,000 features


def endpoints() -> list[Endpoint]:
    """The routes of drafts."""
    return [
        Endpoint("GET", _PATH, Action.VIEW, show, item_resource),
        Endpoint("PUT", _PATH, Action.EDIT_DRAFT, put, item_resource, max_body=_MAX_BODY),
        Endpoint("PATCH", _PATH, Action.EDIT_DRAFT, edit, item_resource, max_body=_MAX_BODY, media_types=MERGE_PATCH),
        Endpoint("DELETE", _PATH, Action.EDIT_DRAFT, discard_item, item_resource),
        Endpoint("PUT", _ENTITLEMENT, Action.EDIT_DRAFT, put_entitlement, item_resource),
        Endpoint("DELETE", _ENTITLEMENT, Action.EDIT_DRAFT, delete_entitlement, item_resource),
        Endpoint("GET", f"{_PATH}/diff", Action.VIEW, show_difference, item_resource, query=("against",)),
    ]


def show(request: AdminRequest) -> Answer:
    """Show the draft of an item."""

    def work(unit: ReadUnit) -> Answer:
        stored = find_item(unit, request.params["id"])
        draft = _draft_of(stored)
        return unchanged(request, stored.stamp) or _answer(stored, draft, read_features(unit))

    return request.read(work)


def put(request: AdminRequest) -> Answer:
    """Say the whole draft of an item."""
    return _change(request, lambda _unit, _stored, _features: request.body)


def edit(request: AdminRequest) -> Answer:
    """Edit the draft of an item, by a JSON Merge Patch."""

    def body(unit: WriteUnit, stored: StoredItem, features: Mapping[str, Feature]) -> str:
        return apply_merge_patch(request.body, {"entitlements": _standing(unit, stored, features)})

    return _change(request, body)


def put_entitlement(request: AdminRequest) -> Answer:
    """Say what the draft of an item gives for one feature; the body is the value."""

    def body(unit: WriteUnit, stored: StoredItem, features: Mapping[str, Feature]) -> str:
        feature = find_feature(unit, request.params["feature"]).feature
        value = read_entitlement_body(request.body, feature)
        return to_json_line(
            {"entitlements": _standing(unit, stored, features) | {feature.id: value_data(value, feature)}}
        )

    return _change(request, body)


def delete_entitlement(request: AdminRequest) -> Answer:
    """Take one feature out of the draft of an item."""

    def body(unit: WriteUnit, stored: StoredItem, features: Mapping[str, Feature]) -> str:
        standing = _standing(unit, stored, features)
        if request.params["feature"] not in standing:
            raise NotFoundError("entitlement", request.params["feature"])
        del standing[request.params["feature"]]
        return to_json_line({"entitlements": standing})

    return _change(request, body)


def show_difference(request: AdminRequest) -> Answer:
    """Compare the draft of an item with the version that whoever comes now gets, or with the version `against`."""
    wanted = request.number("against", 0, least=1, most=999_999_999)

    def work(unit: ReadUnit) -> Data:
        stored = find_item(unit, request.params["id"])
        draft = entitlements_data(_draft_of(stored), read_features(unit))
        version = wanted or current_version(stored.item.rollouts, unit.now)
        before: Data = {}
        if version:
            found = find_version(unit, stored.item.id, str(version))
            before = entitlements_data(
                found.definition.entitlements, unit.published_at(found.publication).catalog.features
            )
        data: Data = {"item": stored.item.id}
        if version:
            data["against"] = version
        return {**data, "changes": _changes(before, draft)}

    return Answer.json(request.read(work))


def _changes(before: Data, after: Data) -> list[PlainData]:
    found: list[PlainData] = []
    for feature in sorted(before.keys() | after.keys()):
        if feature not in before:
            found.append({"feature": feature, "change": "added", "after": after[feature]})
        elif feature not in after:
            found.append({"feature": feature, "change": "removed", "before": before[feature]})
        elif _differ(before[feature], after[feature]):
            found.append({"feature": feature, "change": "changed", "before": before[feature], "after": after[feature]})
    return found


def _differ(one: PlainData, other: PlainData) -> bool:
    return to_json_line(one) != to_json_line(other)  # `true` and 1 are equal to Python


def _change(
    request: AdminRequest,
    body: Callable[[WriteUnit, StoredItem, Mapping[str, Feature]], str | bytes],
) -> Answer:
    """Give an item the draft that a body says, which is made from what stands."""

    def work(unit: WriteUnit) -> Answer:
        before = locked_item(request, unit)
        features = read_features(unit)
        draft = read_entitlements_body(body(unit, before, features), features)
        given = set(before.draft or ())
        begin = _begin(before, unit.now)
        if begin:
            given |= find_version(unit, before.item.id, str(begin)).definition.entitlements.keys()
        refuse_any(check_draft(draft, given, features))
        after = replace_item(unit, before, before.item, draft)
        if after != before:
            unit.audit(
                "draft.edited",
                "item",
                before.item.id,
                before=None if before.draft is None else {"entitlements": entitlements_data(before.draft, features)},
                after={"entitlements": entitlements_data(draft, features)},
                customer=before.item.private_to or None,
            )
        return _answer(after, draft, features)

    return request.change(work)


def _standing(unit: ReadUnit, stored: StoredItem, features: Mapping[str, Feature]) -> Data:
    """What a draft gives before an edit: of one that does not exist yet, what the version that it begins with gives."""
    begin = _begin(stored, unit.now)
    if stored.draft is not None or not begin:
        return entitlements_data(stored.draft or {}, features)
    version = find_version(unit, stored.item.id, str(begin))
    printed = entitlements_data(
        version.definition.entitlements, unit.published_at(version.publication).catalog.features
    )
    return {id_: value for id_, value in printed.items() if id_ in features}  # what was deleted since is not given on


def _begin(stored: StoredItem, now: Instant) -> int:
    """The version that a draft begins with; the newest where nobody gets any; 0 where there is none."""
    return current_version(stored.item.rollouts, now) or stored.newest


def _draft_of(stored: StoredItem) -> dict[str, Value]:
    if stored.draft is None:
        raise NotFoundError("draft", stored.item.id)
    return stored.draft


def _answer(stored: StoredItem, draft: dict[str, Value], features: Mapping[str, Feature]) -> Answer:
    data: Data = {"item": stored.item.id, "entitlements": entitlements_data(draft, features)}
    return Answer.json(data | stamped(stored.stamp), etag=stored.stamp.etag)
