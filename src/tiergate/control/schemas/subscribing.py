"""The schemas of what is said of subscriptions beside their form: what they are now, and the bodies of their steps."""

from __future__ import annotations

from tiergate.control.schemas.parts import FLAG, Schema, closed, ref, with_more
from tiergate.control.subscription_life import STEPS
from tiergate.model.life import SubscriptionState

__all__ = ["as_of_schemas", "step_schema_name", "stored_subscription", "subscribing_schemas"]


def step_schema_name(step: str) -> str:
    """The name of the schema of a step's body: `PastDueStep` of `past-due`."""
    return "".join(part.title() for part in step.split("-")) + "Step"


def stored_subscription(subscription: Schema, stamp: Schema) -> Schema:
    """A subscription as it is answered."""
    state: Schema = {
        "enum": [state.value for state in SubscriptionState],
        "description": "What it is now, by its status and dates: it counts where it is `live`.",
    }
    found = with_more(subscription, {"state": state, **stamp})
    return with_more(found, {**as_of_schemas(), "people_as_of": ref("Instant")}, required=False)


def as_of_schemas() -> Schema:
    """What answers say of the order of writes."""
    return {
        "as_of": {"allOf": [ref("Instant")], "description": "As of when the last write that said so is so."},
        "applied": FLAG | {"description": "false: what was asked is elder than what is known, and was passed over."},
    }


def subscribing_schemas() -> Schema:
    """The bodies of the steps."""
    return {step_schema_name(name): _step(step.date, required=step.required) for name, step in STEPS.items()}


def _step(date: str | None, *, required: bool) -> Schema:
    properties: Schema = {} if date is None else {date: ref("Instant")}
    return closed({**properties, "as_of": ref("Instant")}, optional=("as_of", *(() if required else properties)))
