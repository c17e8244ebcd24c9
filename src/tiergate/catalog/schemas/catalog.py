"""The schema of catalog files."""

from __future__ import annotations

from typing import Final

from tiergate.catalog.entries.features import FEATURE_KEYS, TYPE_KEYS, default_combine
from tiergate.catalog.entries.items import MAX_VERSION
from tiergate.catalog.entries.metering import MAX_LATE_MS, NEVER, UTC, WINDOW_KEYS
from tiergate.catalog.schemas.parts import (
    DIALECT,
    Schema,
    api_version,
    calendar_period,
    closed,
    ids,
    limit_kind,
    line,
    listing,
    metadata,
    number,
    overage_max,
    prose,
    ref,
    shared,
    soft_for_overage,
    subject_id,
    suspension,
    tags,
    thresholds,
    whole,
    words,
)
from tiergate.catalog.schemas.service_levels import service_level
from tiergate.model import (
    DEFAULT_LATE_MS,
    DURATION_PATTERN,
    MAX_SCALE,
    Combine,
    FeatureStatus,
    FeatureType,
    ItemKind,
    ItemStatus,
    LimitKind,
    OfflineUse,
    Per,
    PlansPerSubscription,
    SpendOrder,
    WindowAnchor,
    format_duration,
)

_PERCENT: Final = r"^(0|[1-9][0-9]?|100)(\.[0-9]{1,2})?%$"


def catalog_schema() -> Schema:
    """Return the schema of a catalog file."""
    return {
        "$schema": DIALECT,
        "$id": "urn:tiergate:v1:catalog",
        "title": "Tiergate catalog",
        "description": "What a product offers, and which plan, add-on or charge gives what.",
        **closed(
            {
                "apiVersion": api_version(),
                "plans": words(
                    PlansPerSubscription,
                    "How many plans one subscription may have at an instant.",
                    default=PlansPerSubscription.ONE,
                ),
                "features": listing("#/$defs/feature", "What the product can offer."),
                "items": listing("#/$defs/item", "Plans, add-ons and charges, and what they give."),
                "ladders": listing("#/$defs/ladder", "Plans that form a ladder; lint holds each to the one below."),
            },
            required=["apiVersion"],
        ),
        "$defs": {
            **shared(),
            "subjectId": subject_id(),
            "suspension": suspension(in_feature=True),
            "feature": _feature(),
            "metered": _metered(),
            "serviceLevel": service_level(of_item=False),
            "itemServiceLevel": service_level(of_item=True),
            "item": _item(),
            "version": _version(),
            "rollout": _rollout(),
            "entitlements": _entitlements(),
            "entitlement": _entitlement(),
            "ladder": _ladder(),
        },
    }


def _feature() -> Schema:
    properties: Schema = {
        "id": ref("id", "The feature's id, by which services ask for it."),
        "name": line("What people read."),
        "description": prose("What it is."),
        "type": words(
            FeatureType,
            "switch: given or not. quantity: an amount on top of what is used. range: a value up to what is granted. "
            "custom: one of ordered levels. The type of a feature never changes.",
        ),
        "status": words(
            FeatureStatus,
            "draft: prepared, not effective. archived: no new entitlements, existing ones stay effective.",
            default=FeatureStatus.ACTIVE,
        ),
        "tags": tags("Words by which rules speak of several features."),
        "unit": line("What the numbers count, such as movies/month."),
        "scale": whole(0, MAX_SCALE, "How many decimal digits the numbers may have.") | {"default": 0},
        "levels": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"anyOf": [line("A label, or `unlimited`."), number("A number.")]},
            "description": "The values that items may give directly, lowest first: labels of a custom feature, numbers "
            "of a quantity with `unlimited` as the last one.",
        },
        "combine": words(
            Combine,
            "How the numbers that several items give become one: added, or the largest. Left out: added for a "
            "quantity, the largest for a range.",
        ),
        "across": words(
            Combine,
            "How the numbers of a customer's subscriptions become one: all together, or that of the subscription that "
            "gives most.",
            default=Combine.SUM,
        ),
        "min": number("The least that an item may give of a range."),
        "max": number("The most that an item may give of a range, and that it can combine to."),
        "batch": closed(
            {
                "minimum": number("The least amount that can be taken at once.", positive=True),
                "increment": number("Amounts are multiples of this.", positive=True),
            },
            description="How a quantity is taken.",
        )
        | {"minProperties": 1},
        "caps": closed(
            {
                "total": number("The most for everybody together; needs `metered`.", positive=True),
                "per_user": number("The most for each user.", positive=True),
            },
            description="Limits beside the entitlement.",
        )
        | {"minProperties": 1},
        "metered": ref("metered"),
        "draws": closed(
            {
                "from": ref("id", "The metered quantity that is used up too, such as credits."),
                "cost": number("How much of it one unit costs, in the scale of that quantity.", positive=True),
            },
            ["from", "cost"],
            "Using this feature also uses up another one; needs `metered`.",
        ),
        "service_level": ref("serviceLevel"),
        "linked": ids("Features that belong to this one, such as the limit of a switch."),
        "suspensions": listing("#/$defs/suspension", "When the feature is switched off for everybody."),
    }
    schema = closed(properties, ["id", "type"], "Something that the product can offer.")
    schema["allOf"] = [_of_type(type_) for type_ in FeatureType]
    return schema


def _of_type(type_: FeatureType) -> Schema:
    """Return the rules on the keys of a feature of one type."""
    then: Schema = {"properties": dict.fromkeys(sorted(FEATURE_KEYS - TYPE_KEYS[type_]), False)}
    if type_ is FeatureType.CUSTOM:
        then["required"] = ["levels"]
        then["properties"]["levels"] = {"items": line("A label.")}
    if type_ in (FeatureType.QUANTITY, FeatureType.RANGE):
        then["properties"]["combine"] = {"default": default_combine(type_).value}
    if type_ is FeatureType.QUANTITY:
        then["properties"]["levels"] = {"items": {"anyOf": [number("A level."), {"const": "unlimited"}]}}
        then["if"] = {"properties": {"caps": {"required": ["total"]}}, "required": ["caps"]}
        then["then"] = {"required": ["metered"]}
        then["dependentRequired"] = {"draws": ["metered"]}
    return {"if": {"properties": {"type": {"const": type_.value}}, "required": ["type"]}, "then": then}


def _metered() -> Schema:
    schema = closed(
        {
            "reset": calendar_period("When usage begins again at zero.", NEVER),
            "anchor": words(
                WindowAnchor,
                "What the periods are counted from: the calendar, the anchor of the subscription that gives the "
                "feature, or the first use after the last period.",
                default=WindowAnchor.CALENDAR,
            ),
            "timezone": line("The time zone whose clocks count, by its IANA name.") | {"default": UTC},
            "limit": words(
                LimitKind,
                "What happens above the limit. hard: use is denied. soft: it is allowed, and reported as overage.",
                default=LimitKind.HARD,
            ),
            "overage_max": overage_max(),
            "rollover": closed(
                {"max": number("The most of it.", positive=True)},
                ["max"],
                "What is left of the allowance at the end of a period is added to the next.",
            ),
            "late": {
                "type": "string",
                "pattern": f"^{DURATION_PATTERN}$",
                "default": format_duration(DEFAULT_LATE_MS),
                "description": "How long after the end of its period usage is still accepted; at most "
                f"{format_duration(MAX_LATE_MS)}.",
            },
            "spend": words(
                SpendOrder,
                "What is used up first: the allowance of the period, or grants.",
                default=SpendOrder.ALLOWANCE_FIRST,
            ),
            "offline": words(
                OfflineUse,
                "What a sidecar does that has nothing left to give out and cannot reach its control plane. Left out: "
                "deny with a hard limit, allow with a soft one.",
            ),
            "thresholds": thresholds(),
        },
        ["reset"],
        "Usage is counted.",
    )
    never: Schema = {"properties": {"reset": {"const": NEVER}}, "required": ["reset"]}
    without: Schema = {"properties": dict.fromkeys(WINDOW_KEYS, False)}
    return schema | {"allOf": [soft_for_overage(), {"if": never, "then": without}]}


def _item() -> Schema:
    properties: Schema = {
        "id": ref("id", "The item's id, unique across kinds."),
        "kind": words(ItemKind, "What it is sold as."),
        "status": words(
            ItemStatus,
            "draft: given to nobody yet. archived: kept by those who have it, given to nobody new.",
            default=ItemStatus.ACTIVE,
        ),
        "metadata": metadata(),
        "name": line("What people read."),
        "description": prose("What it is."),
        "tags": tags("Words to group items by."),
        "version": whole(1, MAX_VERSION, "The number of its one version.") | {"default": 1},
        "entitlements": ref("entitlements"),
        "versions": {
            "type": "array",
            "minItems": 1,
            "items": ref("version"),
            "description": "Several versions, instead of `version` and `entitlements`.",
        },
        "rollouts": listing(
            "#/$defs/rollout",
            "Which version whom: the last rollout in force that fits a customer decides. Left out: the highest "
            "version for everybody. Empty: nobody but pinned subscriptions.",
        ),
        "available_for": ids("Plans with which it can be bought; left out: any.", least=1),
        "depends_on": ids("Items of which all must count with it."),
        "excludes": ids("Items that cannot be held with it."),
        "service_levels": {
            "type": "object",
            "propertyNames": ref("id"),
            "additionalProperties": ref("itemServiceLevel"),
            "description": "Feature → what is promised of it to those who hold the item, instead of what the feature "
            "promises to everybody.",
        },
        "private_to": ref("subjectId", "The one customer who may hold it; left out: any."),
    }
    schema = closed(properties, ["id", "kind"], "A plan, add-on or charge, and what it gives.")
    schema["oneOf"] = [
        {"required": ["entitlements"], "properties": {"versions": False}},
        {"required": ["versions"], "properties": {"entitlements": False, "version": False}},
    ]
    schema["if"] = {"properties": {"kind": {"const": ItemKind.PLAN.value}}, "required": ["kind"]}
    schema["then"] = {"properties": {"available_for": False}}
    return schema


def _version() -> Schema:
    return closed(
        {
            "version": whole(1, MAX_VERSION, "Its number."),
            "entitlements": ref("entitlements"),
        },
        ["version", "entitlements"],
        "One version of an item.",
    )


def _rollout() -> Schema:
    share: Schema = {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": 100},
            {"type": "string", "pattern": _PERCENT},
        ],
        "description": "Percent of the customers, by a stable choice.",
    }
    audience: Schema = {
        "anyOf": [
            {"enum": ["everybody", "new"]},
            closed({"share": share}, ["share"]),
            closed({"tag": ref("id", "Customers with this tag.")}, ["tag"]),
        ],
        "default": "everybody",
        "description": "Whom it is for; `new`: those whose item was added since `from`.",
    }
    return closed(
        {
            "version": whole(1, MAX_VERSION, "The version that they get."),
            "from": ref("instant", "When it begins; left out: it has always been so."),
            "audience": audience,
        },
        ["version"],
        "Which version whom.",
    )


def _entitlements() -> Schema:
    return {
        "type": "object",
        "description": "Feature → what is given of it.",
        "propertyNames": ref("id"),
        "additionalProperties": ref("entitlement"),
    }


def _entitlement() -> Schema:
    per = words(Per, "Whether it is multiplied by the item's quantity.")
    return {
        "anyOf": [
            {"type": "boolean", "description": "Of a switch."},
            number("Of a quantity or range."),
            {"type": "string", "description": "`unlimited`, or a level of a custom feature."},
            closed(
                {
                    "value": {
                        "anyOf": [number("A number."), {"const": "unlimited"}],
                        "description": "The number, where `per` says how it is multiplied.",
                    },
                    "per": per,
                    "limit": limit_kind("What happens above the number, if not as the metered feature says."),
                    "overage_max": overage_max(),
                },
                ["value"],
            )
            | soft_for_overage(),
            closed({"add": number("On top of what the others give."), "per": per}, ["add"]),
        ],
        "description": "What is given of a feature.",
    }


def _ladder() -> Schema:
    return closed(
        {
            "id": ref("id", "The ladder's id."),
            "plans": ids("Its plans, lowest first.", least=2),
        },
        ["id", "plans"],
        "Plans of which each gives at least what the one below it gives.",
    )
