"""The schemas of what is said of subscriptions beside their form: what they are now, and the bodies of their steps."""

from __future__ import annotations

from typing import Final

from tiergate.admin.subscription_lifecycle import STEPS
from tiergate.catalog import MAX_QUANTITY
from tiergate.control.api.schemas.parts import FLAG, Schema, ref, with_more, without
from tiergate.model.subscription_state import SubscriptionState
from tiergate.wire.schemas import object_of

_QUANTITY: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": MAX_QUANTITY}
_AT: Final[Schema] = {
    "anyOf": [{"enum": ["now", "term_end"]}, ref("Instant")],
    "default": "now",
    "description": "`now`, an instant, or `term_end`: when the term that runs now ends.",
}

_ADDONS: Final[Schema] = {
    "enum": ["keep", "end"],
    "default": "keep",
    "description": "What becomes of add-ons and charges that cannot be held with the new plan: they stand in the way, "
    "or end with the old one.",
}
_ENDS: Final[Schema] = {"type": "array", "items": ref("Id"), "description": "The items that end with the plan."}


def step_schema_name(step: str) -> str:
    """The name of the schema of a step's body: `PastDueStep` of `past-due`."""
    return "".join(part.title() for part in step.split("-")) + "Step"


def stored_subscription(subscription: Schema, stamp: Schema) -> Schema:
    """A subscription as it is answered."""
    state: Schema = {
        "enum": [state.value for state in SubscriptionState],
        "description": "What it is now, by its status and dates: it counts where it is `live`.",
    }
    schema = with_more(subscription, {"state": state, **stamp})
    change = object_of(
        {"from_item": ref("Id"), "to": ref("Id"), "quantity": _QUANTITY, "at": ref("Instant"), "ends": _ENDS},
        optional=("ends",),
        description="The change of plan that is to come.",
    )
    more = {**as_of_schemas(), "people_as_of": ref("Instant"), "scheduled_change": change, "ends": _ENDS}
    return with_more(schema, more, required=False)


def as_of_schemas() -> Schema:
    """What answers say of the order of writes."""
    return {
        "as_of": {"allOf": [ref("Instant")], "description": "As of when the last write that said so is so."},
        "applied": FLAG | {"description": "false: what was asked is elder than what is known, and was passed over."},
    }


def passed_over_schema() -> Schema:
    """What answers a write that is elder than what is known, where that is not a subject as it is."""
    gone: Schema = {"const": True, "description": "The subject was deleted, as of `as_of`."}
    more = {"as_of": ref("Instant"), "people_as_of": ref("Instant"), "deleted": gone}
    return object_of({"applied": {"const": False}, **more}, optional=tuple(more))


def subscribing_schemas(subscription: Schema, held: Schema, address: Schema) -> Schema:
    """The bodies of the steps, of what billing says, and of a change of plan; `address`: of a customer."""
    steps = {step_schema_name(name): _step(step.date, required=step.required) for name, step in STEPS.items()}
    change = object_of(
        {
            "to": ref("Id"),
            "at": _AT,
            "quantity": _QUANTITY,
            "from_item": ref("Id"),
            "addons": _ADDONS,
            "as_of": ref("Instant"),
        },
        optional=("at", "quantity", "from_item", "addons", "as_of"),
        description="The plan to change to; `from_item`: in place of which, where there are several.",
    )
    return {
        **steps,
        "PlanChange": change,
        "BilledItem": without(held, ("version",)),
        "Billing": _billing(subscription, address),
    }


def _billing(subscription: Schema, address: Schema) -> Schema:
    schema = with_more(
        without(subscription, ("overrides", "suspensions")),
        {"as_of": ref("Instant"), "customer": address},
        required=False,
    )
    schema["properties"]["items"] = {"type": "array", "items": ref("BilledItem"), "description": "All that it holds."}
    schema["required"] = ["status", "items"]
    schema["description"] = "What billing owns of a subscription; `customer` creates one that is not there."
    return schema


def _step(date: str | None, *, required: bool) -> Schema:
    properties: Schema = {} if date is None else {date: ref("Instant")}
    return object_of({**properties, "as_of": ref("Instant")}, optional=("as_of", *(() if required else properties)))
