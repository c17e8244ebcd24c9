"""Changes of random catalogs: some that are refactorings, and some that change one thing which may mean something.

Whether an alteration does mean something is not said here: that is for the reference model to find out.
"""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.properties.choices import Choices, random_strategy
from tests.properties.documents import INSTANTS, LABELS, chance, entitlement, feature, item, number, rollout, with_limit
from tests.reference.entitlement import versions

if TYPE_CHECKING:
    from tests.properties.documents import Document

_RENUMBERED = 20


def _shuffled(choose: Choices, listed: list[Any]) -> list[Any]:
    left = list(listed)
    return [left.pop(choose.number(0, len(left) - 1)) for _ in range(len(left))]


def _refactored(choose: Choices, catalog: Document) -> Document:
    """The same catalog, said in quite another way."""
    found: Document = copy.deepcopy(catalog)
    features = {it["id"]: it for it in found["features"]}
    for one in found["features"]:
        _say_feature_otherwise(choose, one)
    for one in found["items"]:
        _say_item_otherwise(choose, one, features)
    for key in ("features", "items"):
        found[key] = _shuffled(choose, found[key])
    return found


def _say_feature_otherwise(choose: Choices, one: Document) -> None:
    one["name"], one["description"] = choose.one(["Another", "A name"]), choose.one(["other words", "words"])
    if "tags" in one:
        one["tags"] = _shuffled(choose, one["tags"])
    if chance(choose, 2):
        one.setdefault("status", "active")
    if one["type"] in {"quantity", "range"} and chance(choose, 2):
        one.setdefault("combine", "sum" if one["type"] == "quantity" else "max")
    if one["type"] == "quantity" and "batch" not in one and chance(choose, 4):
        one["batch"] = {"increment": number(1, one.get("scale", 0))}  # every amount is a multiple of the smallest step
        if one.get("scale", 0):
            del one["batch"]  # but the least amount to ask for would be another


def _say_item_otherwise(choose: Choices, one: Document, features: dict[str, Document]) -> None:
    one["name"] = choose.one(["Another", "A name"])
    listed = copy.deepcopy(versions(one))
    shift = _RENUMBERED if chance(choose, 2) else 0
    for version in listed:
        version["version"] += shift
        entitlements = version["entitlements"]
        for name in list(entitlements):
            entitlements[name] = _said_otherwise(choose, entitlements[name], features[name])
        for name, of in features.items():
            if name not in entitlements and of["type"] == "switch" and chance(choose, 2):
                entitlements[name] = False
    one.pop("entitlements", None)
    one.pop("version", None)
    one["versions"] = _shuffled(choose, listed)
    for it in one.get("rollouts", ()):
        it["version"] += shift
    if "rollouts" not in one and chance(choose, 2):
        last = max(it["version"] for it in listed)
        one["rollouts"] = [{"version": choose.one(listed)["version"]}, {"version": last, "audience": "everybody"}]


def _said_otherwise(choose: Choices, value: Any, of: Document) -> Any:  # noqa: ANN401 - a document's value
    if of["type"] not in {"quantity", "range"} or value == "unlimited":
        return value
    key = "add" if isinstance(value, dict) and "add" in value else "value"
    number_, per = (value[key], value.get("per")) if isinstance(value, dict) else (value, None)
    combine = of.get("combine", "sum" if of["type"] == "quantity" else "max")
    default = "unit" if key == "add" or combine == "sum" else "subscription"
    if per == default and chance(choose, 2):
        per = None
    elif per is None and chance(choose, 2):
        per = default
    if chance(choose, 2) and len(Decimal(number_).as_tuple().digits) < 12:
        number_ = Decimal(f"{Decimal(number_):f}" + ("0" if "." in f"{Decimal(number_):f}" else ".0"))
    own = {it: value[it] for it in ("limit", "overage_max") if isinstance(value, dict) and it in value}
    if key == "value" and per is None and not own and chance(choose, 2):
        return number_
    return {key: number_} | ({} if per is None else {"per": per}) | own


def _altered(choose: Choices, catalog: Document) -> Document:
    """The catalog with one thing changed."""
    found: Document = copy.deepcopy(catalog)
    of, one = choose.one(found["features"]), choose.one(found["items"])
    version = choose.one(versions(one))
    match choose.one(
        ["value", "value", "value", "drop", "rollouts", "status", "suspend", "numbers", "caps", "new", "item"]
    ):
        case "value":
            value = entitlement(choose, of)
            version["entitlements"][of["id"]] = with_limit(choose, of, value) if "metered" in of else value
        case "drop":
            version["entitlements"].pop(of["id"], None)
        case "rollouts":
            one["rollouts"] = [rollout(choose, one) for _ in range(choose.number(0, 3))]
        case "status":
            of["status"] = choose.one(["active", "archived", "draft"])
        case "suspend":
            of["suspensions"] = [{"from": choose.one(INSTANTS), "reason": "repair"}]
        case "numbers" if of["type"] in {"quantity", "range"}:
            of["combine"] = choose.one(["sum", "max"])
        case "numbers" if of["type"] == "custom":
            more = [it for it in LABELS if it not in of["levels"]]
            of["levels"] = choose.one([of["levels"][::-1], [*of["levels"], more[0]]])
        case "caps" if of["type"] == "quantity":
            least = number(choose.number(1, 9), of.get("scale", 0))
            of.pop(choose.one(["caps", "batch"]), None)
            of |= choose.one(
                [{"caps": {"per_user": least}}, {"batch": {"minimum": least}}, {"batch": {"increment": least}}]
            )
        case "caps" if of["type"] == "range":
            most = [0] + [
                it["entitlements"][of["id"]]
                for each in found["items"]
                for it in versions(each)
                if of["id"] in it["entitlements"]
            ]
            numbers = [it.get("value", 0) if isinstance(it, dict) else it for it in most]
            if "unlimited" not in numbers:
                of["max"] = max(Decimal(it) for it in (*numbers, of.get("min", 0)))
        case "new":
            found["features"].append(feature(choose, "brand-new"))
        case _:
            found["items"].append(item(choose, "another", found["features"]))
    return found


refactored = random_strategy(_refactored)
"""The same catalog, said in quite another way."""

altered = random_strategy(_altered)
"""The catalog with one thing changed, which may mean something or not."""
