"""The measured files and requests, generated from a seed: the same on every machine.

Feature `f<i>` is a switch, quantity, range or custom feature by `i % 4`; every plan gives every feature. Customer
`c<i>` has one to three plans at random, in subscription `s<i>`.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TYPES = ("switch", "quantity", "range", "custom")
_LEVELS = ("email", "chat", "phone")


@dataclass(frozen=True)
class Size:
    """The numbers of features, plans and customers."""

    features: int
    plans: int
    customers: int


SMALL = Size(features=10, plans=10, customers=1_000)
USUAL = Size(features=400, plans=200, customers=10_000)
LARGE = Size(features=400, plans=1_000, customers=1_000_000)


def _value(feature: int, draw: random.Random) -> str:
    match _TYPES[feature % 4]:
        case "switch":
            return "true"
        case "quantity":
            return str(draw.randint(1, 10**12))
        case "range":
            return str(draw.randint(100, 1_000))
        case _:
            return draw.choice(_LEVELS)


def write_catalog(path: Path, features: int, plans: int, *, changed_plan: int | None = None) -> None:
    """Write a catalog; with `changed_plan`, one number of that plan differs."""
    draw = random.Random(1)
    lines = ["apiVersion: tiergate/v1", "plans: many", "features:"]
    for i in range(features):
        extra = {1: ", unit: things", 2: ", min: 0, max: 3000", 3: ", levels: [email, chat, phone]"}.get(i % 4, "")
        lines.append(f"  - {{id: f{i}, type: {_TYPES[i % 4]}{extra}}}")
    lines.append("items:")
    for plan in range(plans):
        lines += [f"  - id: p{plan}", "    kind: plan", "    entitlements:"]
        for i in range(features):
            value = _value(i, draw)
            if plan == changed_plan and i == 1:
                value = "7"
            lines.append(f"      f{i}: {value}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_subjects(path: Path, customers: int, plans: int) -> None:
    """Write the customers and their subscriptions as NDJSON, two lines each."""
    draw = random.Random(2)
    with path.open("w", encoding="utf-8") as file:
        for i in range(customers):
            items = [{"item": f"p{plan}"} for plan in draw.sample(range(plans), draw.randint(1, min(3, plans)))]
            customer = {"type": "customer", "id": f"c{i}"}
            subscription = {
                "type": "subscription",
                "id": f"s{i}",
                "customer": f"c{i}",
                "status": "active",
                "items": items,
            }
            file.write(f"{json.dumps(customer)}\n{json.dumps(subscription)}\n")


def check_bodies(size: Size, count: int, seed: int) -> Iterator[str]:
    """Return random checks of every type; repetitions are unlikely."""
    draw = random.Random(seed)
    for _ in range(count):
        feature = draw.randrange(size.features)
        body: dict[str, object] = {"subject": f"c{draw.randrange(size.customers)}", "feature": f"f{feature}"}
        match _TYPES[feature % 4]:
            case "quantity":
                body["used"] = draw.randrange(10**12)
            case "range":
                body["value"] = draw.randrange(1_500)
            case "custom":
                body["level"] = draw.choice(_LEVELS)
            case _:
                pass
        yield json.dumps(body, separators=(",", ":"))


def lua_checks(size: Size, *, users: bool = False, hot: int | None = None) -> str:
    """Return wrk's script for new checks.

    With `users`, each switch or custom check names another user: few customers would otherwise run out of checks. With
    `hot`, only so many of the customers are asked for, spread evenly.
    """
    return f"""{_lua_check(size, users=users, hot=hot)}
local head = "POST /v1/check HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: "
function request()
  local body = check()
  return head .. #body .. "\\r\\n\\r\\n" .. body
end
"""


def lua_batches(size: Size, count: int) -> str:
    """Return wrk's script for batches of `count` new checks."""
    return f"""{_lua_check(size, users=False, hot=None)}
local head = "POST /v1/checks HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nContent-Length: "
function request()
  local checks = {{}}
  for i = 1, {count} do checks[i] = check() end
  local body = '{{"checks":[' .. table.concat(checks, ",") .. ']}}'
  return head .. #body .. "\\r\\n\\r\\n" .. body
end
"""


def _lua_check(size: Size, *, users: bool, hot: int | None) -> str:
    """Return a Lua function `check` that makes the body of a random check."""
    named = """subject = '{"type":"customer","id":"' .. customer .. '","user":"u' .. draw(0, 999999999) .. '"}'"""
    asked = size.customers if hot is None else hot
    return f"""
local threads = 0
function setup(thread) thread:set("seed", os.time() * 10 + threads); threads = threads + 1 end
function init(args) math.randomseed(seed) end
local draw = math.random
local levels = {{"email", "chat", "phone"}}
local function check()
  local feature = draw(0, {size.features - 1})
  local type = feature % 4
  local customer = "c" .. draw(0, {asked - 1}) * {size.customers // asked}
  local rest = ""
  local subject = '"' .. customer .. '"'
  if type == 1 then
    rest = ',"used":' .. string.format("%d", draw(0, 999999999999))
  elseif type == 2 then
    rest = ',"value":' .. draw(0, 1500)
  else
    if type == 3 then rest = ',"level":"' .. levels[draw(1, 3)] .. '"' end
    {named if users else ""}
  end
  return '{{"subject":' .. subject .. ',"feature":"f' .. feature .. '"' .. rest .. '}}'
end
"""
