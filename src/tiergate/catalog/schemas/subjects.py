"""The schemas of subjects files, and of lines of NDJSON."""

from __future__ import annotations

from tiergate.catalog.entries.items import MAX_VERSION
from tiergate.catalog.entries.metadata import MAX_EXTERNAL_ID, MAX_EXTERNAL_IDS
from tiergate.catalog.entries.subjects import MAX_QUANTITY, RESUMED
from tiergate.catalog.schemas.parts import (
    DIALECT,
    Schema,
    api_version,
    calendar_period,
    closed,
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
    whole,
    words,
)
from tiergate.model import OverrideMode, SubscriptionStatus


def subjects_schema() -> Schema:
    """Return the schema of a subjects file in YAML or JSON."""
    return {
        "$schema": DIALECT,
        "$id": "urn:tiergate:v1:subjects",
        "title": "Tiergate subjects",
        "description": "Customers, and the subscriptions that they hold.",
        **closed(
            {
                "apiVersion": api_version(),
                "customers": listing("#/$defs/customer", "Customers."),
                "subscriptions": listing("#/$defs/subscription", "Subscriptions, each of one of the customers."),
            },
            required=["apiVersion"],
        ),
        "$defs": _subject_definitions() | {"customer": _customer(), "subscription": _subscription()},
    }


def subjects_line_schema() -> Schema:
    """Return the schema of one line of a subjects file in NDJSON."""
    return {
        "$schema": DIALECT,
        "$id": "urn:tiergate:v1:subjects-line",
        "title": "One line of Tiergate subjects",
        "description": "A customer, a subscription, or, on the first line, the version of the format.",
        "oneOf": [
            closed({"apiVersion": api_version()}, required=["apiVersion"]),
            _customer(typed=True),
            _subscription(typed=True),
        ],
        "$defs": _subject_definitions(),
    }


def _subject_definitions() -> Schema:
    return {
        **shared(),
        "subjectId": subject_id(),
        "suspension": suspension(in_feature=False),
        "held": _held(),
        "override": _override(),
        "externalIds": _external_ids(),
    }


def _typed(properties: Schema, type_: str, *, typed: bool) -> Schema:
    return {"type": {"const": type_, "description": "What this line is."}} | properties if typed else properties


def _exceptions() -> Schema:
    return {
        "overrides": listing("#/$defs/override", "Values given to this subject alone."),
        "suspensions": listing("#/$defs/suspension", "Features switched off for this subject."),
    }


def _customer(*, typed: bool = False) -> Schema:
    properties: Schema = {
        "id": ref("subjectId", "The customer's id, by which services ask."),
        "name": line("What people read."),
        "tags": tags("Words that rules and rollouts speak of."),
        "attributes": {
            "type": "object",
            "propertyNames": ref("id"),
            "additionalProperties": line("Text; quote numbers."),
            "description": "What rules may ask about a customer.",
        },
        "metadata": metadata(),
        "external_ids": ref("externalIds"),
    } | _exceptions()
    required = ["type", "id"] if typed else ["id"]
    return closed(_typed(properties, "customer", typed=typed), required, "A customer.")


def _subscription(*, typed: bool = False) -> Schema:
    properties: Schema = {
        "id": ref("subjectId", "The subscription's id."),
        "customer": ref("subjectId", "The customer who holds it."),
        "status": words(SubscriptionStatus, "The state that billing last reported."),
        "items": listing("#/$defs/held", "What it holds."),
        "start": ref("instant", "From when it counts; left out: it always has."),
        "end": ref("instant", "Until when it counts; `canceled` needs it."),
        "trial_end": ref("instant", "Until when a trial counts; `trialing` needs it."),
        "grace_until": ref("instant", "Until when it counts while `past_due`; left out: not at all."),
        "resume_at": ref("instant", "From when it counts again while `paused`; left out: not at all."),
        "resumes_as": {
            "enum": [status.value for status in RESUMED],
            "default": SubscriptionStatus.ACTIVE.value,
            "description": "The status to which a paused subscription returns.",
        },
        "term": _term(),
        "metadata": metadata(),
        "external_ids": ref("externalIds"),
    } | _exceptions()
    required = ["id", "customer", "status", "items"]
    schema = closed(
        _typed(properties, "subscription", typed=typed),
        ["type", *required] if typed else required,
        "What a customer holds.",
    )
    schema["allOf"] = [
        {
            "if": {"properties": {key: {"const": status.value}}, "required": [key]},
            "then": {"required": [date]},
        }
        for key in ("status", "resumes_as")
        for status, date in ((SubscriptionStatus.TRIALING, "trial_end"), (SubscriptionStatus.CANCELED, "end"))
    ]
    paused: Schema = {"status": {"const": SubscriptionStatus.PAUSED.value}}
    schema["allOf"].append({"if": {"required": ["resumes_as"]}, "then": {"properties": paused}})
    without_start: Schema = {"required": ["term"], "properties": {"start": False}}
    schema["allOf"].append({"if": without_start, "then": {"properties": {"term": {"required": ["anchor"]}}}})
    return schema


def _term() -> Schema:
    every = calendar_period("How often it renews.")
    anchor = ref("instant", "From when its boundaries are counted; left out: from the subscription's start.")
    return closed({"every": every, "anchor": anchor}, ["every"], "How often the subscription renews.")


def _external_ids() -> Schema:
    return {
        "type": "object",
        "maxProperties": MAX_EXTERNAL_IDS,
        "propertyNames": ref("id"),
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": MAX_EXTERNAL_ID},
        "description": "Its ids in other systems: system → id there.",
    }


def _held() -> Schema:
    return closed(
        {
            "item": ref("id", "The item's id."),
            "quantity": whole(1, MAX_QUANTITY, "How many of it.") | {"default": 1},
            "version": whole(1, MAX_VERSION, "A pin to one version; left out: as the rollouts say."),
            "added_at": ref("instant", "When it was added; left out: at the subscription's start."),
            "from": ref("instant", "From when it counts; left out: from the subscription's start."),
            "until": ref("instant", "Until when it counts; left out: until the subscription's end."),
        },
        ["item"],
        "An item in a subscription.",
    )


def _override() -> Schema:
    schema = closed(
        {
            "id": ref("id", "Its id, unique in its subject; left out: the feature's id and a number."),
            "feature": ref("id", "The feature that it is about."),
            "mode": words(
                OverrideMode,
                "replace: stands in place of what the items give. at_least: never lowers. add: raises a quantity or "
                "range by so much. disabled: takes it away.",
                default=OverrideMode.REPLACE,
            ),
            "value": {
                "anyOf": [{"type": "boolean"}, number("A number."), {"type": "string"}, _override_amount()],
                "description": "`true` or `false`, a number, `unlimited` or a level. With mode `replace`, a number of "
                "a metered quantity may come with its own kind of limit.",
            },
            "from": ref("instant", "When it begins; left out: it has always been so."),
            "until": ref("instant", "When it ends; left out: never."),
            "author": line("Who gave it."),
            "reason": prose("Why."),
        },
        ["feature"],
        "A value for one feature, given to this subject alone, over an interval.",
    )
    schema["if"] = {"properties": {"mode": {"const": OverrideMode.DISABLED.value}}, "required": ["mode"]}
    schema["then"] = {"properties": {"value": False}}
    schema["else"] = {"required": ["value"]}
    replaced: Schema = {"properties": {"mode": {"const": OverrideMode.REPLACE.value}}}
    added: Schema = {"properties": {"mode": {"const": OverrideMode.ADD.value}}, "required": ["mode"]}
    schema["allOf"] = [
        {"if": added, "then": {"properties": {"value": number("By so much.", positive=True)}}},
        {"if": replaced, "else": {"properties": {"value": {"type": ["boolean", "number", "string"]}}}},
    ]
    return schema


def _override_amount() -> Schema:
    amount = closed(
        {
            "value": number("The number."),
            "limit": limit_kind("What happens above the number."),
            "overage_max": overage_max(),
        },
        ["value", "limit"],
    )
    return amount | soft_for_overage()
