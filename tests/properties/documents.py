"""Random catalogs and subjects as documents of the design's section 6: everything that sections 1 and 2 name.

What is made is always valid. Instants come from few values, so that things often begin and end at the same one;
numbers from few values too, so that limits are met exactly.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.properties.choices import Choices, random_strategy
from tests.reference.entitlement import millis, versions

if TYPE_CHECKING:
    from collections.abc import Sequence

Document = dict[str, Any]

INSTANTS = (
    "1970-01-01T00:00:00.000Z",
    "2026-01-01T00:00:00Z",
    "2026-02-01T00:00:00.001Z",
    "2026-02-01T00:00:00.002Z",
    "2026-03-01T12:30:00+02:00",
    "2026-04-01T00:00:00Z",
    "2026-07-01T00:00:00Z",
    "2027-01-01T00:00:00Z",
)
FEATURE_IDS = ("alpha", "Beta.2", "gamma_x", "d-4", "5e5")
ITEM_IDS = ("free", "gold", "A.basic", "extra-1", "setup_fee")
CUSTOMER_IDS = ("acme", "Globex.2", "9lives")
FEATURE_TAGS = ("reports", "beta")
CUSTOMER_TAGS = ("eu", "pilot")
LABELS = ("email", "phone", "unlimited", "+10", "true", "e-mail & “chat”", "50", "null")
UNITS = ("movies/month", "GB", "requests/min")
LATEST = 10**15


def chance(choose: Choices, odds: int) -> bool:
    """True one time in `odds`."""
    return choose.number(1, odds) == odds


def some(choose: Choices, options: Sequence[str], least: int = 0) -> list[str]:
    """Some of the options, each at most once, in any order."""
    left = list(options)
    return [left.pop(choose.number(0, len(left) - 1)) for _ in range(choose.number(least, len(left)))]


def optional(choose: Choices, odds: int, **values: Any) -> Document:  # noqa: ANN401 - a document's values
    """Each of these values one time in `odds`; a value that can be called is made only then."""
    return {key: value() if callable(value) else value for key, value in values.items() if chance(choose, odds)}


def number(units: int, scale: int) -> int | Decimal:
    """An edge number of so many units, or near it: of as many digits as an edge allows."""
    step: int = 10 ** max(0, len(str(units)) - 15)
    whole: int = 10**scale
    units -= units % step
    if not units % whole:
        return units // whole
    return Decimal(units).scaleb(-scale).normalize()


def amount(choose: Choices, scale: int, least: int = 0, most: int | None = None) -> int | Decimal:
    """An edge number between two bounds in units, mostly a round one; without an upper bound seldom a huge one."""
    one: int = 10**scale
    top = 60 * one if most is None else most
    if most is None and chance(choose, 12):
        return number(choose.one([LATEST - 1, LATEST]), scale)
    if chance(choose, 2):
        return number(choose.number(least, top), scale)
    return number(least + (top - least) * choose.number(0, 12) // 12, scale)


def period(choose: Choices) -> Document:
    """`from` and `until`, one of them, or neither."""
    first = choose.number(0, len(INSTANTS) - 2)
    last = choose.number(first + 1, len(INSTANTS) - 1)
    which = choose.one(["neither", "from", "until", "both"])
    found = {}
    if which in {"both", "from"}:
        found["from"] = INSTANTS[first]
    if which in {"both", "until"}:
        found["until"] = INSTANTS[last]
    return found


def feature(choose: Choices, id_: str) -> Document:
    """One feature."""
    type_ = choose.one(["switch", "quantity", "quantity", "quantity", "range", "custom"])
    found: Document = {"id": id_, "type": type_}
    found |= optional(choose, 2, name="A name", tags=lambda: some(choose, FEATURE_TAGS))
    found |= optional(choose, 4, status=lambda: choose.one(["active", "archived", "archived", "draft"]))
    if chance(choose, 10):
        found["suspensions"] = [period(choose) | {"reason": "repair"} for _ in range(choose.number(0, 2))]
    if type_ == "custom":
        return found | {"levels": some(choose, LABELS, least=1)[:4]}
    if type_ == "switch":
        return found
    scale = choose.one([0, 0, 0, 1, 3, 6])
    if scale or chance(choose, 2):
        found["scale"] = scale
    found |= optional(choose, 2, unit=lambda: choose.one(UNITS), combine=lambda: choose.one(["sum", "max", "max"]))
    found |= optional(choose, 4, across=lambda: choose.one(["max", "max", "sum"]))
    return found | (range_(choose, scale) if type_ == "range" else quantity(choose, scale))


def range_(choose: Choices, scale: int) -> Document:
    """What a range has beside other numbers."""
    low = choose.number(0, 60 * 10**scale)
    high = choose.number(low, 60 * 10**scale)
    return optional(choose, 2, min=number(low, scale), max=number(high, scale))


def quantity(choose: Choices, scale: int) -> Document:
    """What a quantity has beside other numbers."""
    found: Document = {}
    one: int = 10**scale
    if chance(choose, 5):
        levels = sorted({amount(choose, scale) for _ in range(choose.number(1, 4))})
        found["levels"] = [*levels, *(["unlimited"] if chance(choose, 2) else [])]
    if chance(choose, 4):
        steps = {key: amount(choose, scale, least=1, most=4 * one) for key in ("minimum", "increment")}
        found["batch"] = {key: steps[key] for key in choose.one([["minimum"], ["increment"], ["minimum", "increment"]])}
    if chance(choose, 2):
        found["metered"] = metered(choose, scale)
    if chance(choose, 5):
        caps = {key: amount(choose, scale, least=1) for key in ("per_user", "total")}
        keys = [["per_user"], ["total"], ["per_user", "total"]] if "metered" in found else [["per_user"]]
        found["caps"] = {key: caps[key] for key in choose.one(keys)}
    return found


def metered(choose: Choices, scale: int) -> Document:
    """How usage is counted, by a hard limit."""
    unit = choose.one(["hour", "day", "week", "month", "year", "never"])
    found: Document = {"reset": unit} | optional(
        choose,
        6,
        spend=lambda: choose.one(["allowance_first", "grants_first"]),
        offline=lambda: choose.one(["deny", "allow"]),
    )
    if unit == "never":
        return found
    if chance(choose, 4):
        found["reset"] = {"every": choose.one([1, 2, 3, 10_000]), "of": unit}
    return found | optional(
        choose,
        4,
        anchor=lambda: choose.one(["calendar", "subscription", "first_use"]),
        timezone=lambda: choose.one(["UTC", "Europe/Berlin", "Asia/Kolkata", "Pacific/Apia"]),
        rollover=lambda: {"max": amount(choose, scale, least=1)},
        late=lambda: choose.one(["3 days", "0 minutes", "90 minutes", "1 hour", "90 days"]),
    )


def entitlement(choose: Choices, of: Document) -> Any:  # noqa: ANN401 - a document's value
    """What an item version gives for one feature."""
    type_ = of["type"]
    if type_ == "switch":
        return choose.one([True, True, False])
    if type_ == "custom":
        return choose.one(of["levels"])
    scale = of.get("scale", 0)
    per = optional(choose, 2, per=lambda: choose.one(["unit", "subscription"]))
    if chance(choose, 3):
        return {"add": amount(choose, scale, most=20 * 10**scale)} | per
    if "levels" in of:
        value = choose.one(of["levels"])
    elif "min" in of or "max" in of:
        low, high = (int(Decimal(of.get(key, other)).scaleb(scale)) for key, other in (("min", 0), ("max", 60)))
        value = amount(choose, scale, low, high)
    else:
        value = "unlimited" if chance(choose, 8) else amount(choose, scale)
    return {"value": value} | per if value != "unlimited" and chance(choose, 3) else value


def item(choose: Choices, id_: str, features: list[Document]) -> Document:
    """One item."""
    found: Document = {"id": id_, "kind": choose.one(["plan", "plan", "addon", "charge"])}

    def definition() -> Document:
        return {it["id"]: entitlement(choose, it) for it in features if not chance(choose, 4)}

    if chance(choose, 3):
        found["entitlements"] = definition()
        found |= optional(choose, 2, version=choose.number(1, 9))
    else:
        numbers = {choose.number(1, 12) for _ in range(choose.number(1, 3))}
        found["versions"] = [{"version": it, "entitlements": definition()} for it in numbers]
    if chance(choose, 2):
        found["rollouts"] = [rollout(choose, found) for _ in range(choose.number(0, 4))]
    return found


def rollout(choose: Choices, of: Document) -> Document:
    """One rollout."""
    found: Document = {"version": choose.one(versions(of))["version"]}
    found |= optional(choose, 2, **{"from": lambda: choose.one(INSTANTS)})
    audiences: list[Any] = ["everybody", {"tag": choose.one(CUSTOMER_TAGS)}]
    shares: list[Any] = [0, 25, 50, 75, 100, Decimal("33.33"), "50%", "99.99%", choose.number(0, 100)]
    audiences.append({"share": choose.one(shares)})
    if "from" in found:
        audiences.append("new")
    return found | optional(choose, 2, audience=lambda: choose.one(audiences))


def catalog(choose: Choices) -> Document:
    """A catalog."""
    features = [feature(choose, id_) for id_ in FEATURE_IDS[: choose.number(1, len(FEATURE_IDS))]]
    items = [item(choose, id_, features) for id_ in ITEM_IDS[: choose.number(1, len(ITEM_IDS))]]
    found: Document = {"apiVersion": "tiergate/v1", "features": features, "items": items}
    found |= optional(choose, 2, plans=lambda: choose.one(["many", "many", "one"]))
    base_items(choose, items)
    return found


def base_items(choose: Choices, items: list[Document]) -> None:
    """Have some items be based on others, so that each can still be held, and some be prepared or no longer sold."""
    plans = [it["id"] for it in items if it["kind"] == "plan"]
    for place, it in enumerate(items):
        if plans and it["kind"] != "plan" and chance(choose, 2):
            it["available_for"] = some(choose, plans, least=1)
        before = [other["id"] for other in items[:place] if other["kind"] != "plan" and "available_for" not in other]
        if before and chance(choose, 3):
            it["depends_on"] = some(choose, before)
        it.update(optional(choose, 8, status=lambda: choose.one(["active", "archived", "draft"])))
        it.update(optional(choose, 8, metadata={"price": "price_1"}))


def softened(choose: Choices, of: Document) -> Document:
    """A catalog with soft limits, by features and by entitlements, and with features that draw on another."""
    of["features"] = [dict(it) for it in of["features"]]
    counted = [it for it in of["features"] if "metered" in it]
    for feature in counted:
        if chance(choose, 2):
            feature["metered"] = feature["metered"] | limit(choose, feature, choose.one(["soft", "soft", "hard"]))
    for feature in counted[1:]:
        if chance(choose, 2):
            source = counted[0]
            feature["draws"] = {"from": source["id"], "cost": amount(choose, source.get("scale", 0), least=1)}
    by_id = {it["id"]: it for it in counted}
    for item in of["items"]:
        for version in versions(item):
            given = version["entitlements"]
            for id_ in sorted(given.keys() & by_id.keys()):
                given[id_] = with_limit(choose, by_id[id_], given[id_])
    return of


def limit(choose: Choices, of: Document, kind: str) -> Document:
    """What happens above a limit."""
    found: Document = {"limit": kind}
    if kind == "soft" and chance(choose, 2):
        found["overage_max"] = amount(choose, of.get("scale", 0), least=1)
    return found


def with_limit(choose: Choices, of: Document, value: Any) -> Any:  # noqa: ANN401 - a document's value
    """An entitlement that says otherwise than its feature, one time in two, if it is a number."""
    if value == "unlimited" or not chance(choose, 2):
        return value
    if not isinstance(value, dict):
        value = {"value": value}
    if "add" in value or value["value"] == "unlimited":
        return value
    return value | limit(choose, of, choose.one(["soft", "hard"]))


def metered_catalog(choose: Choices) -> Document:
    """A catalog with everything that metered features can say."""
    return softened(choose, catalog(choose))


def override(choose: Choices, of: Document) -> Document:
    """One override."""
    is_number = of["type"] in {"quantity", "range"}
    mode = choose.one(["replace", "replace", "at_least", "at_least", "disabled", *(["add"] * 2 if is_number else [])])
    found: Document = {"feature": of["id"], "reason": "a note"} | period(choose)
    if mode != "replace" or chance(choose, 2):
        found["mode"] = mode
    if mode == "add":
        scale = of.get("scale", 0)
        found["value"] = amount(choose, scale, least=1, most=30 * 10**scale)
    elif mode != "disabled":
        found["value"] = override_value(choose, of)
    return found


def override_value(choose: Choices, of: Document) -> Any:  # noqa: ANN401 - a document's value
    """What an override may say of a feature: free of levels, minimum and maximum."""
    if of["type"] == "switch":
        return choose.one([True, False])
    if of["type"] == "custom":
        return choose.one(of["levels"])
    scale = of.get("scale", 0)
    most: int = 200 * 10**scale
    return choose.one([amount(choose, scale), amount(choose, scale, most=most), 0, "unlimited"])


def notes(choose: Choices, features: list[Document]) -> Document:
    """The overrides, all with ids or none, and the suspensions that a customer or subscription has, if any."""
    about = [choose.one(features)] if chance(choose, 2) else features
    overrides = [override(choose, choose.one(about)) for _ in range(choose.one([0, 0, 0, 1, 1, 2, 4]))]
    if chance(choose, 2):
        overrides = [it | {"id": choose.one(["Z", "a", "m"]) + f".{place}"} for place, it in enumerate(overrides)]
    suspended = [choose.one(features)["id"] for _ in range(choose.one([0] * 8 + [1, 1, 2]))]
    suspensions = [{"feature": it} | period(choose) for it in suspended]
    found = {"overrides": overrides, "suspensions": suspensions}
    even_empty = chance(choose, 4)
    return {key: value for key, value in found.items() if value or even_empty}


def subscription(choose: Choices, id_: str, customer: str, of: Document) -> Document:
    """One subscription."""
    status = choose.one(["active"] * 12 + ["trialing", "past_due", "canceled", "paused", "expired"])
    found: Document = {"id": id_, "customer": customer, "status": status}
    found |= optional(choose, 4, start=lambda: choose.one(INSTANTS))
    found |= optional(choose, 2 if status == "paused" else 8, resume_at=lambda: choose.one(INSTANTS))
    later = [it for it in INSTANTS if it >= found.get("start", "")]
    if status == "paused":
        found |= optional(
            choose, 2, resumes_as=lambda: choose.one(["active", "trialing", "past_due", "canceled", "canceled"])
        )
        status = found.get("resumes_as", status)
    needed = {"trialing": "trial_end", "canceled": "end"}.get(status)
    for key in ("end", "trial_end", "grace_until"):
        if key == needed or chance(choose, 2 if (key, status) == ("grace_until", "past_due") else 8):
            found[key] = choose.one(later)
    found["items"] = []
    by_id = {it["id"]: it for it in of["items"]}
    wanted = [choose.one(of["items"]) for _ in range(choose.one([1, 1, 2, 2, 3, 0]))]
    for one in wanted:
        wanted += [by_id[id_] for id_ in (*one.get("available_for", ())[:1], *one.get("depends_on", ()))]
    for one in wanted:
        held = held_item(choose, one)
        if not any({"quantity": 1} | held == {"quantity": 1} | other for other in found["items"]):
            found["items"].append(held)
    found["items"] = possible(found["items"], by_id, plans=of.get("plans", "one"))
    return found | notes(choose, of["features"])


def possible(listed: list[Document], items: dict[str, Document], plans: str = "one") -> list[Document]:
    """Those of the held items that a loader accepts together: one plan at a time, each beside what it is based on."""
    found: list[Document] = []
    for held in listed:
        is_plan = items[held["item"]]["kind"] == "plan"
        if plans == "many" or not is_plan or not any(meet(held, it) for it in found if is_a_plan(it, items)):
            found.append(held)
    while True:
        based = [held for held in found if is_based(held, found, items)]
        if len(based) == len(found):
            return found
        found = based


def is_a_plan(held: Document, items: dict[str, Document]) -> bool:
    """Whether a held item is a plan."""
    return bool(items[held["item"]]["kind"] == "plan")


def meet(one: Document, other: Document) -> bool:
    """Whether two held items have an instant in common."""
    starts = [millis(it["from"]) for it in (one, other) if "from" in it]
    ends = [millis(it["until"]) for it in (one, other) if "until" in it]
    return not starts or not ends or max(starts) < min(ends)


def is_based(held: Document, beside: list[Document], items: dict[str, Document]) -> bool:
    """Whether a held item has an instant in common with each other that it is based on."""
    of = items[held["item"]]
    others = {it["item"] for it in beside if it is not held and meet(held, it)}
    is_available = "available_for" not in of or not others.isdisjoint(of["available_for"])
    return is_available and others >= set(of.get("depends_on", ()))


def held_item(choose: Choices, of: Document) -> Document:
    """One item in a subscription."""
    found: Document = {"item": of["id"]}
    if not chance(choose, 3):
        found["quantity"] = choose.number(1, 5)
    found |= optional(choose, 4, added_at=lambda: choose.one(INSTANTS))
    found |= optional(choose, 4, version=lambda: choose.one(versions(of))["version"])
    return found | (period(choose) if chance(choose, 4) else {})


def subjects_of(choose: Choices, of: Document) -> Document:
    """Customers and their subscriptions."""
    customers: list[Document] = []
    listed: list[Document] = []
    for id_ in CUSTOMER_IDS[: choose.number(1, len(CUSTOMER_IDS))]:
        attributes = optional(
            choose, 2, region=lambda: choose.one(["eu", "us"]), size=lambda: choose.one(["7", 'ü"\\'])
        )
        found = {"id": id_} | optional(choose, 2, tags=lambda: some(choose, CUSTOMER_TAGS), attributes=attributes)
        customers.append(found | notes(choose, of["features"]))
        for _ in range(choose.one([1, 1, 1, 2, 2, 3, 0])):
            listed.append(subscription(choose, f"sub_{len(listed)}.x", id_, of))
    return {"apiVersion": "tiergate/v1", "customers": customers, "subscriptions": listed}


def world(choose: Choices) -> tuple[Document, Document]:
    """A catalog and its subjects."""
    made = catalog(choose)
    return made, subjects_of(choose, made)


catalogs = random_strategy(catalog)
"""A catalog."""

metered_catalogs = random_strategy(metered_catalog)
"""A catalog with soft limits, and features that draw on others."""


def metered_world(choose: Choices) -> tuple[Document, Document]:
    """A catalog with everything that metered features can say, and its subjects, some with soft limits of their own."""
    of = metered_catalog(choose)
    counted = {it["id"]: it for it in of["features"] if "metered" in it}
    known = subjects_of(choose, of)
    for holder in [*known["customers"], *known["subscriptions"]]:
        for it in holder.get("overrides", []):
            if it["feature"] in counted and it.get("mode", "replace") == "replace":
                it["value"] = with_limit(choose, counted[it["feature"]], it["value"])
    return of, known


metered_worlds = random_strategy(metered_world)
"""A catalog with soft limits and features that draw on others, and its subjects."""

subjects = random_strategy(subjects_of)
"""Customers and their subscriptions, of a catalog."""

worlds = random_strategy(world)
"""A catalog and its subjects."""
