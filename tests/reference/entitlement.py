"""The reference model: what the design's section 2 says, as plainly as possible, over plain documents of section 6.

No Cedar, no caches, no integers in units, nothing of `tiergate`: it shares no mistake with what it is compared to. It
knows valid documents only, and users' rules not at all. Where speed or generality would ask for a cleverer line, the
obvious one stands.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

Document = dict[str, Any]
UNLIMITED = Decimal("Infinity")
MOST_UNITS = 2**62
"""No number of units counts as more than this."""
NOTHING_COUNTED: Document = {"used": 0, "user_used": 0, "total_used": 0, "granted": 0}


def millis(text: str) -> int:
    """Milliseconds since 1970 of an instant that has its offset."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def within(interval: Document, now: int) -> bool:
    """Say whether `now` is in [from, until)."""
    begun = "from" not in interval or millis(interval["from"]) <= now
    ended = "until" in interval and millis(interval["until"]) <= now
    return begun and not ended


class Catalogue:
    """A catalog and a subjects document, by id."""

    def __init__(self, catalog: Document, subjects: Document) -> None:
        self.features: dict[str, Document] = {it["id"]: it for it in catalog.get("features", [])}
        self.items: dict[str, Document] = {it["id"]: it for it in catalog.get("items", [])}
        self.customers: dict[str, Document] = {it["id"]: it for it in subjects.get("customers", [])}
        self.subscriptions: dict[str, Document] = {it["id"]: it for it in subjects.get("subscriptions", [])}


def live(subscription: Document, now: int) -> bool:
    """Semantics 1: whether a subscription counts."""
    status = subscription["status"]
    if status == "paused":
        if "resume_at" not in subscription or now < millis(subscription["resume_at"]):
            return False
        status = subscription.get("resumes_as", "active")
    if "start" in subscription and now < millis(subscription["start"]):
        return False
    if "end" in subscription and now >= millis(subscription["end"]):
        return False
    if status == "active":
        return True
    if status == "canceled":
        return "end" in subscription
    if status == "trialing":
        return "trial_end" in subscription and now < millis(subscription["trial_end"])
    if status == "past_due":
        return "grace_until" in subscription and now < millis(subscription["grace_until"])
    return False


def in_share(customer: str, item: str, percent: Decimal) -> bool:
    """Say whether a customer is in a share of an item's customers."""
    place = int.from_bytes(hashlib.sha256(f"{customer}\n{item}".encode()).digest()[:8], "big") % 10_000
    return place < percent * 100


def in_audience(audience: Any, rollout: Document, customer: Document, item: str, added: int | None) -> bool:  # noqa: ANN401 - a document's value
    """Say whether a customer's item is in the audience of a rollout."""
    if audience == "everybody":
        return True
    if audience == "new":
        return "from" not in rollout or (added is not None and added >= millis(rollout["from"]))
    if isinstance(audience, str):
        return in_share(customer["id"], item, Decimal(audience.removesuffix("%")))
    if "share" in audience:
        return in_share(customer["id"], item, Decimal(str(audience["share"]).removesuffix("%")))
    return audience["tag"] in customer.get("tags", [])


def version_of(held: Document, item: Document, subscription: Document, customer: Document, now: int) -> int | None:
    """The version of a held item that is in force: its pin, else the last rollout that fits."""
    if "version" in held:
        return int(held["version"])
    if "rollouts" not in item:
        return max(int(version["version"]) for version in versions(item))
    added_at = held.get("added_at", subscription.get("start"))
    added = None if added_at is None else millis(added_at)
    chosen = None
    for rollout in item["rollouts"]:
        if not within({key: rollout[key] for key in ("from",) if key in rollout}, now):
            continue
        if in_audience(rollout.get("audience", "everybody"), rollout, customer, item["id"], added):
            chosen = int(rollout["version"])
    return chosen


def versions(item: Document) -> list[Document]:
    """All versions of an item, whichever way they are written."""
    if "versions" in item:
        return list(item["versions"])
    return [{"version": item.get("version", 1), "entitlements": item.get("entitlements", {})}]


@dataclass
class Part:
    """What one subscription, or several together, come to: a value, what is added on top, and who gave it.

    `acted`: an override of the subscription changed something.
    """

    value: Decimal = Decimal(0)
    added: Decimal = Decimal(0)
    sources: list[Document] = field(default_factory=list)
    suspended: bool = False
    disabled: bool = False
    acted: bool = False

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.value + self.added


def number_of(feature: Document, value: Any) -> Decimal:  # noqa: ANN401 - a document's value
    """A value as a number: true is 1, a level its place from 1, unlimited above every number."""
    if feature["type"] == "switch":
        return Decimal(1 if value else 0)
    if feature["type"] == "custom":
        return Decimal(feature["levels"].index(value) + 1)
    if isinstance(value, dict):
        value = value["value"]
    return UNLIMITED if value == "unlimited" else Decimal(value)


def together(feature: Document, values: list[Decimal]) -> Decimal:
    """The values of one feature as one: of a quantity their sum unless it says `max`, of the others the highest."""
    combine = "max"
    if feature["type"] == "quantity":
        combine = feature.get("combine", "sum")
    if feature["type"] == "range":
        combine = feature.get("combine", "max")
    if combine == "sum":
        return Decimal(sum(values))
    return max([Decimal(0), *values])


def multiplied(feature: Document, value: Any, quantity: int) -> tuple[Decimal, bool]:  # noqa: ANN401 - a document's value
    """What an item's value comes to, held so often, and whether it is added on top."""
    if feature["type"] in {"switch", "custom"}:
        return number_of(feature, value), False
    extra = isinstance(value, dict) and "add" in value
    is_sum = feature.get("combine", "sum" if feature["type"] == "quantity" else "max") == "sum"
    per = "unit" if extra or is_sum else "subscription"
    if isinstance(value, dict):
        per = value.get("per", per)
        value = value["add"] if extra else value["value"]
    number = number_of(feature, value)
    return (number * quantity if per == "unit" else number), extra


def capped(feature: Document, part: Part) -> None:
    """Bound what items give of a range by its maximum."""
    if feature["type"] == "range" and "max" in feature and part.total > Decimal(feature["max"]):
        part.value, part.added = Decimal(feature["max"]), Decimal(0)


def overrides_in_force(feature: Document, holder: Document, now: int) -> list[Document]:
    """The overrides of a customer or subscription for a feature that are in force, with the ids that go unsaid."""
    numbered = itertools.count(1)
    mine = [
        {"id": f"{feature['id']}-{next(numbered)}", "mode": "replace"} | it
        for it in holder.get("overrides", [])
        if it["feature"] == feature["id"]
    ]
    return [it for it in mine if within(it, now)]


def standing_in_place(overrides: list[Document]) -> Document | None:
    """Of those that replace or disable, the one that started last: `disabled` before others, then by its id."""

    def order(it: Document) -> tuple[int, bool, str]:
        return millis(it["from"]) if "from" in it else -(10**18), it["mode"] == "disabled", str(it["id"])

    return max((it for it in overrides if it["mode"] in {"replace", "disabled"}), key=order, default=None)


def said(value: Any) -> Document:  # noqa: ANN401 - a document's value
    """What a value says about use above it, if it says anything."""
    return {"says": value} if isinstance(value, dict) and "limit" in value else {}


def softness(feature: Document, sources: list[Document]) -> tuple[bool, Decimal]:
    """Whether a limit is soft, and how much more than it is allowed.

    An override on the customer that says it decides, then overrides on subscriptions, then items, then the feature.
    """
    saying = [it for it in sources if "says" in it]
    deciding = [it["says"] for it in saying if it.get("on") == "customer"]
    deciding = deciding or [it["says"] for it in saying if "override" in it]
    deciding = deciding or [it["says"] for it in saying] or [feature.get("metered", {})]
    soft = [it for it in deciding if it.get("limit") == "soft"]
    if not soft:
        return False, Decimal(0)
    return True, max(Decimal(it["overage_max"]) if "overage_max" in it else UNLIMITED for it in soft)


def overridden(
    feature: Document, part: Part, overrides: list[Document], *, alone: bool = False, on: str = "subscription"
) -> None:
    """Let the overrides of one scope act on what it comes to: what replaces it, the largest floor, then all that add.

    `alone`: there is no subscription, so that a floor counts even where it raises nothing.
    """
    base = standing_in_place(overrides)
    if base is not None:
        part.value, part.added, part.sources = Decimal(0), Decimal(0), []
        if base["mode"] == "disabled":
            part.disabled = True
            return
        part.value = number_of(feature, base["value"])
        part.sources.append({"override": base["id"], "on": on} | said(base["value"]))
        part.acted = True
    floors = [it for it in overrides if it["mode"] == "at_least"]
    if floors:
        floor = max(floors, key=lambda it: (number_of(feature, it["value"]), str(it["id"])))
        least = number_of(feature, floor["value"])
        if least > part.total or (alone and base is None):
            if least > part.total:
                part.value += least - part.total
            part.sources.append({"override": floor["id"]})
            part.acted = True
    for it in overrides:
        if it["mode"] == "add" and part.total != UNLIMITED:
            part.added += number_of(feature, it["value"])
            part.sources.append({"override": it["id"]})
            part.acted = True


def suspended(feature: str, holder: Document, now: int) -> bool:
    """Say whether a customer or subscription has this feature suspended."""
    return any(it["feature"] == feature and within(it, now) for it in holder.get("suspensions", []))


def counting_items(
    world: Catalogue, subscription: Document, customer: Document, now: int
) -> list[tuple[Document, Document, int]]:
    """The held items that count, each with its item and version (semantics 3)."""
    found = []
    for held in subscription["items"]:
        item = world.items[held["item"]]
        number = version_of(held, item, subscription, customer, now)
        exists = any(version["version"] == number for version in versions(item))
        if within(held, now) and item.get("status", "active") != "draft" and number is not None and exists:
            found.append((held, item, number))
    while True:
        ids = {item["id"] for _, item, _ in found}
        based = [
            (held, item, number)
            for held, item, number in found
            if ("available_for" not in item or ids & set(item["available_for"]))
            and ids >= set(item.get("depends_on", []))
        ]
        if len(based) == len(found):
            return found
        found = based


def part_of(world: Catalogue, feature: Document, subscription: Document, customer: Document, now: int) -> Part:
    """What a live subscription gives of a feature."""
    part = Part(suspended=suspended(feature["id"], subscription, now))
    values: list[Decimal] = []
    for held, item, number in counting_items(world, subscription, customer, now):
        for version in versions(item):
            if version["version"] == number and feature["id"] in version["entitlements"]:
                quantity = held.get("quantity", 1)
                given, extra = multiplied(feature, version["entitlements"][feature["id"]], quantity)
                if extra:
                    part.added += given
                else:
                    values.append(given)
                value = version["entitlements"][feature["id"]]
                part.sources.append({"item": f"{item['kind']}/{item['id']}", "version": number} | said(value))
    part.value = together(feature, values)
    overrides = overrides_in_force(feature, subscription, now)
    if overrides:
        capped(feature, part)
        overridden(feature, part, overrides)
    return part


def of_subscriptions(feature: Document, parts: list[Part]) -> Part:
    """What the parts come to: flat, or, across subscriptions, the greatest; what overrides made of one is uncapped."""
    found = Part(sources=[source for part in parts for source in part.sources])
    if feature.get("across", "sum") == "max":
        for part in parts:
            if not part.acted:
                capped(feature, part)
        found.value = max([Decimal(0), *(part.total for part in parts)])
        return found
    bound = [part for part in parts if not part.acted]
    free = [part for part in parts if part.acted]
    items = Part(together(feature, [part.value for part in bound]), Decimal(sum(part.added for part in bound)))
    capped(feature, items)
    found.value = together(feature, [items.value, *(part.value for part in free)])
    found.added = Decimal(sum(part.added for part in [items, *free]))
    return found


@dataclass
class Facts:
    """What is known before the question is looked at."""

    total: Decimal
    live: bool
    overridden: bool = False
    suspended: bool = False
    disabled: bool = False
    sources: list[Document] = field(default_factory=list)


def facts(world: Catalogue, feature: Document, customer: Document, subscriptions: list[Document], now: int) -> Facts:
    """Everything that `subscriptions` (all of the customer's, or the one asked about) and the customer give."""
    single = len(subscriptions) == 1 and subscriptions[0].get("asked", False)
    counting = [it for it in subscriptions if live(it, now)]
    parts = [part_of(world, feature, it, customer, now) for it in counting]
    whole = of_subscriptions(feature, [it for it in parts if not it.suspended and not it.disabled])
    overrides = overrides_in_force(feature, customer, now)
    if single and not counting:
        overrides = []  # what replaces a subscription's total needs a subscription that counts
    overridden(feature, whole, overrides, alone=not counting, on="customer")
    found = Facts(
        whole.total, bool(counting), overridden=whole.acted, disabled=whole.disabled, sources=list(whole.sources)
    )
    about = [customer, *(subscriptions if single else [])]
    found.suspended = any(within(it, now) for it in feature.get("suspensions", []))
    found.suspended = found.suspended or any(suspended(feature["id"], holder, now) for holder in about)
    if not found.total and standing_in_place(overrides) is None:
        found.suspended = found.suspended or any(part.suspended and part.total > 0 for part in parts)
        found.disabled = found.disabled or any(part.disabled for part in parts)
    if feature.get("status", "active") == "draft":
        found.total, found.sources = Decimal(0), []  # prepared, not effective
    return found


def ceiling(feature: Document, known: Facts, counted: Document) -> Decimal:
    """The most that may be used: what is given and granted, and what is allowed above a soft limit."""
    if known.total == UNLIMITED:
        return UNLIMITED
    return known.total + Decimal(counted["granted"]) + softness(feature, known.sources)[1]


def draws_too_much(world: Catalogue, feature: Document, asked: Document, source: Facts, counted: Document) -> bool:
    """Whether what a check draws of another feature is more than may be used of that."""
    draws = feature["draws"]
    other = world.features[draws["from"]]
    unit = Decimal(1).scaleb(-other.get("scale", 0))
    drawn = (amount_of(feature, asked) * Decimal(draws["cost"]) / unit).to_integral_value(ROUND_CEILING)
    used = Decimal(counted["used"]) / unit
    if source.suspended or other.get("status") == "draft" or not source.total + counted["granted"]:
        return used + drawn > 0
    most = min(ceiling(other, source, counted) / unit, Decimal(MOST_UNITS))
    return used + min(drawn, Decimal(MOST_UNITS)) > most


def reason_of(  # noqa: C901, PLR0911, PLR0912 - the closed set, in its order
    feature: Document,
    known: Facts,
    asked: Document,
    counted: Document = NOTHING_COUNTED,
    *,
    draws_too_much: bool = False,
) -> str:
    """The first reason, in order of precedence, that applies."""
    if feature.get("status", "active") == "draft":
        return "feature_inactive"
    if known.suspended:
        return "feature_suspended"
    if not known.live and not known.overridden and not known.disabled:
        return "subscription_inactive"
    if known.disabled:
        return "override_denied"
    kind = feature["type"]
    if kind == "quantity":
        amount = amount_of(feature, asked)
        batch, caps = feature.get("batch", {}), feature.get("caps", {})
        if amount < batch.get("minimum", 0) or amount % batch.get("increment", amount):
            return "amount_invalid"
        mine = asked["user_used"] if "user_used" in asked else counted["user_used"]
        if "per_user" in caps and mine + amount > caps["per_user"]:
            return "cap_reached"
        if "total" in caps and counted["total_used"] + amount > caps["total"]:
            return "cap_reached"
    if not known.total and not counted["granted"]:
        return "not_entitled"
    if kind == "quantity":
        used = asked["used"] if "used" in asked else counted["used"]
        if used + amount_of(feature, asked) > ceiling(feature, known, counted) or draws_too_much:
            return "limit_reached"
    if kind == "range" and asked.get("value", 0) > known.total:
        return "out_of_range"
    if kind == "custom" and "level" in asked and number_of(feature, asked["level"]) > known.total:
        return "level_too_low"
    return "granted"


def amount_of(feature: Document, asked: Document) -> Decimal:
    """What a check asks for more: the amount that it says, or the least valid one, or one."""
    if "amount" in asked:
        return Decimal(asked["amount"])
    batch = feature.get("batch", {})
    if not batch:
        return Decimal(1)
    step = Decimal(batch.get("increment", Decimal(1).scaleb(-feature.get("scale", 0))))
    least = Decimal(batch.get("minimum", 1))
    steps = least // step
    return steps * step if steps * step >= least else (steps + 1) * step


def entitlement(feature: Document, total: Decimal, asked: Document) -> Document:
    """What the subject holds, in the words of the API."""
    kind = feature["type"]
    if kind == "switch":
        return {"value": bool(total)}
    if kind == "custom":
        return {"value": feature["levels"][int(total) - 1] if total else None}
    shown: Document = {"unlimited": total == UNLIMITED}
    if "unit" in feature:
        shown["unit"] = feature["unit"]
    if total != UNLIMITED:
        shown["value"] = total
    if kind == "quantity":
        shown["used"] = asked.get("used", 0)
        if total != UNLIMITED:
            shown["remaining"] = max(total - shown["used"], Decimal(0))
        if "caps" in feature:
            shown["caps"] = {key: feature["caps"][key] for key in ("total", "per_user") if key in feature["caps"]}
    return shown


def metered_entitlement(
    feature: Document, known: Facts, asked: Document, counted: Document, *, allowed: bool, counts: bool
) -> Document:
    """What the subject holds, with what is granted and used above the limit. `counts`: usage is counted here."""
    asked = {**asked, "used": asked.get("used", counted["used"])}
    limit = known.total + counted["granted"]
    shown = entitlement(feature, limit, asked)
    if limit == UNLIMITED:
        return shown
    if counted["granted"]:
        shown["granted"] = counted["granted"]
    above = Decimal(asked["used"]) + (amount_of(feature, asked) if allowed else 0) - limit
    if above > 0 and (counts or softness(feature, known.sources)[0]):
        shown["overage"] = above
    return shown


def decide(world: Catalogue, check: Document, now: int, counted: Document | None = None) -> Document:
    """Answer a check, in the form of section 5 as far as it does not tell of Cedar.

    `counted`: the usage of the feature, and under `drawn` that of the one it draws on, if usage is counted.
    """
    feature = world.features[check["feature"]]
    subject = check["subject"]
    if isinstance(subject, str):
        subject = {"type": "customer", "id": subject}
    if subject["type"] == "customer":
        customer = world.customers.get(subject["id"])
        asked_about = [it for it in world.subscriptions.values() if it["customer"] == subject["id"]]
    else:
        one = world.subscriptions.get(subject["id"])
        customer = None if one is None else world.customers[one["customer"]]
        asked_about = [] if one is None else [one | {"asked": True}]
    if customer is None:
        return answer(feature, "unknown_subject", Decimal(0), check, [])
    known = facts(world, feature, customer, asked_about, now)
    usage = NOTHING_COUNTED | (counted or {})
    short = False
    if "draws" in feature:
        source = facts(world, world.features[feature["draws"]["from"]], customer, asked_about, now)
        short = draws_too_much(world, feature, check, source, NOTHING_COUNTED | usage.get("drawn", {}))
    reason = reason_of(feature, known, check, usage, draws_too_much=short)
    found = answer(feature, reason, known.total, check, known.sources)
    if "metered" in feature:
        found["entitlement"] = metered_entitlement(
            feature, known, check, usage, allowed=found["allowed"], counts=counted is not None
        )
    return found


def answer(feature: Document, reason: str, total: Decimal, check: Document, sources: list[Document]) -> Document:
    """Put an answer together."""
    return {
        "allowed": reason == "granted",
        "reason": reason,
        "entitlement": entitlement(feature, total, check),
        "sources": sources,
    }


def boundaries(*documents: Document) -> set[int]:
    """Every instant that documents mention anywhere: where something may begin or end."""
    found: set[int] = set()
    stack: list[Any] = list(documents)
    keys = {"from", "until", "start", "end", "trial_end", "grace_until", "resume_at", "added_at"}
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            found |= {millis(value) for key, value in node.items() if key in keys and isinstance(value, str)}
            stack += [value for key, value in node.items() if key != "draws"]  # its `from` is a feature
        elif isinstance(node, list):
            stack += node
    return found
