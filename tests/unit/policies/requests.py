"""Requests to the policies written by hand, put to Cedar's plain text interface, fact by fact."""

from __future__ import annotations

import json
from typing import Any

from tiergate.cedar import CedarResult, authorize_text, builtin_schema, builtin_text

TYPES = {"use": "switch", "consume": "quantity", "set": "range", "choose": "custom"}
ACTIONS = tuple(TYPES)

_COMMON: dict[str, Any] = {
    "now": {"__extn": {"fn": "datetime", "arg": "2026-11-01"}},
    "weekday": 7,
    "status": "operational",
    "active": True,
    "suspended": False,
    "live": True,
    "held": True,
    "given": True,
    "overridden": False,
    "disabled": False,
}
_NUMBERS: dict[str, Any] = {"limit": 10, "unlimited": False}
_OWN: dict[str, dict[str, Any]] = {
    "use": {},
    "consume": _NUMBERS | {"soft": False, "used": 9, "amount": 1, "minimum": 1, "remainder": 0},
    "set": _NUMBERS | {"value": 10},
    "choose": {"rank": 2, "heldRank": 2},
}


def ask(name: str, action: str, principal: str = 'Customer::"acme"', **facts: object) -> CedarResult:
    """Evaluate one of the files of `policies/` for a granted check of this action, but for some facts.

    A fact of `None` is left out. Allowance and ceiling are the limit, unless they are given.
    """
    if action == "consume":
        limit = facts.get("limit", _NUMBERS["limit"])
        facts = {"allowance": limit, "ceiling": limit} | facts
    context = {key: value for key, value in (_COMMON | _OWN[action] | facts).items() if value is not None}
    attrs = {"customer": "acme", "tags": []}
    customer = {"type": "Customer", "id": "acme"}
    gold = {"type": "Item", "id": "plan/gold@3"}
    entities = [
        {"uid": customer, "attrs": attrs, "parents": [gold]},
        {"uid": {"type": "Subscription", "id": "sub"}, "attrs": attrs, "parents": [gold]},
        {"uid": {"type": "User", "id": "ann"}, "attrs": attrs, "parents": [customer]},
        {
            "uid": {"type": "Feature", "id": "movies"},
            "attrs": {"type": TYPES[action], "unit": "", "scale": 0},
            "parents": [],
        },
    ]
    request: dict[str, object] = {
        "principal": principal,
        "action": f'Action::"{action}"',
        "resource": 'Feature::"movies"',
        "context": context,
    }
    text = builtin_text(name) if name != "permits" else permits(action)
    return authorize_text(text, json.dumps(entities), builtin_schema(), request)


def permits(action: str) -> str:
    """What the compiler writes for an entitlement: the template of the action, its slots filled."""
    text = next(it for it in builtin_text("templates").split("@id(") if it.startswith(f'"{action}"'))
    filled = text.replace("?principal", 'Item::"plan/gold@3"').replace("?resource", 'Feature::"movies"')
    return "@id(" + filled
