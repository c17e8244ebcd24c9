"""What decisions and explanations are as JSON: schemas (2020-12) for the OpenAPI documents of all who answer with them.

Closed: an answer has these members and no others. Tests hold them to what is answered.
"""

from __future__ import annotations

from typing import Any

from tiergate.model import FeatureType, OverrideMode, Per, Reason, SubjectType, SubscriptionStatus
from tiergate.model.features import ACTIONS
from tiergate.wire.explanation import Applicability

Json = dict[str, Any]

_NUMBER: Json = {"type": "number"}
_TEXT: Json = {"type": "string"}
_SHOWN: Json = {"type": ["boolean", "number", "string", "null"]}
_INSTANT: Json = {"type": "string", "format": "date-time"}
_UNLOADED = "{} Absent where nothing was loaded yet."
_WHY: Json = {**_TEXT, "description": "The end of a sentence, such as `it is paused`."}
_PERIOD: Json = {"from": _INSTANT, "until": _INSTANT}


def answer_schemas(prefix: str = "", *, unloaded: bool = False) -> dict[str, Json]:
    """The schemas by name. `prefix` stands before the names where a document has others of the same.

    `unloaded`: there may be answers before anything was loaded, which leave out what only a catalog says.
    """

    def ref(name: str) -> Json:
        return {"$ref": f"#/components/schemas/{prefix}{name}"}

    found = {**_decision(ref("Entitlement"), ref("Source")), **_explanation(ref("Decision"), ref("Source"))}
    if unloaded:
        _loosen(found["Decision"], "type")
        _loosen(found["Explanation"], "counting", "action")
        _loosen(found["Explanation"]["properties"]["asked"], "type")
    return {f"{prefix}{name}": schema for name, schema in found.items()}


def object_of(
    properties: Json,
    *,
    required: tuple[str, ...] | None = None,
    optional: tuple[str, ...] = (),
    description: str | None = None,
) -> Json:
    """An object with these properties and no others; all required but `optional`, or exactly `required`."""
    needed = [name for name in properties if name not in optional] if required is None else [*required]
    found: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    if needed:
        found["required"] = needed
    if description is not None:
        found["description"] = description
    return found


def _loosen(schema: Json, *names: str) -> None:
    """Let members be absent where nothing was loaded yet."""
    for name in names:
        schema["required"].remove(name)
        said = schema["properties"][name]
        schema["properties"][name] = {**said, "description": _UNLOADED.format(said.get("description", "")).strip()}


def _list(items: Json, description: str = "") -> Json:
    return {"type": "array", "items": items} | ({"description": description} if description else {})


def _decision(entitlement: Json, source: Json) -> dict[str, Json]:
    return {
        "Decision": object_of(
            {
                "allowed": {"type": "boolean"},
                "reason": {"enum": [*Reason], "description": "One that you do not know: go by `allowed`."},
                "feature": _TEXT,
                "type": {"enum": [*FeatureType]},
                "entitlement": entitlement,
                "sources": _list(source),
                "policies": _list(_TEXT),
                "publication": {"type": "integer"},
                "revision": _TEXT,
                "valid_until": {**_INSTANT, "description": "The next instant at which this may change by itself."},
                "stale": {"type": "boolean"},
            },
            optional=("valid_until",),
        ),
        "Entitlement": object_of(
            {
                "value": {**_SHOWN, "description": "What is held; absent where `unlimited`."},
                "unlimited": {"type": "boolean"},
                "unit": _TEXT,
                "used": _NUMBER,
                "remaining": {**_NUMBER, "description": "Absent where `unlimited`."},
            },
            required=(),
            description="What the subject holds, on a denial too.",
        ),
        "Source": object_of(
            {
                "item": _TEXT,
                "version": {"type": "integer"},
                "quantity": {"type": "integer"},
                "override": _TEXT,
                "mode": {"enum": [*OverrideMode]},
                "subscription": _TEXT,
                "value": _SHOWN,
                "unlimited": {"type": "boolean"},
                "add": {"type": "boolean", "description": "The value came on top of the others."},
                "per": {"enum": [*Per]},
            },
            required=(),
            description="An item or an override that contributed.",
        ),
    }


def _explanation(decision: Json, source: Json) -> dict[str, Json]:
    whom = object_of({"type": {"enum": [*SubjectType]}, "id": _TEXT, "user": _TEXT}, optional=("user",))
    standing = {
        "enum": [*Applicability],
        "description": "`set_aside`: its time has come and is not over, but something keeps it from counting.",
    }
    return {
        "Explanation": object_of(
            {
                "decision": decision,
                "sentences": _list(_TEXT, "The same for people, the answer first. Words may change."),
                "asked": _asked(whom),
                "known": {"type": "boolean", "description": "Whether there is a record of the subject."},
                "subscriptions": _list(_subscription(standing)),
                "held": {
                    "type": "object",
                    "additionalProperties": {"type": "integer"},
                    "description": "Each item version that is held, and how often.",
                },
                "values": _list(
                    object_of({"source": source, "name": _TEXT, "counts": _NUMBER}, optional=("name", "counts")),
                    "What contributed; `counts`: how much of a number it makes, multiplied.",
                ),
                "counting": _counting(),
                "overrides": _list(_override(whom, standing), "All of the feature, whether they count or not."),
                "suspensions": _list(_suspension(standing), "All of the feature, whether they count or not."),
                "changes": _list(
                    object_of({"at": _INSTANT, "what": _TEXT}), "What begins or ends at the decision's `valid_until`."
                ),
                "principal": {**_TEXT, "description": "Cedar's; empty where nothing is known of the subject."},
                "action": {"enum": [*ACTIONS.values()]},
                "context": {"type": "object", "description": "The facts as Cedar saw them."},
                "policies": _list(_policy(), "Every policy that could matter, those that decided first."),
                "errors": _list(_TEXT, "What could not be evaluated."),
            },
            description="A decision and everything that it rested on.",
        )
    }


def _asked(whom: Json) -> Json:
    optional = ("name", "unit", "amount", "used", "used_from", "value", "level")
    return object_of(
        {
            "subject": whom,
            "feature": _TEXT,
            "type": {"enum": [*FeatureType]},
            "at": _INSTANT,
            "name": _TEXT,
            "unit": _TEXT,
            "amount": _NUMBER,
            "used": _NUMBER,
            "used_from": {
                "enum": ["check", "metered", "nothing"],
                "description": "Who says what was used: the check, the usage that is counted here, or nobody.",
            },
            "value": _NUMBER,
            "level": _TEXT,
        },
        optional=optional,
        description="The question, with the numbers by which it was decided where it leaves them out.",
    )


def _subscription(standing: Json) -> Json:
    item = object_of(
        {
            **_PERIOD,
            "item": _TEXT,
            "name": _TEXT,
            "version": {"type": "integer"},
            "pinned": {"type": "boolean"},
            "quantity": {"type": "integer"},
            "standing": standing,
            "why": _WHY,
            "gives": {**_TEXT, "description": "What it says of the feature; absent where that is nothing."},
        },
        required=("item", "pinned", "quantity", "standing"),
    )
    return object_of(
        {
            **_PERIOD,
            "id": _TEXT,
            "status": {"enum": [*SubscriptionStatus]},
            "standing": standing,
            "why": _WHY,
            "items": _list(item),
        },
        optional=("from", "until"),
        description="`from` and `until`: when it counts.",
    )


def _override(whom: Json, standing: Json) -> Json:
    return object_of(
        {
            **_PERIOD,
            "id": _TEXT,
            "on": whom,
            "mode": {"enum": [*OverrideMode]},
            "value": {"type": ["boolean", "number", "string"]},
            "unlimited": {"type": "boolean"},
            "standing": standing,
            "why": _WHY,
            "author": _TEXT,
            "reason": _TEXT,
        },
        required=("id", "on", "mode", "unlimited", "standing"),
    )


def _suspension(standing: Json) -> Json:
    whose = object_of({"type": {"enum": [*SubjectType, "everybody"]}, "id": _TEXT}, optional=("id",))
    properties = {**_PERIOD, "on": whose, "standing": standing, "why": _WHY, "reason": _TEXT}
    return object_of(properties, required=("on", "standing"))


def _counting() -> Json:
    cap = object_of({"limit": _NUMBER, "used": _NUMBER})
    return object_of(
        {
            "combine": {"enum": ["sum", "max", "any", "highest"]},
            "maximum": _NUMBER,
            "minimum": _NUMBER,
            "increment": _NUMBER,
            "levels": _list(_TEXT),
            "user_cap": cap,
            "total_cap": cap,
            "across": {"enum": ["max"]},
        },
        required=("combine",),
        description="How values make one, and what else bounds a check: a range's ends, amounts, caps, levels.",
    )


def _policy() -> Json:
    return object_of(
        {
            "id": _TEXT,
            "text": _TEXT,
            "decided": {"type": "boolean"},
            "reason": {**_TEXT, "description": "Of a denial by it; empty for what permits."},
            "description": {**_TEXT, "description": "What its author says of it."},
        }
    )
